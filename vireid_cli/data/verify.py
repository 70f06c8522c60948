"""Verification of a store: compares each row with its hash, and the image files with the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from vireid_cli import reading
from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.data.formats import inspect
from vireid_cli.data.pixels import PixelFiles, digest, size_name, source_digest
from vireid_cli.data.provenance import occluding_command, rendering_command
from vireid_cli.data.records_file import NOTE as LIST_NOTE
from vireid_cli.data.sources import differences as source_differences
from vireid_cli.data.store import Store
from vireid_cli.dataset_names import prepare_command
from vireid_cli.printable import shell_line
from vireid_cli.processors import cores
from vireid_cli.types import Progress, RecordTable

CHUNK = 256
LISTED = 50
Entry = TypeVar("Entry")


def verify(store: Store, *, workers: int | None = None, progress: Progress | None = None) -> list[str]:
    """Compare all rows of a store with their hashes, and all image files with the hashes of decoded files.

    Each image file is read once and compared with all sizes, because they can be of different preparations.

    Args:
        store: The store.
        workers: Number of threads, by default one per processor.
        progress: Callback with (checked rows, all rows).

    Returns:
        One line per difference; empty for an intact store. Image files are not compared if their root is
        missing, which is also a difference.
    """
    differences: list[str] = []
    finished, count = store.complete_pixel_files, len(store.records)
    if not finished:
        differences.append(f"{store.folder}: no finished pixel file")
    counter = _Counter(count * (len(finished) + bool(finished)), progress)
    paths, info = store.records.paths, store.info
    with ThreadPoolExecutor(workers or cores()) as pool:
        for files in finished:
            if not _rows_as_written(files):
                differences.append(f"{files.rows.name}: the row hashes have changed")
            for row in _changed_pixels(files, count, pool, counter):
                differences.append(f"{files.pixels.name} row {row} ({paths[row]}): the pixels have changed")
        if finished and info.root.is_dir():
            changed = _changed_files(finished, store.records, info.root, info.decoder, pool, counter)
            differences += [f"{paths[row]}: {reason}" for row, reason in changed]
        elif finished:
            differences.append(f"{info.root} does not exist: the image files are not compared")
    return differences if len(differences) <= LISTED else _shortened(differences)


def repairs(store: Store, data_option: str = "") -> list[str]:
    """Return the commands that repair a store with differences, one per line.

    Args:
        store: The store.
        data_option: `` --data DIR`` if the store is not in the default data directory.
    """
    info = store.info
    if not info.root.is_dir():
        return [
            f"to compare the image files: {prepare_command(info.dataset)} --root <their folder>{data_option}"
        ]
    lines = []
    if info.provenance.occlusion:
        command = occluding_command(info.provenance.occlusion["from"], info.root, data_option)
        lines.append(f"if files of {info.root} are damaged or missing: {command}, with the original options")
    elif store.rendered:
        command = rendering_command(info.dataset, info.provenance.manifest, info.root)
        lines.append(f"if files of {info.root} are damaged or missing: {command}")
    options = [
        f" --size {size_name(files.size)} --resize {files.resize}" for files in store.complete_pixel_files
    ] or [""]
    command = f"{prepare_command(info.dataset)} --root {shell_line([str(info.root)])}{data_option}"
    note = "decodes only the rows that differ"
    return [*lines, *(f"to repair: {command}{option} ({note})" for option in options)]


def damaged_rows(
    files: PixelFiles,
    records: RecordTable,
    root: Path,
    decoder: Decoder,
    workers: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Find the rows of a finished size with changed pixels or a changed image file.

    Args:
        files: Pixel files of the size.
        records: Records of the rows.
        root: Root of the image files.
        decoder: Decoder of the image files.
        workers: Number of threads, by default one per processor.
        progress: Callback with (checked rows, all rows); each row counts twice.

    Returns:
        (D,) int64 row numbers, ascending.
    """
    counter = _Counter(2 * len(records), progress)
    with ThreadPoolExecutor(workers or cores()) as pool:
        pixels = _changed_pixels(files, len(records), pool, counter)
        sources = _changed_files([files], records, root, decoder, pool, counter)
    return np.unique(np.array([*pixels, *(row for row, _ in sources)], dtype=np.int64))


def compare_with_published(store: Store) -> list[str]:
    """Compare the counts of a real dataset with the published numbers.

    Returns:
        One line per difference. Empty for rendered datasets, for datasets prepared from a list, and for
        datasets without published numbers.
    """
    if store.rendered or LIST_NOTE in store.info.notes:
        return []
    lines = [f"published numbers: {line}" for line in source_differences(store.info.dataset, store.records)]
    if lines and store.info.bad:
        lines.append(f"{len(store.info.bad)} unreadable images were skipped (--skip-bad)")
    return lines


class _Counter:
    """Row counter that reports progress."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def add(self, rows: int) -> None:
        """Count ``rows`` more rows."""
        self.done += rows
        if self.progress:
            self.progress(self.done, self.total)


def _rows_as_written(files: PixelFiles) -> bool:
    """Whether the file of row hashes matches its hash in the description."""
    content = reading.read_bytes(files.rows)
    return hashlib.sha256(content).hexdigest() == files.description().get("rows_sha256")


def _changed_pixels(files: PixelFiles, count: int, pool: ThreadPoolExecutor, counter: _Counter) -> list[int]:
    """Rows of a finished size with pixels that do not match their hash."""
    images, rows = files.open_pixels(), files.open_rows()
    assert images is not None  # finished sizes only
    assert rows is not None

    def changed(part: np.ndarray) -> list[int]:
        """Return the rows with pixels that differ from their hash."""
        return [i for i in part.tolist() if digest(images[i]) != rows[i, 0].tobytes()]

    return [row for entries in _over_parts(changed, count, pool, counter) for row in entries]


def _changed_files(
    sizes: Sequence[PixelFiles],
    records: RecordTable,
    root: Path,
    decoder: Decoder,
    pool: ThreadPoolExecutor,
    counter: _Counter,
) -> list[tuple[int, str]]:
    """Rows with an image file that is missing or differs from the decoded file of a size, with the reason."""
    sources = []
    for files in sizes:
        rows = files.open_rows()
        assert rows is not None
        sources.append((files, rows[:, 1]))

    def changed(part: np.ndarray) -> list[tuple[int, str]]:
        """Return the rows with a changed image file, and the reasons."""
        checked = ((i, _file_problem(sources, root, records, i, decoder)) for i in part.tolist())
        return [(i, reason) for i, reason in checked if reason]

    return [row for entries in _over_parts(changed, len(records), pool, counter) for row in entries]


def _over_parts(
    check: Callable[[np.ndarray], list[Entry]], count: int, pool: ThreadPoolExecutor, counter: _Counter
) -> Iterator[list[Entry]]:
    """Yield the result of a check for each part of the rows, in order."""
    parts = np.array_split(np.arange(count), max(1, count // CHUNK))
    for part, entries in zip(parts, pool.map(check, parts), strict=True):
        yield entries
        counter.add(len(part))


def _file_problem(
    sources: Sequence[tuple[PixelFiles, np.ndarray]],
    root: Path,
    records: RecordTable,
    row: int,
    decoder: Decoder,
) -> str:
    """Compare an image file with the decoded file of each size; empty if equal, otherwise the reason.

    Args:
        sources: Sizes, each with the (N, 16) hashes of its decoded files.
        root: Root of the image files.
        records: Records of the rows.
        row: Row of the image.
        decoder: Decoder of the image files.
    """
    try:
        data = load(root / str(records.paths[row]))
    except BadImage as error:
        return str(error)
    try:
        mark = decoder.mark(inspect(data), records.modality(row))
    except BadImage:
        return "changed since preparation"
    present = {rule: source_digest(data, rule, mark) for rule in {files.resize for files, _ in sources}}
    stale = [files.name for files, rows in sources if rows[row].tobytes() != present[files.resize]]
    if not stale:
        return ""
    some = f" at {', '.join(stale)}" if len(stale) < len(sources) else ""
    return f"changed since preparation{some}"


def _shortened(differences: list[str]) -> list[str]:
    return [*differences[:LISTED], f"and {len(differences) - LISTED:,} more"]
