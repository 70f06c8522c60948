"""Numbers of people and cameras, read from names, lists and arrays: one parser for all of them.

A number is written in the digits 0 to 9 and fits into int64. ``str.isdigit`` and ``int`` also take
superscripts and the digits of other scripts, and have no limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from vireid_cli.printable import printable

LARGEST = 2**63 - 1
"""Largest number of a person or camera."""

_DIGITS = re.compile(r"[0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as Python holds them in names."""

_SHOWN = 40


def parse_id(text: str) -> int | None:
    """The number that a text states; None where it states none, see ``id_problem``."""
    return None if id_problem(text) else int(text.lstrip("0") or "0")


def parse_ids(texts: Iterable[str]) -> list[int]:
    """The numbers that texts state.

    Raises:
        ValueError: One states none, see ``id_problem``.
    """
    numbers = []
    for text in texts:
        if problem := id_problem(text):
            raise ValueError(problem)
        numbers.append(int(text.lstrip("0") or "0"))
    return numbers


def id_problem(text: str) -> str:
    """Reason why a text is not a number from 0 to 2⁶³ − 1; empty if it is one."""
    if not _DIGITS.fullmatch(text):
        return f"'{shorten(text)}' is not a whole number from 0 in the digits 0-9"
    significant = text.lstrip("0")
    if len(significant) > 19 or (significant and int(significant) > LARGEST):
        return f"'{shorten(text)}' is larger than {LARGEST}"
    return ""


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8: Python holds other bytes as lone surrogates."""
    return name.isascii() or not _SURROGATE.search(name)


def shorten(text: str, length: int = _SHOWN) -> str:
    """A text for a message: control characters and bytes that are not UTF-8 escaped, cut to a length."""
    shown = text if len(text) <= length else f"{text[:length]}…"
    return printable(_BYTE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", shown))


def ids_of_array(values: Any) -> list[int]:
    """Whole numbers of an array that may be of floating point, as MATLAB stores them.

    Raises:
        ValueError: A value is not a whole number from 0 to 2⁶³ − 1.
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
