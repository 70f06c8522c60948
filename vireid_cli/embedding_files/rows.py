"""Columns of a file of embeddings beside the embedding: path, modality, camera, person, time, and others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from vireid_cli.modality import Modality

UNKNOWN = -1
"""Person or camera number of an image without one."""

NAMES = ("path", "modality", "camid", "pid", "time", "embedding")
"""Columns of every file; further columns have other names."""

COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
"""Form of the name of a further column: filters of an index refer to it."""

LONGEST_PATH = 4096
"""Number of characters of the longest accepted path or text."""

ColumnKind = Literal["int", "float", "text"]

_INT = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_SECONDS = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class ImageRows:
    """Images as columns of equal length N, in a fixed order.

    Attributes:
        paths: (N,) unicode, relative to the root of the file of embeddings, or absolute.
        modalities: (N,) uint8, ``Modality.code``.
        camids: (N,) int64, ``UNKNOWN`` if unknown.
        pids: (N,) int64, ``UNKNOWN`` if unknown.
        times: (N,) unicode, ``2026-11-01T18:30:00.000000`` or an empty string. Times that were given with an
            offset are in UTC, others as given. Their order as text is their order in time.
        columns: Further columns by name: (N,) int64, float64 (NaN: no value) or unicode.
    """

    paths: np.ndarray
    modalities: np.ndarray
    camids: np.ndarray
    pids: np.ndarray
    times: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of images, N."""
        return len(self.paths)

    def take(self, index: np.ndarray) -> ImageRows:
        """Select the rows at ``index`` (integers or a boolean mask), in that order."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return ImageRows(
            self.paths[index],
            self.modalities[index],
            self.camids[index],
            self.pids[index],
            self.times[index],
            columns,
        )

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """Kind of each further column."""
        kinds: dict[str, ColumnKind] = {"i": "int", "f": "float", "U": "text"}
        return {name: kinds[column.dtype.kind] for name, column in self.columns.items()}

    def problem(self) -> str:
        """Return the first problem of the columns, such as another length; empty if there is none."""
        forms = {"paths": "U", "modalities": "u", "camids": "i", "pids": "i", "times": "U"}
        for name, kind in forms.items():
            column = getattr(self, name)
            if column.ndim != 1 or column.dtype.kind != kind:
                return f"{name} are {column.dtype} of shape {column.shape}"
            if len(column) != len(self.paths):
                return f"{len(self.paths)} paths, but {len(column)} {name}"
        for number, label in ((self.camids, "camid"), (self.pids, "pid")):
            if len(number) and number.min() < UNKNOWN:
                return f"row {int(number.argmin())}: {label} {number.min()} is negative"
        if len(bad := np.flatnonzero(self.modalities > 1)):
            return f"row {bad[0]}: its modality is neither {' nor '.join(Modality)}"
        if len(bad := np.flatnonzero(self.paths == "")):
            return f"row {bad[0]}: its path is empty"
        if len(bad := np.flatnonzero(~_are_times(self.times))):
            return f"row {bad[0]}: its time is not of the form 2026-11-01T18:30:00.000000"
        return self._column_problem()

    def _column_problem(self) -> str:
        for name, column in self.columns.items():
            if problem := column_name_problem(name):
                return problem
            if column.ndim != 1 or column.dtype.kind not in "ifU" or len(column) != len(self.paths):
                return f"column {name} is {column.dtype} of shape {column.shape}"
        return repeated_names([*NAMES, *self.columns])


def column_name_problem(name: str) -> str:
    """Return the reason why a further column can't have this name; empty if it can."""
    if not COLUMN_NAME.fullmatch(name):
        shown = name if len(name) <= 40 else f"{name[:40]}…"
        return f"column '{shown}': a name has 1 to 63 letters (a-z), digits and _, and no digit first"
    return ""


def repeated_names(names: Sequence[str]) -> str:
    """Return the problem of two names that are equal or differ in case only; empty if there is none."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            return f"columns '{seen[name.lower()]}' and '{name}' have the same name"
        seen[name.lower()] = name
    return ""


def parse_time(text: str) -> str | None:
    """Convert a time to the form of ``ImageRows.times``; None if the text is no time.

    Args:
        text: An ISO 8601 date and time with or without offset, a date, seconds since 1970 (UTC), or an
            empty string.

    >>> parse_time("2026-11-01 18:30+01:00")
    '2026-11-01T17:30:00.000000'
    """
    if not text:
        return ""
    try:
        if _SECONDS.fullmatch(text) and len(text.partition(".")[0]) != 8:
            moment = datetime.fromtimestamp(float(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="microseconds")


def typed_column(texts: Sequence[str]) -> np.ndarray:
    """Convert the texts of a column: to int64 or float64 if all are numbers, otherwise to unicode.

    Numbers have no leading zeros: a column with ``007`` remains text. A column of integers has no empty cell.
    Empty cells of a column of numbers become NaN; a column of empty cells only remains text.
    """
    if texts and all(map(_INT.fullmatch, texts)):
        return np.array([int(text) for text in texts], dtype=np.int64)
    if any(texts) and all(not text or _FLOAT.fullmatch(text) for text in texts):
        return np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)
    return np.array(texts, dtype=np.str_)


def _are_times(times: np.ndarray) -> np.ndarray:
    """(N,) bool: rows with a time in the canonical form, or an empty string."""
    known = times != ""
    valid = ~known
    if known.any():
        try:
            moments = times[known].astype("datetime64[us]")
        except ValueError:
            valid[known] = [_is_time(text) for text in times[known].tolist()]
            return valid
        valid[known] = np.datetime_as_string(moments) == times[known]
    return valid


def _is_time(text: str) -> bool:
    return parse_time(text) == text
