"""Read an occluded tree: its base's layout, and the mark that says what was put before the people.

``vireid prepare occluded`` writes a mirror of a dataset: same paths, same lists, some images occluded.
Such a tree is read by the base's own source, found by its name as everywhere else.
"""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data.provenance import OCCLUSION, read_provenance
from vireid_cli.data.sources import Scan, load_source
from vireid_cli.errors import DataError, UsageError


def how_to_get(base: str) -> str:
    """The line that makes the occluded tree of a dataset."""
    return f"Made from the dataset '{base}', real or rendered: vireid prepare occluded --from {base}"


def scan_as(base: str, root: Path) -> Scan:
    """Read the occluded tree at ``root`` as its base's source reads the base.

    Raises:
        UsageError: ``root`` is no occluded tree.
        DataError: It was made from another dataset, or its making was interrupted, or what the base's
            source finds wrong.
    """
    if not (root / OCCLUSION).is_file():
        raise UsageError(f"{root} is not an occluded dataset: it holds no {OCCLUSION}", how_to_get(base))
    made_from = read_provenance(root).occlusion["from"]
    if made_from != base:
        raise DataError(
            f"{root} was made from '{made_from}', not from '{base}'",
            f"vireid prepare occ-{made_from} --root {root}",
        )
    return load_source(base).scan(root)
