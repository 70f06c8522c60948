"""Images to embed: all images of a folder, or the lines of a list.

A folder is walked with its sub-folders, in the order of the paths; names of files and folders may state
person, camera and modality (``image_names``). If it has a list ``records.csv``, the list is used instead.

A list is a CSV file in UTF-8 with a header; commas, semicolons or tabs separate the cells. ``path`` is
required and relative to the list's folder, or absolute. ``modality`` (visible or infrared), ``camid``,
``pid`` and ``time`` are optional, and so is each of their cells. Further columns are kept.
"""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from vireid_cli import reading
from vireid_cli.counts import counted
from vireid_cli.data import layout
from vireid_cli.data.ids import id_problem, is_text, parse_id, shorten
from vireid_cli.data.image_names import NameReader
from vireid_cli.data.records_file import NAME
from vireid_cli.embedding_files.rows import (
    LONGEST_PATH,
    NAMES,
    UNKNOWN,
    ImageRows,
    column_name_problem,
    parse_time,
    repeated_names,
    typed_column,
)
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import IMAGE_ENDINGS, Modality

UNDECIDED = 2
"""Code of an image of unknown modality."""

LISTED = 20
"""Number of invalid lines in an error; the rest is counted."""

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class ListedImages:
    """Images to embed.

    Attributes:
        rows: The images; the modality of some may be ``UNDECIDED``.
        root: Folder of relative paths, absolute.
        source: The list or the folder.
        notes: Sentences about ignored files.
    """

    rows: ImageRows
    root: Path
    source: Path
    notes: tuple[str, ...] = ()

    def file(self, row: int) -> Path:
        """Return the path of the image file of a row."""
        return self.root / str(self.rows.paths[row])

    def stats(self, workers: int) -> np.ndarray:
        """Return size in bytes and time of modification in nanoseconds of the image files, (N, 2) int64.

        The size of a missing file is -1.
        """
        root, paths = str(self.root), self.rows.paths

        def measure(first: int) -> list[tuple[int, int]]:
            """Return size and time of the files of one chunk."""
            return [_stat(os.path.join(root, path)) for path in paths[first : first + _CHUNK].tolist()]

        with ThreadPoolExecutor(workers) as pool:  # network file systems answer many requests at once
            parts = list(pool.map(measure, range(0, len(paths), _CHUNK)))
        return np.array([stat for part in parts for stat in part], dtype=np.int64).reshape(-1, 2)


def _stat(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1, 0
    return status.st_size, status.st_mtime_ns


def list_images(source: Path) -> ListedImages:
    """List the images of a folder or of a list.

    Args:
        source: A folder, or a ``.csv`` file.

    Raises:
        UsageError: ``source`` does not exist, or is neither a folder nor a ``.csv`` file.
        DataError: There is no image, a name is not UTF-8, or the list has invalid lines; the message lists
            the first twenty.
    """
    if source.is_dir():
        inside = source / NAME
        return read_list(inside) if inside.is_file() else walk_folder(source)
    if not source.exists():
        raise UsageError(f"--images {source} does not exist.", "Give a folder of images, or a list LIST.csv.")
    if source.suffix.lower() != ".csv":
        raise UsageError(
            f"--images {source} is neither a folder nor a list (.csv).",
            "Give the folder of the images, or a list with the header path,modality,camid,pid,time.",
        )
    return read_list(source)


def walk_folder(folder: Path) -> ListedImages:
    """List all images of a folder and its sub-folders; raises as ``list_images``."""
    root = folder.resolve()
    walk, paths, dangling, linked = layout.Walk(), list[str](), list[str](), list[str]()
    for place, folders, names in os.walk(root):
        inside = Path(place).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked += [f"{prefix}{name}" for name in folders if os.path.islink(os.path.join(place, name))]
        for name in names:
            link = os.path.join(place, name)
            if os.path.islink(link) and not os.path.exists(link):
                dangling.append(f"{prefix}{name}")
            elif name.lower().endswith(IMAGE_ENDINGS) and not name.startswith("."):
                paths.append(f"{prefix}{name}")
            else:
                walk.ignore(Path(name))
    notes = [note.partition(";")[0] for note in walk.notes()]
    for links, problem in ((dangling, "links without a target"), (linked, "links to folders")):
        if links:
            shown = layout.first([shorten(name, layout.LONGEST) for name in sorted(links)], layout.SHOWN)
            notes.append(f"{len(links):,} {problem}, ignored: {shown}")
    if not paths:
        listed = "".join(f"\n  {note}" for note in notes)
        raise DataError(f"{folder} has no image ({', '.join(IMAGE_ENDINGS)}).{listed}")
    paths.sort()
    _refuse_other_names(paths, folder)
    reader = NameReader(root.parts[-2:])
    facts = [reader.facts(path) for path in paths]
    rows = ImageRows(
        np.array(paths, dtype=np.str_),
        np.array([UNDECIDED if f.modality is None else f.modality.code for f in facts], dtype=np.uint8),
        np.array([f.camid for f in facts], dtype=np.int64),
        np.array([f.pid for f in facts], dtype=np.int64),
        np.full(len(paths), "", dtype=np.str_),
    )
    return ListedImages(rows, root, folder, tuple(notes))


def _refuse_other_names(paths: list[str], folder: Path) -> None:
    """Refuse names that are not UTF-8, because files of embeddings can't contain them."""
    wrong = [path for path in (*paths, str(folder.resolve())) if not is_text(path)]
    if wrong:
        shown = layout.first([shorten(name, layout.LONGEST) for name in wrong], layout.SHOWN)
        raise DataError(f"{folder}: {counted(len(wrong), 'name')} not UTF-8: {shown}", "Rename them.")


def read_list(path: Path) -> ListedImages:
    """Read a list; raises as ``list_images``."""
    lines = _lines(path)
    header = next(lines, (1, []))[1]
    _check_header(header, path)
    table = _Columns(header)
    for line, cells in lines:
        table.add(line, cells)
    if table.wrong:
        shown = "\n".join(f"  {path.name}:{line}: {reason}" for line, reason in table.wrong[:LISTED])
        more = f"\n  and {len(table.wrong) - LISTED:,} more" if len(table.wrong) > LISTED else ""
        raise DataError(
            f"{path}: {len(table.wrong):,} invalid lines:\n{shown}{more}",
            "An example: images/1.jpg,infrared,3,7,2026-11-01T18:30:00 under the header "
            "path,modality,camid,pid,time. Only path is required.",
        )
    if not table.paths:
        raise DataError(f"{path} lists no image.", "Each line after the header is one image.")
    return ListedImages(table.rows(), path.parent.resolve(), path)


def _check_header(header: Sequence[str], path: Path) -> None:
    """Refuse a header without ``path``, and names that can't be columns of a file of embeddings."""
    if "path" not in header:
        shown = shorten(",".join(header), layout.LONGEST) or "empty"
        raise DataError(
            f"{path}:1: the header lacks 'path': {shown}.", "The first line names the columns; path is one."
        )
    further = [name for name in header if name not in NAMES]
    problems = [problem for name in further if (problem := column_name_problem(name))]
    if "embedding" in header:
        problems.append("column 'embedding': the name of the result")
    repeated = repeated_names([*(n for n in NAMES if n not in header), *header])
    problems += [repeated] if repeated else []
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems[:LISTED])
        raise DataError(f"{path}:1: names of columns:{listed}", "Rename or remove these columns.")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each line that is not blank.

    Raises:
        DataError: The file is not text in UTF-8, or a line is no CSV.
    """
    text = reading.read_text(path)
    start = text.lstrip("\n").partition("\n")[0]
    reader = csv.reader(StringIO(text), delimiter=next((mark for mark in ",;\t" if mark in start), ","))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: can't be read: {error}",
            'Check this line, or an earlier one that begins a quoted value (") without its end.',
        ) from error


class _Columns:
    """Columns of a list while it is read, with its invalid lines."""

    def __init__(self, header: Sequence[str]) -> None:
        self.header = list(header)
        self.wrong: list[tuple[int, str]] = []
        self.paths: list[str] = []
        self._lines: dict[str, int] = {}
        self._codes, self._camids, self._pids = bytearray(), list[int](), list[int]()
        self._times: list[str] = []
        self._further: dict[str, list[str]] = {name: [] for name in header if name not in NAMES}

    def add(self, line: int, cells: list[str]) -> None:
        """Add a line, or its problem."""
        if problem := self._add(line, cells):
            self.wrong.append((line, problem))

    def _add(self, line: int, cells: list[str]) -> str:
        if len(cells) != len(self.header):
            return f"{len(cells)} values, expected {len(self.header)}"
        row = dict(zip(self.header, cells, strict=True))
        path, modality, time = row["path"], row.get("modality", ""), parse_time(row.get("time", ""))
        numbers = [row.get(name, "") for name in ("camid", "pid")]
        if problem := _path_problem(path):
            return problem
        path = posixpath.normpath(path)
        if path in self._lines:
            return f"{shorten(path, layout.LONGEST)} is already listed in line {self._lines[path]}"
        if modality and modality not in tuple(Modality):
            return f"modality '{shorten(modality)}' is neither visible nor infrared"
        for name, text in zip(("camid", "pid"), numbers, strict=True):
            if text and (problem := id_problem(text)):
                return f"{name} {problem}"
        if time is None:
            return f"time '{shorten(row['time'])}' is neither ISO 8601 (2026-11-01T18:30:00) nor seconds"
        if any(len(cell) > LONGEST_PATH or "\0" in cell for cell in cells):
            return f"a value has more than {LONGEST_PATH} characters"
        self._lines[path] = line
        self.paths.append(path)
        self._codes.append(Modality(modality).code if modality else UNDECIDED)
        camid, pid = (parse_id(text) if text else UNKNOWN for text in numbers)
        self._camids.append(UNKNOWN if camid is None else camid)
        self._pids.append(UNKNOWN if pid is None else pid)
        self._times.append(time)
        for name, column in self._further.items():
            column.append(row[name])
        return ""

    def rows(self) -> ImageRows:
        """Return the columns as arrays."""
        return ImageRows(
            np.array(self.paths, dtype=np.str_),
            np.frombuffer(bytes(self._codes), dtype=np.uint8),
            np.array(self._camids, dtype=np.int64),
            np.array(self._pids, dtype=np.int64),
            np.array(self._times, dtype=np.str_),
            {name: typed_column(texts) for name, texts in self._further.items()},
        )


def _path_problem(path: str) -> str:
    """Return the reason why a cell is no path; empty if it is one."""
    if not path:
        return "the path is empty"
    if "\\" in path:
        return f"path '{shorten(path, layout.LONGEST)}' has backslashes: use forward slashes (images/1.jpg)"
    return ""
