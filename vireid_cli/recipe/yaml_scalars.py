"""Types of plain YAML scalars: decimal numbers, ``true`` and ``false``, ``null``, otherwise text.

YAML 1.1 and 1.2 disagree on ``010`` (8 or 10), ``1:30`` (90 or text), ``1_000``, ``1e3``, ``yes`` and
``off``. Numbers with different values in the two versions are refused, and the message suggests the decimal
number. As in YAML 1.2, ``1e3`` is a number, and ``yes``, ``no``, ``on``, ``off`` and dates are text.
"""

from __future__ import annotations

import math
import re

from vireid_cli.reading import shorten

PREFIX = "tag:yaml.org,2002:"
TEXT, MERGE = PREFIX + "str", PREFIX + "merge"
NUMBERS = (PREFIX + "int", PREFIX + "float")

LONGEST = 100
"""Largest number of characters of a number."""

SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""Range of integers."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true", "True", "TRUE", "false", "False", "FALSE"}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_OTHER_BASE = re.compile(r"[-+]?0[xob][0-9a-fA-F_]*")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_UNDERSCORES = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_NUMBERS = (_INTEGER, _FLOAT, _LEADING_ZERO, _OTHER_BASE, _BASE_60, _UNDERSCORES)
_BASES = {"x": 16, "o": 8, "b": 2}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")


def tag_of(value: str) -> str:
    """Return the tag of a plain scalar. Numbers in other notations are text; ``refusal`` refuses them."""
    if value in _NULL:
        return PREFIX + "null"
    if value in _BOOL:
        return PREFIX + "bool"
    if value == "<<":
        return MERGE
    if len(value) <= LONGEST and _INTEGER.fullmatch(value) and SMALLEST <= int(value) <= LARGEST:
        return PREFIX + "int"
    is_float = _FLOAT.fullmatch(value) and not (_INTEGER.fullmatch(value) or _LEADING_ZERO.fullmatch(value))
    if len(value) <= LONGEST and is_float and math.isfinite(float(value)):
        return PREFIX + "float"
    return TEXT


def refusal(value: str, plain: bool) -> str:
    """Return the reason why a scalar is refused, with the correct form; empty if it is accepted.

    Args:
        value: Text of the scalar.
        plain: Whether the scalar has no quotes.
    """
    if control := _CONTROL.search(value):
        return f"the text contains the control character U+{ord(control[0]):04X}; remove it."
    return _number_refusal(value) if plain else ""


def _number_refusal(value: str) -> str:
    """Return the reason why a plain scalar is not an accepted number; empty for numbers and other text."""
    if _NOT_FINITE.fullmatch(value):
        return f"{value} is not a finite number."
    if not any(pattern.fullmatch(value) for pattern in _NUMBERS):
        return ""
    if len(value) > LONGEST:
        return f"{shorten(value)} is too long for a number; the limit is {LONGEST} characters."
    decimal = _decimal(value)
    if decimal is not None:
        return (
            f"{value} has different values in different versions of YAML; "
            f"write {decimal or 'a decimal number'}, or quote it for text."
        )
    if _INTEGER.fullmatch(value) and not SMALLEST <= int(value) <= LARGEST:
        return f"{shorten(value)} is out of range; whole numbers are between -2^63 and 2^63-1."
    return "" if math.isfinite(float(value)) else f"{shorten(value)} is out of range; the limit is 1.8e308."


def _decimal(value: str) -> str | None:
    """Convert a number in another notation to decimal; empty if it is invalid, None for other values."""
    sign, digits = ("-" if value.startswith("-") else ""), value.lstrip("+-").replace("_", "")
    if _LEADING_ZERO.fullmatch(value):
        tens = digits.lstrip("0") or "0"
        eights = str(int(digits, 8)) if re.fullmatch("[0-7]+", digits) else tens
        return f"{sign}{tens}" if eights == tens else f"{sign}{tens} (or {sign}{eights}, if it is octal)"
    if _OTHER_BASE.fullmatch(value):
        try:
            return f"{sign}{int(digits[2:], _BASES[digits[1]])}"
        except ValueError:
            return ""
    if _BASE_60.fullmatch(value):
        total = 0.0
        for part in digits.split(":"):
            total = total * 60 + float(part)
        return f"{sign}{total:.15g}"
    if "_" in value and _UNDERSCORES.fullmatch(value):
        return f"{sign}{digits}"
    return None
