"""Parsing of the list files of datasets: lines, fields separated by blanks or tabs, normalised paths."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid_cli import reading
from vireid_cli.counts import counted
from vireid_cli.data.ids import parse_id, parse_ids, shorten
from vireid_cli.errors import DataError
from vireid_cli.types import IMAGE_ENDINGS

_LABEL = re.compile(r"-?[0-9]+")
_DRIVE = re.compile(r"[A-Za-z]:")
_COPY = "Copy it from the archive again."
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class ImageList:
    """Images of a list with lines ``<folder>/<person>/<name> <label>``.

    Attributes:
        persons: Number of the person's folder by path, in the order of the list.
        notes: Repeated lines and contradictory labels, for reports.
    """

    persons: dict[str, int]
    notes: tuple[str, ...]


def read_images(path: Path, folder: str, purpose: str, expected: str) -> ImageList:
    """Read a list of images; the folder of an image names its person.

    The labels are class indices of the list and are not used; lines without one are accepted.

    Args:
        path: Path of the file.
        folder: First folder of all paths.
        purpose: Purpose of the file, for errors.
        expected: Form of a line, for errors.

    Raises:
        DataError: As ``read_lines``, or a line has another form.
    """
    persons: dict[str, int] = {}
    labels: dict[int, set[str]] = {}
    repeated = 0
    for number, line in read_lines(path, purpose):
        text, label = name_and_label(line)
        name = normalise(text.replace("\\", "/")) or ""
        parts = name.split("/")
        pid = parse_id(parts[1]) if len(parts) == 3 and parts[0] == folder else None
        # Any other text after the path would become a part of the file's name.
        trailing = len(text.split()) > 1 and Path(name).suffix.lower() not in IMAGE_ENDINGS
        if pid is None or trailing or (label and parse_id(label) is None):
            raise DataError(
                f"{path}:{number}: '{shorten(line, _LONGEST)}' can't be read: expected {expected}",
                "Copy idx/ from the archive again.",
            )
        labels.setdefault(pid, set()).add(label.lstrip("0"))
        repeated += name in persons
        persons[name] = pid
    notes = [f"{counted(repeated, 'repeated line')} of {path.name}, ignored"] if repeated else []
    if several := [pid for pid, known in labels.items() if len(known) > 1]:
        shown = ", ".join(map(str, several[:3])) + (" …" if len(several) > 3 else "")
        notes.append(
            f"{path.name} has several labels of one person (folders {shown}): the folder is the person"
        )
    return ImageList(persons, tuple(notes))


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


def repeated_numbers(name: str, pids: Sequence[int], shown: int = 12) -> list[str]:
    """Note about identities that the list ``name`` has more than once; empty if there are none."""
    twice = sorted(pid for pid, count in Counter(pids).items() if count > 1)
    if not twice:
        return []
    more = f" and {len(twice) - shown} more" if len(twice) > shown else ""
    listed = ", ".join(map(str, twice[:shown])) + more
    return [f"{name} lists identities more than once, counted once: {listed}"]


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
