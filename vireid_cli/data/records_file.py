"""A dataset as a list: ``records.csv`` at its root, which replaces the layout of any source.

The list makes images of another layout usable without copying them. It has one line per image and the header
``path,pid,camid,modality,split``; semicolons, tabs or blanks may separate the fields instead of commas. Paths
are relative to the file, with forward slashes; ``./a.jpg`` and ``a.jpg`` are one image. ``modality`` is
``visible`` or ``infrared``; ``split`` is ``train``, ``val``, ``test``, ``query`` or ``gallery``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from vireid_cli import reading
from vireid_cli.data import layout
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.ids import id_problem, parse_id, shorten
from vireid_cli.data.listing import normalise
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport, folder, load_source
from vireid_cli.dataset_names import OWN, split_name
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality, Record

NAME = "records.csv"
NOTE = f"read from {NAME}"
"""Note of a scan, and of its store, that used a list."""

HEADER = ("path", "pid", "camid", "modality", "split")
SPLITS = ("train", "val", "test", "query", "gallery")


def scan(dataset: str, root: Path, split: IdentitySplit | None = None) -> Scan:
    """Read the list of a dataset if ``root`` has one, otherwise its layout.

    Args:
        dataset: Name of the dataset.
        root: Its root.
        split: Rule that divides the people of an own folder without splits; None: the default rule.

    Raises:
        UsageError: No source has this name, ``root`` is not its root, or ``split`` has no effect on it.
        DataError: The list or the layout is invalid or incomplete.
    """
    source = load_source(dataset)
    read_provenance(root)  # reports an unfinished tree before its missing folders
    listed = (root / NAME).is_file()
    if split is None:
        # the source of an occluded tree checks its mark, then reads list or layout of the original
        occluded = hasattr(source, "BASE")
        return scan_list(root) if listed and not occluded else source.scan(root)
    if listed or split_name(dataset)[0] != OWN:
        reason = f"{NAME} divides the people" if listed else f"{source.TITLE} has its own division"
        raise UsageError(f"--split has no effect on {root}: {reason}.", "Remove --split and --seed.")
    return folder.scan_with_split(root, split)


def scan_list(root: Path) -> Scan:
    """Read ``root/records.csv``.

    Raises:
        DataError: The file can't be read or has invalid lines; the message lists the first twenty.
    """
    path = root / NAME
    records, wrong = _read(path)
    if wrong:
        shown = "\n".join(f"  {path.name}:{line}: {reason}" for line, reason in wrong[:20])
        more = f"\n  and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise DataError(
            f"{path}: {len(wrong)} invalid lines:\n{shown}{more}",
            f"The header is {','.join(HEADER)}; an example of a line: images/1.jpg,7,1,visible,train",
        )
    table = layout.Walk(records).table(root, f"one image per line in {NAME}")
    layout.refuse_overlap(table, path, "A person belongs to training or to the test: change its split.")
    notes = (NOTE, *layout.missing_modalities(table))
    return Scan(table, ScanReport(layout.count(table), notes, read_provenance(root)), None)


def _read(path: Path) -> tuple[list[Record], list[tuple[int, str]]]:
    """Read the records, and the invalid lines as (line number, reason)."""
    records: list[Record] = []
    wrong: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    rows = _rows(path)
    _, header = next(rows, (1, []))
    if tuple(header) != HEADER:
        return [], [(1, f"the header is {shorten(','.join(header)) or 'missing'}")]
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        record = _record(row)
        if isinstance(record, str):
            wrong.append((line, record))
        elif record.path in seen:
            wrong.append((line, f"{record.path} is already listed in line {seen[record.path]}"))
        else:
            seen[record.path] = line
            records.append(record)
    return records, wrong


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells; the header decides between commas, semicolons, tabs and blanks.

    Raises:
        DataError: A line is no CSV, such as one with a value beyond the limit of Python's reader.
    """
    text = reading.read_text(path)
    start = text.lstrip("\n").partition("\n")[0]
    separator = next((mark for mark in ",;\t" if mark in start), None)
    if separator is None:
        for line, row in enumerate(text.split("\n"), 1):
            yield line, row.rsplit(None, len(HEADER) - 1)  # a path may contain blanks
        return
    reader = csv.reader(StringIO(text), delimiter=separator)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: can't be read: {error}",
            "A value has at most 131,072 characters: check this line, or an earlier one that begins a quoted "
            'value (") without its end.',
        ) from error


def _record(cells: list[str]) -> Record | str:
    """Convert the cells of a line to a record, or return the reason why they are invalid."""
    if len(cells) != len(HEADER):
        return f"{len(cells)} values, expected {len(HEADER)}"
    path, pid, camid, modality, split = cells
    if "\\" in path:
        return f"path '{shorten(path, layout.LONGEST)}' has backslashes: use forward slashes (images/1.jpg)"
    inside = normalise(path)
    if inside is None:
        return f"path '{shorten(path, layout.LONGEST)}' is not inside the dataset's root"
    for name, text in (("pid", pid), ("camid", camid)):
        if problem := id_problem(text):
            return f"{name} {problem}"
    if modality not in tuple(Modality):
        return f"modality '{shorten(modality)}' is neither visible nor infrared"
    if split not in SPLITS:
        return f"split '{shorten(split)}' is none of {', '.join(SPLITS)}"
    return Record(inside, parse_id(pid) or 0, parse_id(camid) or 0, Modality(modality), split)
