"""The verb ``prepare``: render the benchmark, read a dataset's layout, fill the prepared store."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data import store as stores
from vireid_cli.data.identity import is_prepared
from vireid_cli.data.prepare import Prepared, add_size, prepare
from vireid_cli.data.store import Store
from vireid_cli.data.verify import unlike_published
from vireid_cli.data.verify import verify as verify_store
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import UsageError
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree, write_tree
from vireid_cli.types import RESIZE, Resize, Size


def prepare_dataset(
    dataset: str,
    data_dir: Path,
    size: Size,
    reporter: Reporter,
    *,
    root: Path | None = None,
    resize: Resize = RESIZE,
    skip_bad: bool = False,
    workers: int | None = None,
) -> Prepared:
    """Read a dataset's layout and decode its images into the store at ``size``.

    Raises:
        UsageError: The dataset is not there; says where it is expected and how to get it.
        DataError: Images can't be read (unless ``skip_bad``), or the layout is incomplete.
    """
    located = stores.locate(dataset, data_dir, root)
    if located.rendered:
        reporter.say(f"taking the rendered benchmark in {located.root}")
    return prepare(
        dataset,
        located.root,
        data_dir,
        size,
        resize=resize,
        skip_bad=skip_bad,
        workers=workers,
        progress=reporter.progress("preparing"),
    )


def ensure_prepared(dataset: str, size: Size, resize: Resize, data_dir: Path, reporter: Reporter) -> Store:
    """The prepared store with pixels of ``size``, resized by that rule; missing ones are prepared now.

    Raises:
        UsageError: The dataset is neither prepared nor there to be prepared.
        DataError: It can't be prepared as it stands.
    """
    shown = f"{size[0]}×{size[1]}"
    if not is_prepared(dataset, data_dir):
        stores.locate(dataset, data_dir)  # before anything is announced
        reporter.say(f"{dataset} is not prepared yet: preparing it at {shown} first")
        return prepare_dataset(dataset, data_dir, size, reporter, resize=resize).store
    store = stores.open_store(data_dir, dataset, resize)
    if store.images(size) is None:
        if others := [files.resize for files in store.finished if files.size == size]:
            reporter.say(f"{dataset} is prepared at {shown} by {others[0]} only: adding pixels by {resize}")
        else:
            reporter.say(f"{dataset} is not prepared at {shown} yet: adding this size")
        store = add_size(store, size, progress=reporter.progress("preparing")).store
    return store


def missing(dataset: str, data_dir: Path) -> str:
    """What to do first where a dataset is not prepared: get it, render it, or prepare what is there."""
    try:
        located = stores.locate(dataset, data_dir)
    except UsageError as error:
        return " ".join(str(error).split("\n"))
    return f"{located.root} is not prepared yet: vireid prepare {dataset}"


def verify(dataset: str, data_dir: Path, reporter: Reporter, workers: int | None = None) -> list[str]:
    """What in a prepared store, its source files or their published numbers is not as it should be."""
    store = stores.open_store(data_dir, dataset)
    found = verify_store(store, workers=workers, progress=reporter.progress("verifying"))
    return [*found, *unlike_published(store)]


def render(
    options: RenderOptions, root: Path, runtime: Runtime, reporter: Reporter, workers: int | None
) -> RenderedTree:
    """Write the rendered tree; an interrupted one is continued.

    Raises:
        UsageError: The folder holds a benchmark of other parameters.
        DataError: It can't be written.
    """
    return write_tree(
        root, options, device=str(runtime.device), workers=workers, progress=reporter.progress("rendering")
    )
