"""A dataset as a list: ``records.csv`` at its root, in place of a layout.

Every source reads it first, so that images that lie in another layout than the usual one need no copying.
One line an image, with the header ``path,pid,camid,modality,split``; paths are relative to the file, with
forward slashes; ``modality`` is ``visible`` or ``infrared``; ``split`` is ``train``, ``val``, ``test``,
``query`` or ``gallery``.
"""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from vireid_cli import reading
from vireid_cli.data import layout
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Report, Scan, load_source
from vireid_cli.errors import DataError
from vireid_cli.types import Modality, Record

NAME = "records.csv"
HEADER = ("path", "pid", "camid", "modality", "split")
SPLITS = ("train", "val", "test", "query", "gallery")


def scan(dataset: str, root: Path) -> Scan:
    """Read a dataset: its list where ``root`` holds one, else the layout that its source knows.

    Raises:
        UsageError: No source of that name, or ``root`` is not its root.
        DataError: The list or the layout can't be used as it stands.
    """
    source = load_source(dataset)
    read_provenance(root)  # a tree whose making was interrupted lacks folders: that is the reason to name
    return scan_list(root) if (root / NAME).is_file() else source.scan(root)


def scan_list(root: Path) -> Scan:
    """Read ``root/records.csv``.

    Raises:
        DataError: It can't be read; every wrong line of the first twenty is named with what is expected.
    """
    path = root / NAME
    records, wrong = _read(path)
    if wrong:
        shown = "\n".join(f"  {path.name}:{line}: {why}" for line, why in wrong[:20])
        more = f"\n  and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise DataError(
            f"{path}: {len(wrong)} lines can't be used:\n{shown}{more}",
            f"The header is {','.join(HEADER)}; a line is, for example: images/1.jpg,7,1,visible,train",
        )
    found = layout.Found(records)
    table = found.table(root, f"one image a line in {NAME}")
    layout.refuse_overlap(table, path, "Each person is either trained on or tested on: change its split.")
    notes = (f"read from {NAME}", *layout.lacking(table))
    return Scan(table, Report(layout.count(table), notes, read_provenance(root)), None)


def _read(path: Path) -> tuple[list[Record], list[tuple[int, str]]]:
    """Records, and wrong lines by their number."""
    records: list[Record] = []
    wrong: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    reader = csv.reader(StringIO(reading.read_text(path)))
    try:
        header = tuple(name.strip() for name in next(reader, []))
        if header != HEADER:
            return [], [(1, f"the header is {','.join(header) or 'missing'}")]
        for row in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            record = _record([cell.strip() for cell in row])
            if isinstance(record, str):
                wrong.append((line, record))
            elif record.path in seen:
                wrong.append((line, f"{record.path} is listed in line {seen[record.path]} already"))
            else:
                seen[record.path] = line
                records.append(record)
    except csv.Error as error:
        raise DataError(f"{path} can't be read: {error}") from error
    return records, wrong


def _record(cells: list[str]) -> Record | str:
    """A record, or what is wrong with the line."""
    if len(cells) != len(HEADER):
        return f"{len(cells)} values where {len(HEADER)} are expected"
    path, pid, camid, modality, split = cells
    if not path or path.startswith("/") or ".." in path.split("/"):
        return f"path '{path}' is not inside the dataset's root"
    for name, text in (("pid", pid), ("camid", camid)):
        if not text.isdigit():
            return f"{name} '{text}' is not a whole number from 0"
    if modality not in tuple(Modality):
        return f"modality '{modality}' is neither visible nor infrared"
    if split not in SPLITS:
        return f"split '{split}' is none of {', '.join(SPLITS)}"
    return Record(path, int(pid), int(camid), Modality(modality), split)
