"""Text of numbers with their unit: ``1 epoch``, ``60 epochs``; and of image sizes: ``96x48``."""

from __future__ import annotations

from collections.abc import Sequence

IRREGULAR = {"person": "people", "process": "processes"}
"""Plurals that the endings do not give."""


def counted(number: int, noun: str) -> str:
    """Format a number with its noun in the singular or plural.

    >>> counted(1, "epoch"), counted(2, "identity"), counted(0, "key"), counted(1000, "person")
    ('1 epoch', '2 identities', '0 keys', '1,000 people')
    """
    if number == 1:
        return f"1 {noun}"
    if noun in IRREGULAR:
        return f"{number:,} {IRREGULAR[noun]}"
    ending = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    return f"{number:,} {ending}"


def size_name(size: Sequence[int]) -> str:
    """Format an image size in pixels, HEIGHTxWIDTH.

    >>> size_name((96, 48))
    '96x48'
    """
    return "x".join(map(str, size))
