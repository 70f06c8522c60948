"""Columns of records: fixed ones, and those of the user's lists, with types inferred from their values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from vireid_cli.embedding_files.rows import parse_time
from vireid_cli.errors import DataError, UsageError
from vireid_cli.modality import Modality
from vireid_cli.printable import printable

ColumnType = Literal["integer", "real", "text"]

PATH, MODALITY, TIME, IDENTIFIER = "path", "modality", "time", "record_id"
CAMERA, PERSON = "camid", "pid"

FIXED: dict[str, ColumnType] = {
    PATH: "text",
    MODALITY: "text",
    CAMERA: "integer",
    PERSON: "integer",
    TIME: "text",
}
"""Columns of every index, in the order of the database."""

FILTERABLE: dict[str, ColumnType] = {**FIXED, IDENTIFIER: "integer"}
"""Columns that filters of every index can use."""

MOST_COLUMNS = 200
LONGEST_NAME = 200

SAME_TEXT = 10**15
"""Bound of the integers with the text of the equal real number; a part of the format of seals."""

MOST_EXACT = 2**53
"""Largest integer up to which real numbers hold every integer."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_LONG_INTEGER = re.compile(r"-?[1-9][0-9]{15,}")
_LEADING_ZERO = re.compile(r"-?0[0-9]+")
_WIDTH: dict[ColumnType, int] = {"integer": 0, "real": 1, "text": 2}

Cell = str | int | float | None
"""A value of a record; None is unknown."""


def wider(one: ColumnType, other: ColumnType) -> ColumnType:
    """The narrower type that holds the values of both: integer, real, text."""
    return one if _WIDTH[one] >= _WIDTH[other] else other


def infer_type(values: Iterable[Cell]) -> ColumnType:
    """Infer the type of a column: integer if all texts are plain integers, real if numbers, else text.

    Texts such as ``0012`` make a column text, because the zeros would be lost; so do integers beyond
    ``MOST_EXACT`` in a column of real numbers, which would round them. Unknown values are skipped.
    """
    widest: ColumnType = "integer"
    exact = True
    for value in values:
        exact = exact and is_exact(value)
        if value is None or isinstance(value, int):
            continue
        if isinstance(value, float):
            widest = wider(widest, "real")
        elif not _INTEGER.fullmatch(value):
            if _LEADING_ZERO.fullmatch(value) or not _is_real(value):
                return "text"
            widest = wider(widest, "real")
    return "text" if widest == "real" and not exact else widest


def is_exact(value: Cell) -> bool:
    """Whether a column of real numbers can hold a value without rounding an integer."""
    if isinstance(value, int):
        return -MOST_EXACT <= value <= MOST_EXACT
    if isinstance(value, str) and _LONG_INTEGER.fullmatch(value):
        return len(value.lstrip("-")) <= len(str(MOST_EXACT)) and abs(int(value)) <= MOST_EXACT
    return True


def convert(value: Cell, kind: ColumnType) -> Cell:
    """Convert a value to a column's type, which ``infer_type`` or ``wider`` determined."""
    if value is None:
        return None
    if kind == "text":
        return as_text(value)
    return int(value) if kind == "integer" else float(value)


def as_text(value: Cell) -> str:
    """Text of a value; the same for an integer and the equal real number below ``SAME_TEXT``."""
    if isinstance(value, float) and value.is_integer() and abs(value) < SAME_TEXT:
        return str(int(value))
    return str(value)


def cells(values: Iterable[Any]) -> list[Cell]:
    """Convert a column of an array or list to cells: None, empty text, NaN and infinity are unknown."""
    plain = values.tolist() if hasattr(values, "tolist") else list(values)
    return [_cell(value) for value in plain]


def checked_columns(columns: Mapping[str, Sequence[Any]], count: int) -> dict[str, list[Cell]]:
    """Validate the columns of new records and convert them to cells.

    Args:
        columns: Values by name. ``path`` and ``modality`` are needed; ``camid``, ``pid``, ``time`` and any
            other column are optional.
        count: Number of records.

    Returns:
        The columns; the fixed ones are always present.

    Raises:
        UsageError: A column has another length, a reserved or unsuitable name, or there are too many.
        DataError: A value is wrong; the message names its row and path.
    """
    if PATH not in columns:
        raise UsageError("the records have no column 'path'.")
    for name, values in columns.items():
        _check_name(name)
        if len(values) != count:
            raise UsageError(f"column '{name}' has {len(values)} values for {count} vectors.")
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"the records have {len(columns)} columns; the limit is {MOST_COLUMNS}.")
    result = {name: cells(values) for name, values in columns.items()}
    paths = result[PATH]
    for row, path in enumerate(paths):
        if not isinstance(path, str):
            raise DataError(f"row {row + 1} has no path.")
    for name, check in ((MODALITY, _modality), (CAMERA, _whole), (PERSON, _whole), (TIME, _time)):
        column = result.get(name, [None] * count)
        result[name] = [_checked(check, name, value, row, paths) for row, value in enumerate(column)]
    return result


def _checked(check: Callable[[Cell], Cell], name: str, value: Cell, row: int, paths: Sequence[Cell]) -> Cell:
    """Validate one value; raise ``DataError`` with its row and path."""
    try:
        return check(value)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"row {row + 1} ({paths[row]}): {name} is {value!r}; expected {_EXPECTED[name]}."
        ) from error


_EXPECTED = {
    MODALITY: "visible or infrared",
    CAMERA: "an integer of 64 bits",
    PERSON: "an integer of 64 bits",
    TIME: "a time of ISO 8601, such as 2026-11-01T08:30:00",
}


def _modality(value: Cell) -> Cell:
    """A modality."""
    return Modality(str(value)).value


def _whole(value: Cell) -> Cell:
    """An integer of 64 bits, or None."""
    if value is None:
        return None
    number = int(value)  # of a text, too; a text with a fraction raises ``ValueError``
    if (isinstance(value, float) and not value.is_integer()) or not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return number


def _time(value: Cell) -> Cell:
    """A time in the form of ``parse_time``, or None."""
    time = None if value is None else parse_time(str(value))
    if value is not None and time is None:
        raise ValueError(value)
    return time


def _cell(value: Any) -> Cell:
    """One value; NumPy's numbers became Python's before."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, str | int | float):
        return value.replace("\0", "\\0") if isinstance(value, str) else value
    return str(value)


def _is_real(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text)) and "_" not in text and text == text.strip()
    except ValueError:
        return False


def _check_name(name: str) -> None:
    """Refuse reserved, empty, long and unprintable names of columns."""
    if name in FIXED:
        return
    if name.lower() in FILTERABLE or not name.strip() or len(name) > LONGEST_NAME or "]" in name:
        raise UsageError(
            f"a column can't be named '{printable(name)}'.",
            f"Rename it; reserved are {', '.join(FILTERABLE)}, and ']' is not allowed.",
        )
    if printable(name) != name:
        raise UsageError(f"column '{printable(name)}' has unprintable characters in its name.", "Rename it.")
