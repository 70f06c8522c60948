"""Plain YAML scalars as a person reads them: decimal numbers, ``true`` and ``false``, ``null``, else text.

YAML 1.1 and 1.2 disagree on ``010`` (8 or 10), ``1:30`` (90 or text), ``1_000``, ``1e3``, ``yes`` and
``off``. Numbers that either version reads differently are refused with the decimal number to write; ``1e3``
is a number, and ``yes``, ``no``, ``on``, ``off`` and dates are text, as in YAML 1.2.
"""

from __future__ import annotations

import math
import re

from vireid_cli.reading import shorten

PREFIX = "tag:yaml.org,2002:"
TEXT, MERGE = PREFIX + "str", PREFIX + "merge"
NUMBERS = (PREFIX + "int", PREFIX + "float")

LONGEST = 100
"""Characters of a number."""

SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""Range of whole numbers."""

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
    """Tag of a plain scalar. A number of another notation is text, which ``refusal`` explains."""
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
    """Why a scalar is refused, and what to write instead; empty: it is accepted.

    Args:
        value: The scalar's text.
        plain: It is written without quotes.
    """
    if control := _CONTROL.search(value):
        return f"the text holds the control character U+{ord(control[0]):04X}; remove it."
    return _number_refusal(value) if plain else ""


def _number_refusal(value: str) -> str:
    """Why a plain scalar that looks like a number is refused; empty: it is accepted, or no number."""
    if _NOT_FINITE.fullmatch(value):
        return f"{value} is not a finite number."
    if not any(pattern.fullmatch(value) for pattern in _NUMBERS):
        return ""
    if len(value) > LONGEST:
        return f"{shorten(value)} is too long for a number; the limit is {LONGEST} characters."
    decimal = _decimal(value)
    if decimal is not None:
        return (
            f"{value} is not a decimal number that all versions of YAML read alike; "
            f"write {decimal or 'a decimal number'}, or put it in quotes for text."
        )
    if _INTEGER.fullmatch(value) and not SMALLEST <= int(value) <= LARGEST:
        return f"{shorten(value)} is out of range; whole numbers are between -2^63 and 2^63-1."
    return "" if math.isfinite(float(value)) else f"{shorten(value)} is out of range; the limit is 1.8e308."


def _decimal(value: str) -> str | None:
    """Decimal notation of a number in another one; empty: there is none; None: it does not look like one."""
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
