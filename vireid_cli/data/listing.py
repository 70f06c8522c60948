"""Parsing of the list files of datasets: lines, fields separated by blanks or tabs, normalised paths."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from vireid_cli import reading
from vireid_cli.data.ids import parse_ids
from vireid_cli.errors import DataError

_LABEL = re.compile(r"-?[0-9]+")
_DRIVE = re.compile(r"[A-Za-z]:")
_COPY = "Copy it from the archive again."


def read_lines(path: Path, purpose: str) -> list[tuple[int, str]]:
    """Read the lines of a list file, without blank lines and without blanks at both ends.

    Args:
        path: Path of the file.
        purpose: Purpose of the file, for errors.

    Returns:
        Line number from 1, and text, of each line.

    Raises:
        DataError: The file is missing, blank, or not UTF-8 text.
    """
    if not path.exists():
        raise DataError(f"{path} is missing: {purpose}", "It is part of the official archive.")
    text = reading.read_text(path, hint=f"Save it as UTF-8 text, or: {_COPY[0].lower()}{_COPY[1:]}")
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty: {purpose}", _COPY)
    return lines


def numbers(path: Path, purpose: str) -> list[int]:
    """Read person numbers, separated by commas, blanks or tabs. Raises as ``read_lines``."""
    pids = []
    for line, text in read_lines(path, purpose):
        try:
            pids += parse_ids(part for part in re.split(r"[,\s]+", text) if part)
        except ValueError as error:
            raise DataError(f"{path} is not a list of numbers: line {line}: {error}", _COPY) from error
    return pids


def name_and_label(line: str) -> tuple[str, str]:
    """Split a line into its path, which may contain blanks, and the integer after it, or an empty string."""
    name, *labels = line.strip().rsplit(None, 1)
    return (name, labels[0]) if labels and _LABEL.fullmatch(labels[0]) else (line.strip(), "")


def normalise(name: str) -> str | None:
    """Normalise a path under a root: ``./a.jpg``, ``b/../a.jpg`` and ``.//a.jpg`` become ``a.jpg``.

    Returns:
        The path with forward slashes; None if it is empty, absolute, or outside the root.
    """
    if not name or name.startswith("/") or _DRIVE.match(name) or "\0" in name:
        return None
    path = posixpath.normpath(name)
    return None if path == "." or path == ".." or path.startswith("../") else path
