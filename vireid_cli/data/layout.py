"""What all layouts have in common: find the right root, count strays, say what is lacking.

Sources read names only; no image is opened here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli import reading
from vireid_cli.data.sources import Count
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import IMAGE_ENDINGS, Modality, Record, RecordTable

JUNK = ("Thumbs.db", "desktop.ini")
"""Files that systems leave behind; counted by name, others by ending."""

LISTED = 8
"""Names shown in a note or an error; the others are counted."""


@dataclass(frozen=True, slots=True)
class Root:
    """How a dataset's root is known.

    Attributes:
        dataset: The source's name, for the command in an error.
        title: For people.
        holds: Folders directly under the root.
        how_to_get: What to do where it is not there.
    """

    dataset: str
    title: str
    holds: tuple[str, ...]
    how_to_get: str

    def check(self, root: Path) -> None:
        """Refuse a folder that is not the root, and say where the root is.

        Raises:
            UsageError: ``root`` is missing, one level too high, or one or two too low.
            DataError: Some of the folders are missing, or all.
        """
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", self.how_to_get)
        missing = [name for name in self.holds if not (root / name).is_dir()]
        if not missing:
            return
        expected = f"expected {', '.join(self.holds)}"
        if len(missing) < len(self.holds):
            raise DataError(
                f"{root}: folders missing: {', '.join(missing)} ({expected})",
                "Unpack the dataset again; each of these folders belongs directly under the root.",
            )
        resolved = root.resolve()
        for parent in (resolved.parent, resolved.parent.parent):
            if self._is_root(parent):
                raise UsageError(
                    f"{root} is inside the dataset, one level or more too low: the root is {parent}",
                    f"vireid prepare {self.dataset} --root {parent}",
                )
        for child in sorted(path for path in root.iterdir() if path.is_dir()):
            if self._is_root(child):
                raise UsageError(
                    f"{root} is one level too high: the dataset is in {child}",
                    f"vireid prepare {self.dataset} --root {child}",
                )
        raise DataError(
            f"{root} does not hold {self.title}: {expected} (found: {listing(root)})", self.how_to_get
        )

    def _is_root(self, folder: Path) -> bool:
        return all((folder / name).is_dir() for name in self.holds)


@dataclass(slots=True)
class Found:
    """What a walk met.

    Attributes:
        records: Usable images.
        stray: Files that are not images of the layout, by name or ending.
        odd: Names that can't be read as the layout has them, relative to the root.
    """

    records: list[Record] = field(default_factory=list)
    stray: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)

    def ignore(self, path: Path) -> None:
        """Count a stray file."""
        known = path.name.startswith(".") or path.name in JUNK or not path.suffix
        self.stray[path.name if known else f"*{path.suffix}"] += 1

    def table(self, root: Path, expected: str) -> RecordTable:
        """The records, sorted by path.

        Raises:
            DataError: There is none.
        """
        if not self.records:
            raise DataError(
                f"{root}: no image was found (expected {expected})",
                f"{sum(self.stray.values())} other files were found, and {len(self.odd)} names that can't be "
                "read. Check that the archive was unpacked whole.",
            )
        return RecordTable.of(sorted(self.records, key=lambda record: record.path))

    def notes(self) -> Iterator[str]:
        """Sentences on what was ignored."""
        if self.stray:
            kinds = ", ".join(f"{count} × {name}" for name, count in sorted(self.stray.items())[:LISTED])
            yield (
                f"{sum(self.stray.values())} stray files ignored ({kinds}); other evaluators may draw them "
                "into a seeded gallery"
            )
        if self.odd:
            yield f"{len(self.odd)} names that can't be read, ignored: {first(sorted(self.odd))}"


def is_image(path: Path) -> bool:
    """Whether a name ends as an image's does."""
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")


def listing(folder: Path, limit: int = 6) -> str:
    """The first names in a folder, as a hint at what was given instead."""
    names = sorted(path.name for path in folder.iterdir())
    return first(names, limit) or "nothing"


def first(names: Collection[object], limit: int = LISTED) -> str:
    """The first few of a collection, as they come, and how many more there are."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def some(pids: Collection[int], limit: int = 12) -> str:
    """The smallest few numbers, and how many more there are."""
    return first(sorted(pids), limit)


def people(pids: Collection[int]) -> str:
    """``3 identities``."""
    return f"{len(pids)} {'identity' if len(pids) == 1 else 'identities'}"


def lacking(records: RecordTable) -> Iterator[str]:
    """Notes on identities that have no image of one modality."""
    present = set(records.pids.tolist())
    for modality in Modality:
        having = set(records.pids[records.modalities == modality.code].tolist())
        without = present - having
        if without:
            yield f"{people(without)} without {modality} images: {some(without)}"


def refuse_overlap(records: RecordTable, where: Path, remedy: str) -> None:
    """Refuse people who are trained on and tested on.

    Raises:
        DataError: There are some; names them.
    """
    trained = set(records.pids[np.isin(records.splits, ("train", "val"))].tolist())
    both = trained & set(records.pids[records.tested].tolist())
    if both:
        raise DataError(f"{where}: {people(both)} both in train and in the test: {some(both)}", remedy)


def count(
    records: RecordTable, expected: Callable[[str, int, Modality], int | None] | None = None
) -> tuple[Count, ...]:
    """Images and identities by split, camera and modality.

    Args:
        records: The table.
        expected: Split, camera, modality → images of the real dataset, or None.
    """
    rows = []
    keys = sorted(
        set(zip(records.splits.tolist(), records.camids.tolist(), records.modalities.tolist(), strict=True))
    )
    for split, camid, code in keys:
        here = (records.splits == split) & (records.camids == camid) & (records.modalities == code)
        modality = Modality.of(code)
        wanted = expected(split, camid, modality) if expected else None
        rows.append(
            Count(camid, split, modality, int(here.sum()), len(np.unique(records.pids[here])), wanted)
        )
    return tuple(rows)


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a list file that are not empty.

    Raises:
        DataError: It is missing, empty or not text.
    """
    if not path.exists():
        raise DataError(f"{path} is missing: {what}", "It is part of the official archive.")
    text = reading.read_text(path, hint="Copy it from the archive again.")
    found = [line for line in map(str.strip, text.splitlines()) if line]
    if not found:
        raise DataError(f"{path} is empty: {what}", "Copy it from the archive again.")
    return found


def numbers(path: Path, what: str) -> list[int]:
    """Whole numbers of a list file, separated by commas or spaces. Raises as ``read_lines``."""
    parts = re.split(r"[,\s]+", ",".join(read_lines(path, what)))
    try:
        return [int(part) for part in parts if part]
    except ValueError as error:
        raise DataError(
            f"{path} is not a list of numbers: {error}", "Copy it from the archive again."
        ) from error
