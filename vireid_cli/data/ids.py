"""Parser of person and camera numbers in names, lists and arrays.

A number consists of the digits 0 to 9 and fits into int64. ``str.isdigit`` and ``int`` are not sufficient:
they also accept superscripts or digits of other scripts, and have no limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import reading
from vireid_cli.printable import printable

LARGEST = 2**63 - 1
"""Largest person or camera number."""

_DIGITS = re.compile(r"[0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")

_SHOWN = 40


def parse_id(text: str) -> int | None:
    """Parse a number; None if the text is not one, see ``id_problem``."""
    return None if id_problem(text) else int(text.lstrip("0") or "0")


def parse_ids(texts: Iterable[str]) -> list[int]:
    """Parse numbers.

    Raises:
        ValueError: A text is not a number, see ``id_problem``.
    """
    numbers = []
    for text in texts:
        if problem := id_problem(text):
            raise ValueError(problem)
        numbers.append(int(text.lstrip("0") or "0"))
    return numbers


def id_problem(text: str) -> str:
    """Return the reason why a text is not a number from 0 to 2⁶³ − 1; empty if it is one."""
    if not _DIGITS.fullmatch(text):
        return f"'{shorten(text)}' is not a whole number from 0 in the digits 0-9"
    significant = text.lstrip("0")
    if len(significant) > 19 or (significant and int(significant) > LARGEST):
        return f"'{shorten(text)}' is larger than {LARGEST}"
    return ""


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8. Python represents other bytes as lone surrogates."""
    return name.isascii() or not _SURROGATE.search(name)


def shorten(text: str, length: int = _SHOWN) -> str:
    """Shorten a text for a message; control characters and bytes that are not UTF-8 become escapes."""
    shown = text if len(text) <= length else f"{text[:length]}…"
    return printable(shown)


def ids_of_array(values: Any) -> list[int]:
    """Convert an array to integers; it may have a floating-point type, as in MATLAB files.

    Raises:
        ValueError: A value is not an integer from 0 to 2⁶³ − 1.
    """
    array = np.asarray(values).ravel()
    if array.dtype.kind not in "uif":
        raise ValueError(f"values of type {array.dtype}")
    if array.dtype.kind == "f":
        wrong = ~(np.isfinite(array) & (array >= 0) & (array == np.floor(array)) & (array < 2.0**63))
    else:
        wrong = (array < 0) | (array > LARGEST)
    if wrong.any():
        raise ValueError(f"{array[wrong][0]} is not a whole number from 0 to {LARGEST}")
    return [int(value) for value in array]


def read_text_ids(path: Path) -> list[int]:
    """Read identities separated by commas or white space.

    Raises:
        ValueError: A word is not a positive number.
        DataError: The file can't be read.
    """
    return parse_ids(part for part in re.split(r"[,\s]+", reading.read_text(path)) if part)


def read_matrix_ids(path: Path) -> list[int]:
    """Read identities from the first numeric variable of a MATLAB file.

    Raises:
        ValueError: The file is damaged or has no numeric variable.
        DataError: The file can't be read.
    """
    from scipy.io import loadmat

    with reading.open_regular(path) as file:
        try:
            variables = loadmat(file)
        except Exception as error:  # a damaged file can raise any exception
            raise ValueError(str(error)) from error
    for name, value in variables.items():
        if not name.startswith("__") and np.issubdtype(np.asarray(value).dtype, np.number):
            return ids_of_array(value)
    raise ValueError("no numeric variable in it")
