"""Names of folders in the folder of runs: of runs, and of studies."""

from __future__ import annotations

import os

LATEST = "latest"
"""Name of the link to the newest run with a checkpoint."""

MEANS = "means"
"""Name of the folder of means over models, in the folder of runs."""

NAME_BYTES = 200
"""Longest name in bytes: with suffixes it stays below a file system's limit of 255."""


def problem_of_name(name: str) -> str:
    """Describe the reason why a run or study can't have this name; empty if it can.

    >>> problem_of_name("quickstart-2"), problem_of_name("../other")[:28]
    ('', 'it must not be empty, begin ')
    """
    if not name or name.startswith((".", "-")) or name != name.strip():
        return "it must not be empty, begin with . or -, or begin or end with a blank"
    if any(c in r'/\:*?"<>|' or not c.isprintable() for c in name):
        return 'it must not contain / \\ : * ? " < > | or control characters'
    if len(os.fsencode(name)) > NAME_BYTES:
        return f"it has more than {NAME_BYTES} bytes"
    if name in (LATEST, MEANS):
        return "vireid uses a folder of this name itself"
    return ""


def checked_name(name: str) -> str:
    """Return the name of a study. Raises ``ValueError`` if it can't be the name of a folder of results."""
    if problem := problem_of_name(name):
        raise ValueError(f"this can't be the name of a folder of results: {problem}")
    return name
