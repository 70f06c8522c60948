"""Detection of damage in generated trees: changed, missing and added files."""

from __future__ import annotations

import json
from pathlib import Path

from vireid_cli import sums
from vireid_cli.counts import counted
from vireid_cli.data.layout import first
from vireid_cli.data.provenance import Provenance, read_provenance, rendering_command
from vireid_cli.errors import DataError
from vireid_cli.reading import read_text
from vireid_cli.types import IMAGE_ENDINGS

RENDERED_SUMS = "vireid-rendered.sha256"
OCCLUSION_LINES = "vireid-occlusion.jsonl"
"""Hash lists of a rendered tree and of an occluded tree."""


def refuse_damaged(dataset: str, root: Path) -> None:
    """Refuse a rendered or occluded tree with changed or missing files; real datasets have no hashes.

    Raises:
        DataError: Files differ, are missing, or images were added; the message names the first ones and the
            remedy.
    """
    provenance = read_provenance(root)
    expected = _expected(dataset, root, provenance)
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
            f"Repair it: {_repair(dataset, root, provenance)}",
        )


def _expected(dataset: str, root: Path, provenance: Provenance) -> dict[str, str] | None:
    """Recorded hashes by path; None for trees of earlier versions, which recorded none.

    Raises:
        DataError: The list of hashes is missing, or differs from the one that the tree's mark records.
    """
    if not provenance.occlusion:
        recorded = provenance.manifest.get("files_sha256")
        expected = sums.read_sums(root / RENDERED_SUMS, recorded)
        if recorded and expected is None:
            raise _lost(root / RENDERED_SUMS, _repair(dataset, root, provenance))
        return expected
    path = root / OCCLUSION_LINES
    if sums.file_digest(path) != provenance.occlusion_content:
        raise _lost(path, _repair(dataset, root, provenance))
    rows = map(json.loads, read_text(path).splitlines())
    return {**{row["path"]: row["sha256"] for row in rows}, **provenance.occlusion.get("lists", {})}


def _lost(path: Path, repair: str) -> DataError:
    return DataError(
        f"{path} is missing or damaged: the images can't be compared with their hashes",
        f"Repair it: {repair}",
    )


def _repair(dataset: str, root: Path, provenance: Provenance) -> str:
    if provenance.occlusion:
        base = provenance.occlusion["from"]
        return f"vireid prepare occluded --from {base} --root {root}, with the original options"
    return rendering_command(dataset, provenance.manifest, root)
