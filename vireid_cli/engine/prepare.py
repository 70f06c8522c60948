"""The verb ``prepare``: render the benchmark, and decode a dataset's images into the prepared store."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.counts import size_name
from vireid_cli.data import store as stores
from vireid_cli.data.choices import CHOICES, Choices
from vireid_cli.data.identity import is_prepared
from vireid_cli.data.locate import locate
from vireid_cli.data.pixels import PixelFiles
from vireid_cli.data.prepare import Prepared, add_size, prepare
from vireid_cli.data.provenance import rendering_command
from vireid_cli.data.store import Store
from vireid_cli.data.verify import compare_with_published, repairs
from vireid_cli.data.verify import verify as verify_store
from vireid_cli.dataset_names import prepare_command
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.files import data_option
from vireid_cli.rendered.layouts import load_layout
from vireid_cli.rendered.manifest import read_manifest
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree, verify_tree, write_tree
from vireid_cli.types import RESIZE, Resize, Size


def prepare_dataset(
    dataset: str,
    session: Session,
    size: Size,
    *,
    root: Path | None = None,
    resize: Resize = RESIZE,
    choices: Choices = CHOICES,
    skip_bad: bool = False,
    workers: int | None = None,
) -> Prepared:
    """Read a dataset's layout and decode its images into the store at ``size``.

    Raises:
        UsageError: The dataset is missing; the error names its expected folder and its source.
        DataError: Images can't be read (unless ``skip_bad``), or the layout is incomplete.
    """
    located = locate(dataset, session.data_dir, root)
    if located.rendered:
        session.reporter.info(f"using the rendered benchmark in {located.root}")
    return prepare(
        dataset,
        located.root,
        session.data_dir,
        size,
        resize=resize,
        choices=choices,
        skip_bad=skip_bad,
        workers=workers,
        progress=session.reporter.progress("preparing"),
        jobs=session.reporter.progress,
    )


def ensure_prepared(dataset: str, session: Session, size: Size, resize: Resize) -> Store:
    """Open the prepared store with pixels of ``size`` by the rule ``resize``; prepare missing ones first.

    Raises:
        UsageError: The dataset is neither prepared nor present.
        DataError: The dataset can't be prepared.
    """
    shown = size_name(size)
    if not is_prepared(dataset, session.data_dir):
        locate(dataset, session.data_dir)  # raises before the message is printed
        session.reporter.info(f"{dataset} is not prepared yet: preparing it at {shown} first")
        return prepare_dataset(dataset, session, size, resize=resize).store
    store = stores.open_store(session.data_dir, dataset, resize)
    if store.images(size) is None:
        if others := [files.resize for files in store.complete_pixel_files if files.size == size]:
            session.reporter.info(
                f"{dataset} is prepared at {shown} by {others[0]} only: adding pixels by {resize}"
            )
        else:
            session.reporter.info(f"{dataset} is not prepared at {shown} yet: adding this size")
        store = add_size(store, size, progress=session.reporter.progress("preparing")).store
    if warning := PixelFiles(store.folder, size, resize).pillow_warning():
        session.reporter.warn(warning)
    return store


def preparation_hint(dataset: str, session: Session) -> str:
    """Return how to get a dataset that is not prepared: download, render or prepare it."""
    try:
        located = locate(dataset, session.data_dir)
    except UsageError as error:
        return " ".join(str(error).split("\n"))
    return f"{located.root} is not prepared yet: {prepare_command(dataset)}{data_option(session.data_dir)}"


def verify(dataset: str, session: Session, workers: int | None = None) -> list[str]:
    """List differences of a prepared store from its hashes and published numbers, and how to repair it."""
    store = stores.open_store(session.data_dir, dataset)
    damage = verify_store(store, workers=workers, progress=session.reporter.progress("verifying"))
    return [
        *damage,
        *compare_with_published(store),
        *(repairs(store, data_option(session.data_dir)) if damage else []),
    ]


def verify_rendered(layout: str, session: Session, root: Path | None = None) -> list[str]:
    """List differences between a rendered tree and its hashes, and how to repair it.

    Raises:
        UsageError: The tree does not exist.
        DataError: Its manifest can't be read.
    """
    folder = root or session.data_dir / "rendered" / load_layout(layout).folder
    damage = verify_tree(folder)
    manifest = read_manifest(folder) or {}
    return [*damage, f"to repair: {rendering_command(layout, manifest, folder)}"] if damage else []


def render(
    options: RenderOptions, session: Session, *, root: Path | None = None, workers: int | None = None
) -> RenderedTree:
    """Render the benchmark to a tree of images, or continue an interrupted one.

    Args:
        options: Parameters of the benchmark.
        session: Device, reporter and folders.
        root: Folder of the tree; None: the default folder in the data directory.
        workers: Number of processes; None: one per core.

    Raises:
        UsageError: The folder holds a benchmark with other parameters.
        DataError: Writing failed.
    """
    folder = root or session.data_dir / "rendered" / load_layout(options.layout).folder
    return write_tree(
        folder,
        options,
        device=str(session.runtime.device),
        workers=workers,
        progress=session.reporter.progress("rendering"),
    )
