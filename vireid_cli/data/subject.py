"""The records of a preparation and the description of their store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data.store import StoreInfo, open_store_at
from vireid_cli.data.store_fingerprint import fingerprint
from vireid_cli.errors import DataError
from vireid_cli.types import RecordTable

LISTED = 20
"""Number of unreadable images listed in an error; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Records to prepare, and the description of their store."""

    records: RecordTable
    file_sizes: np.ndarray  # (N,) bytes; -1 for missing files
    info: StoreInfo

    def drop(self, bad: dict[int, str]) -> Subject:
        """Remove the rows in ``bad`` from the records and list them in the description."""
        listed = [
            {"path": str(self.records.paths[i]), "reason": reason, "bytes": int(self.file_sizes[i])}
            for i, reason in sorted(bad.items())
        ]
        kept = np.setdiff1d(np.arange(len(self.records)), np.fromiter(bad, np.int64, len(bad)))
        if len(kept) == 0:
            raise DataError(f"{self.info.root}: no image can be read", reasons(self, bad))
        all_bad = sorted(self.info.bad + listed, key=lambda entry: entry["path"])
        return subject_of(self.records.take(kept), self.file_sizes[kept], self.info, all_bad)


def subject_of(
    records: RecordTable, sizes: np.ndarray, info: StoreInfo, bad: list[dict[str, Any]]
) -> Subject:
    """Describe the store of these records, with its fingerprint.

    Args:
        records: Records to prepare.
        sizes: (N,) bytes of their files; -1 for missing files.
        info: Description with dataset, root, provenance and decoder.
        bad: Unreadable images, each with ``path``, ``reason`` and ``bytes``.
    """
    mark = fingerprint(info.dataset, info.provenance, records, sizes, info.decoder)
    changed = {"fingerprint": mark, "images": len(records), "bad": bad}
    return Subject(records, sizes, StoreInfo(**{**fields_of(info), **changed}))


def fields_of(info: StoreInfo) -> dict[str, Any]:
    """Fields of a description by name, without copies of their values."""
    return {name: getattr(info, name) for name in info.__slots__}


def without_known_bad(subject: Subject, folder: Path) -> Subject:
    """Drop images that an earlier ``skip_bad`` dropped, if their file size is unchanged."""
    try:
        listed = {entry["path"]: entry for entry in open_store_at(folder).info.bad}
    except DataError:
        return subject
    bad = {
        i: str(listed[path]["reason"])
        for i, path in enumerate(subject.records.paths.tolist())
        if path in listed and listed[path]["bytes"] == subject.file_sizes[i]
    }
    return subject.drop(bad) if bad else subject


def reasons(subject: Subject, bad: dict[int, str]) -> str:
    """List unreadable images with their reasons, a line each, at most ``LISTED``."""
    lines = [f"  {subject.records.paths[i]}: {reason}" for i, reason in sorted(bad.items())[:LISTED]]
    if len(bad) > LISTED:
        lines.append(f"  and {len(bad) - LISTED:,} more")
    return "\n".join(lines)
