"""Marks of results that were measured under unlike conditions, for tables and figures that compare runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vireid_cli.counts import counted

CONDITIONS: dict[str, Callable[[Any], str]] = {
    "precision": lambda value: str(value or "unknown precision"),
    "data": lambda value: f"data {value}" if value else "unknown images",
    "trials": lambda value: f"trials {value}",
    "verification_rate": str,
    "averaged_weights": lambda value: str(value or "weights of one step"),
    "cross_dataset": lambda value: f"cross-dataset, {value}" if value else "same dataset",
    "overlap": lambda value: "overlap with the training" if value else "no overlap",
}
"""Keys of a fingerprint that must be equal in a comparison, and the text of a value."""


def marks_of(fingerprints: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each result's values of the conditions that differ, such as ``bf16``; empty texts if none do."""
    differing = [key for key in CONDITIONS if len({str(one.get(key, "")) for one in fingerprints}) > 1]
    return [", ".join(CONDITIONS[key](one.get(key, "")) for key in differing) for one in fingerprints]


def marked(names: Sequence[str], fingerprints: Sequence[Mapping[str, Any]]) -> list[str]:
    """Add to each name its marks in parentheses, if the results were measured under unlike conditions."""
    marks = marks_of(fingerprints)
    return [f"{name} ({mark})" if mark else name for name, mark in zip(names, marks, strict=True)]


def note(fingerprints: Sequence[Mapping[str, Any]]) -> str:
    """Short note about unlike conditions with the number of results of each; empty if they are equal.

    >>> note([{"precision": "bf16"}, {"precision": "fp32"}, {"precision": "bf16"}])
    'unlike conditions (bf16: 2 results, fp32: 1 result)'
    """
    counts = Counter(marks_of(fingerprints))
    if not any(counts):
        return ""
    listed = ", ".join(f"{mark}: {counted(count, 'result')}" for mark, count in counts.items())
    return f"unlike conditions ({listed})"


def warning(names: Sequence[str], fingerprints: Sequence[Mapping[str, Any]]) -> str:
    """Sentence about unlike conditions with the runs of each; empty if they are equal."""
    marks = marks_of(fingerprints)
    if not any(marks):
        return ""
    listed = "; ".join(f"{name}: {mark}" for name, mark in zip(names, marks, strict=True))
    return f"Measured under unlike conditions, so not strictly comparable: {listed}."
