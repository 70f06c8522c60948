"""Search for a dataset's images in the data directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vireid_cli.data.provenance import is_rendered
from vireid_cli.data.sources import load_source, title_of
from vireid_cli.dataset_names import split_name
from vireid_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Located:
    """Location of a dataset's images.

    Attributes:
        root: Root of the dataset.
        rendered: Whether the root has the mark of a rendered tree.
    """

    root: Path
    rendered: bool


def places(dataset: str, data_dir: Path) -> tuple[Path, Path]:
    """Return the usual places of a dataset's images: real ones, then rendered ones.

    They have the name of the source's folder, or the label of an own folder.
    """
    name = split_name(dataset)[1] or load_source(dataset).FOLDER
    return data_dir / name, data_dir / "rendered" / name


def locate(dataset: str, data_dir: Path, root: Path | None = None) -> Located:
    """Find a dataset: ``root`` if it is not None, else ``<data>/<FOLDER>`` or ``<data>/rendered/<FOLDER>``.

    Raises:
        UsageError: The dataset is in none of these places; the hint describes how to get or render it.
    """
    source = load_source(dataset)
    if root is not None:
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", source.HOW_TO_GET)
        return Located(root, is_rendered(root))
    usual = places(dataset, data_dir)
    for place in usual:
        if place.is_dir():
            return Located(place, is_rendered(place))
    raise UsageError(
        f"{title_of(dataset)} not found: neither {usual[0]} nor {usual[1]} exists "
        "(--data or $VIREID_DATA sets the data directory).",
        source.HOW_TO_GET,
    )
