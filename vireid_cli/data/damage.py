"""Detection of damage in generated trees: changed, missing and added files."""

from __future__ import annotations

import json
from pathlib import Path

from vireid_cli import sums
from vireid_cli.counts import counted
from vireid_cli.data.layout import first
from vireid_cli.data.provenance import Provenance, occluding_command, read_provenance, rendering_command
from vireid_cli.errors import DataError
from vireid_cli.files import data_option
from vireid_cli.reading import read_text
from vireid_cli.types import IMAGE_ENDINGS

RENDERED_SUMS = "vireid-rendered.sha256"
OCCLUSION_LINES = "vireid-occlusion.jsonl"
"""Hash lists of a rendered tree and of an occluded tree."""


def refuse_damaged(dataset: str, root: Path, data_dir: Path) -> None:
    """Refuse a rendered or occluded tree with changed or missing files; real datasets have no hashes.

    Args:
        dataset: Name of a source.
        root: Root of the tree.
        data_dir: Data directory, for the command that repairs the tree.

    Raises:
        DataError: Files differ, are missing, or images were added; the message names the first ones and the
            remedy.
    """
    provenance = read_provenance(root)
    repair = _repair(dataset, root, provenance, data_dir)
    expected = _expected(root, provenance, repair)
    if not expected:
        return
    images = (path for path in root.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
    foreign = sorted({path.relative_to(root).as_posix() for path in images} - expected.keys())
    if foreign:
        raise DataError(
            f"{root}: {counted(len(foreign), 'image')} outside of this generated dataset: "
            f"{first(foreign, 3)}",
            "Delete them or move them away: results would not be those of the dataset.",
        )
    changed, missing = sums.differences(root, expected)
    if changed or missing:
        kind = "occluded" if provenance.occlusion else "rendered"
        details = [f"{len(changed)} changed ({first(changed, 3)})"] if changed else []
        details += [f"{len(missing)} missing ({first(missing, 3)})"] if missing else []
        raise DataError(
            f"the {kind} dataset at {root} is damaged: files {', '.join(details)}",
            f"Repair it: {repair}",
        )


def _expected(root: Path, provenance: Provenance, repair: str) -> dict[str, str] | None:
    """Recorded hashes by path; None for trees of earlier versions, which recorded none.

    Raises:
        DataError: The list of hashes is missing, or differs from the one that the tree's mark records.
    """
    if not provenance.occlusion:
        recorded = provenance.manifest.get("files_sha256")
        expected = sums.read_sums(root / RENDERED_SUMS, recorded)
        if recorded and expected is None:
            raise _lost(root / RENDERED_SUMS, repair)
        return expected
    path = root / OCCLUSION_LINES
    if sums.file_digest(path) != provenance.occlusion_content:
        raise _lost(path, repair)
    rows = map(json.loads, read_text(path).splitlines())
    return {**{row["path"]: row["sha256"] for row in rows}, **provenance.occlusion.get("lists", {})}


def _lost(path: Path, repair: str) -> DataError:
    return DataError(
        f"{path} is missing or damaged: the images can't be compared with their hashes",
        f"Repair it: {repair}",
    )


def _repair(dataset: str, root: Path, provenance: Provenance, data_dir: Path) -> str:
    if provenance.occlusion:
        command = occluding_command(provenance.occlusion["from"], root, data_option(data_dir))
        return f"{command}, with the original options"
    return rendering_command(dataset, provenance.manifest, root)
