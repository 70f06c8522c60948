"""List files of datasets: lines with their numbers, fields between blanks or tabs, paths in one form."""

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


def read_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """Lines of a list file that are not blank, with their numbers from 1; blanks at both ends are cut off.

    Args:
        path: The file.
        what: Its purpose, for errors.

    Raises:
        DataError: It is missing, blank, or not text in UTF-8.
    """
    if not path.exists():
        raise DataError(f"{path} is missing: {what}", "It is part of the official archive.")
    text = reading.read_text(path, hint=f"Save it as UTF-8 text, or: {_COPY[0].lower()}{_COPY[1:]}")
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty: {what}", _COPY)
    return lines


def numbers(path: Path, what: str) -> list[int]:
    """Numbers of people in a list file, separated by commas, blanks or tabs. Raises as ``read_lines``."""
    pids = []
    for line, text in read_lines(path, what):
        try:
            pids += parse_ids(part for part in re.split(r"[,\s]+", text) if part)
        except ValueError as error:
            raise DataError(f"{path} is not a list of numbers: line {line}: {error}", _COPY) from error
    return pids


def name_and_label(line: str) -> tuple[str, str]:
    """A line's path, which may hold blanks, and the whole number behind it; an empty text where none is."""
    name, *labels = line.strip().rsplit(None, 1)
    return (name, labels[0]) if labels and _LABEL.fullmatch(labels[0]) else (line.strip(), "")


def normalise(name: str) -> str | None:
    """One form of each path under a root: ``./a.jpg``, ``b/../a.jpg`` and ``.//a.jpg`` are ``a.jpg``.

    Returns:
        The path with forward slashes; None if it is absolute, leads out of the root, or is empty.
    """
    if not name or name.startswith("/") or _DRIVE.match(name) or "\0" in name:
        return None
    path = posixpath.normpath(name)
    return None if path == "." or path == ".." or path.startswith("../") else path
