"""Open the indexes of a server and load their models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from vireid_cli.engine.open_model import open_model
from vireid_cli.engine.query import warn_other_pillow
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.printable import encodable
from vireid_cli.search.open import AnyIndex, list_indexes, open_index
from vireid_cli.serve.limits import ServeLimits
from vireid_cli.serve.services import EmbeddingQueue, ServedIndex, Services


def load_services(
    names: Sequence[str],
    session: Session,
    opened: ExitStack,
    *,
    model: str | None = None,
    limits: ServeLimits,
    images: Path | None = None,
) -> Services:
    """Open indexes and load their models, each model once.

    Args:
        names: Names of indexes in the data directory, or folders with a slash; empty: all of the directory.
        session: Device, reporter and folders.
        opened: Closes the indexes.
        model: Model of all indexes; None: the model that each index records.
        limits: Limits of the server.
        images: Folder of the images that replaces those of the records.

    Raises:
        UsageError: There is no index, two have one name, or a model does not fit its index.
        DataError: An index or a model is damaged.
    """
    wanted = list(names) or list_indexes(session.data_dir)
    if not wanted:
        raise UsageError(
            f"there is no index in {session.data_dir}.",
            "Create one: vireid index create NAME",
        )
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images}: there is no such folder.")
    queues: dict[str, EmbeddingQueue] = {}
    served: dict[str, ServedIndex] = {}
    for name in wanted:
        index = open_index(name, session.data_dir)
        opened.callback(index.close)
        title = encodable(index.name)
        if title in served:
            raise UsageError(f"two indexes have the name {title}.", "Serve one of them.")
        queue = _queue(index, model, session, limits, queues)
        served[title] = ServedIndex(title, index, queue, limits)
    return Services(served, limits, images)


def _queue(
    index: AnyIndex,
    model: str | None,
    session: Session,
    limits: ServeLimits,
    queues: dict[str, EmbeddingQueue],
) -> EmbeddingQueue | None:
    """Return the queue of an index's model, loaded before or now; None without a model."""
    name = model or index.model
    if name is None:
        session.reporter.warn(
            f"the index {index.name} records no model: records can be searched, images can't. "
            "Set --model RUN."
        )
        return None
    if name not in queues:
        queues[name] = EmbeddingQueue(open_model(name, session), limits)
    index.check_fingerprint(queues[name].model.fingerprint, name)
    warn_other_pillow(index, session)
    return queues[name]
