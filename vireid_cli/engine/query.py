"""Queries of ``vireid search``: images, embedded by the model of the index, and files of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vireid_cli.data.resize import pillow_warning
from vireid_cli.embedding_files import ENDINGS, read_embeddings
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality
from vireid_cli.search.queries import Queries, joined, queries_of

if TYPE_CHECKING:
    from vireid_cli.engine.model import Model
    from vireid_cli.engine.session import Session
    from vireid_cli.search.open import AnyIndex


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Settings of queries that are images.

    Attributes:
        model: Run or exported file that embeds them; None: that of the index.
        modality: Their modality; None: infrared if the colour channels are equal, see ``data.grey``.
        camera: Their camera; None: that of their names, see ``data.image_names``.
    """

    model: str | None = None
    modality: Modality | None = None
    camera: int | None = None


def read_queries(
    paths: Sequence[Path], index: AnyIndex, session: Callable[[], Session], settings: QuerySettings
) -> Queries:
    """Read queries, in the order of their paths.

    Args:
        paths: Image files and files of embeddings.
        index: Its model embeds the images, and its fingerprint is compared.
        session: Creates the session of the model; called only if there is an image.
        settings: Settings of images.

    Raises:
        UsageError: A file or the model is missing.
        DataError: A file is damaged, or the embeddings are of another model than those of the index.
    """
    images = [path for path in paths if path.suffix.lower() not in ENDINGS]
    embedded = iter(_embed(images, index, session(), settings) if images else ())
    parts = []
    for path in paths:
        if path.suffix.lower() in ENDINGS:
            content = read_embeddings(path)
            index.check_fingerprint(content.origin.fingerprint, str(path))
            parts.append(queries_of(content))
        else:
            parts.append(next(embedded))
    return joined(parts)


def _embed(
    paths: Sequence[Path], index: AnyIndex, session: Session, settings: QuerySettings
) -> list[Queries]:
    """Embed images: one query each."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"the query {path} does not exist.")
    model = _model(index, session, settings.model)
    if settings.modality is None:
        features, modalities = model.embed_auto(paths)
    else:
        features, modalities = model.embed(paths, settings.modality), [settings.modality] * len(paths)
    cameras = [_camera(path) if settings.camera is None else settings.camera for path in paths]
    return [
        Queries((str(path),), (path,), (kind.value,), (camera,), (None,), features[place : place + 1])
        for place, (path, kind, camera) in enumerate(zip(paths, modalities, cameras, strict=True))
    ]


def _model(index: AnyIndex, session: Session, name: str | None) -> Model:
    """Open the model and compare it with the index."""
    from vireid_cli.engine.open_model import open_model

    subject = name or index.model
    if subject is None:
        raise UsageError(
            f"index {index.name} does not know its model, which embeds the images.",
            "Give it: --model RUN. To remember it: vireid index add NAME FILE --model RUN",
        )
    try:
        model = open_model(subject, session)
    except UsageError as error:
        raise UsageError(
            f"the model of index {index.name} can't be opened: {error.message}",
            "Give its present place: --model RUN",
        ) from error
    index.check_fingerprint(model.fingerprint, str(subject))
    warn_other_pillow(index, session)
    return model


def warn_other_pillow(index: AnyIndex, session: Session) -> None:
    """Warn if another Pillow than the installed one resized the images of an index."""
    fingerprint = index.fingerprint or {}
    if fingerprint.get("resize") == "lanczos":
        warning = pillow_warning(fingerprint.get("pillow"), f"images of index {index.name}")
        if warning:
            session.reporter.warn(warning)


def _camera(path: Path) -> int | None:
    """Camera in the names of a file and its folders, or None."""
    from vireid_cli.data.image_names import NameReader
    from vireid_cli.embedding_files.rows import UNKNOWN

    camera = NameReader(path.absolute().parent.parts).facts(path.name).camid
    return None if camera == UNKNOWN else camera
