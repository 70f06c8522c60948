"""Check a store again: each row against its hash, and the images on disk against the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vireid_cli.data.pixels import PixelFiles, digest, source_digest
from vireid_cli.data.records_file import NAME as LIST
from vireid_cli.data.sources import differences as source_differences
from vireid_cli.data.store import Store
from vireid_cli.types import Resize

CHUNK = 256
LISTED = 50


def verify(
    store: Store, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Differences between the store as it is and as it was written; none: the list is empty.

    Every prepared row is read again and its hash compared; every image file is read again where its
    root still exists, and compared by hash with what was decoded.

    Args:
        store: The store.
        workers: Threads; None: as many as there are processors.
        progress: Called with (rows checked, rows in all).
    """
    differences: list[str] = []
    finished, count = store.finished, len(store.records)
    if not finished:
        differences.append(f"{store.folder}: no finished pixel file")
    total, done = count * (len(finished) + bool(finished)), 0
    with ThreadPoolExecutor(workers) as pool:
        for k, files in enumerate(finished):
            rows = files.open_rows()
            assert rows is not None  # `finished` lists whole files only
            if hashlib.sha256(files.rows.read_bytes()).hexdigest() != files.description().get("rows_sha256"):
                differences.append(f"{files.rows.name}: the row hashes are not those that were written")
            jobs = [_Job(store, files, rows, part) for part in _parts(count)]
            checks = [_changed_pixels] if k else [_changed_pixels, _changed_files]
            for check in checks:
                for part, found in zip(_parts(count), pool.map(check, jobs), strict=True):
                    differences += found
                    done += len(part)
                    if progress:
                        progress(done, total)
    return differences if len(differences) <= LISTED else _shortened(differences)


def unlike_published(store: Store) -> list[str]:
    """List every number that is not the real dataset's: of SYSU-MM01 each identity and camera.

    Returns:
        Nothing for a rendered dataset, one that is read from a list, and one without published numbers.
    """
    if store.rendered or (store.info.root / LIST).is_file():
        return []
    found = [f"published numbers: {line}" for line in source_differences(store.info.dataset, store.records)]
    if found and store.info.bad:
        found.append(f"{len(store.info.bad)} unreadable images were left out (--skip-bad)")
    return found


def _parts(count: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), max(1, count // CHUNK))


class _Job:
    """Some rows of one size."""

    def __init__(self, store: Store, files: PixelFiles, rows: np.ndarray, index: np.ndarray) -> None:
        self.store, self.files, self.rows, self.index = store, files, rows, index


def _changed_pixels(job: _Job) -> list[str]:
    images = job.files.open_pixels()
    assert images is not None
    return [
        f"{job.files.pixels.name} row {i} ({job.store.records.paths[i]}): its pixels are not those written"
        for i in job.index.tolist()
        if digest(images[i]) != job.rows[i, 0].tobytes()
    ]


def _changed_files(job: _Job) -> list[str]:
    root = job.store.info.root
    if not root.is_dir():
        return [f"{root} is gone: the image files were not compared"] if 0 in job.index else []
    found = []
    for i in job.index.tolist():
        path, source = str(job.store.records.paths[i]), job.rows[i, 1].tobytes()
        complaint = _complaint(root / path, source, job.files.resize)
        if complaint:
            found.append(f"{path}: {complaint}")
    return found


def _complaint(path: Path, source: bytes, rule: Resize) -> str:
    """What is wrong with an image file, or nothing."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return "" if source_digest(data, rule) == source else "changed since it was prepared"


def _shortened(differences: list[str]) -> list[str]:
    return [*differences[:LISTED], f"and {len(differences) - LISTED:,} more"]
