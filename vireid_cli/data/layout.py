"""Shared parts of all layouts: count ignored files, note missing images, refuse identities in two splits.

The functions read file names only and open no image.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.data.ids import id_problem, is_text, parse_id, shorten
from vireid_cli.data.sources import Count
from vireid_cli.errors import DataError
from vireid_cli.types import IMAGE_ENDINGS, Modality, Record, RecordTable

JUNK = ("Thumbs.db", "desktop.ini")
"""Files of operating systems, counted by name; other files are counted by extension."""

LISTED = 8
"""Number of names in a note or an error; the rest is counted."""

SHOWN = 3
"""Number of example names for a fault."""

LONGEST = 160
"""Number of characters of a path in a message."""


@dataclass(slots=True)
class Walk:
    """Files and folders of a walk over a dataset.

    Attributes:
        records: Usable images.
        stray: Number of files that are not images, by name or extension.
        unmatched: Names that do not fit the layout, relative to the root, with the reason.
        remarks: Further sentences for the notes.
    """

    records: list[Record] = field(default_factory=list)
    stray: Counter[str] = field(default_factory=Counter)
    unmatched: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    _strays: list[str] = field(default_factory=list, repr=False)
    _folders: dict[tuple[str, int], list[str]] = field(default_factory=dict, repr=False)

    def ignore(self, path: Path, parent: str = "") -> None:
        """Count a file that is not an image, or name a folder with images.

        Args:
            path: The file or folder.
            parent: Path of its folder, relative to the root; without it, ``path`` is counted in any case.
        """
        if parent and path.is_dir() and (images := _count_images(path)):
            name = shorten(f"{parent}/{path.name}", LONGEST)
            self.unmatched.append(f"{name} (a folder with {counted(images, 'image')})")
            return
        known = path.name.startswith(".") or path.name in JUNK or not path.suffix
        self.stray[shorten(path.name if known else f"*{path.suffix}")] += 1
        if len(self._strays) < SHOWN:
            self._strays.append(f"{shorten(path.name)} (not an image: {', '.join(IMAGE_ENDINGS)})")

    def person(self, parent: str, name: str, digits: str | None = None) -> int | None:
        """Parse the person number in a folder's name; None, and an entry in ``unmatched``, if it has none.

        Args:
            parent: Path of the parent folder, relative to the root.
            name: Name of the folder.
            digits: Part of the name with the number, by default the whole name.
        """
        pid = parse_id(name if digits is None else digits)
        if pid is None:
            problem = id_problem(name if digits is None else digits)
            reason = "a person is a number" if not name.isdigit() else problem
            self.unmatched.append(f"{shorten(f'{parent}/{name}', LONGEST)} ({reason})")
            return None
        names = self._folders.setdefault((parent, pid), [])
        if name not in names:
            names.append(name)
        return pid

    def table(self, root: Path, expected: str) -> RecordTable:
        """Return the records, sorted by path.

        Args:
            root: Root of the dataset, for errors.
            expected: Description of the expected images, for errors.

        Raises:
            DataError: There is no image, two folders have the number of one person, or a name is not UTF-8.
        """
        if not self.records:
            ignored = [*sorted(self.unmatched)[:SHOWN], *self._strays][:SHOWN]
            lines = "".join(f"\n  ignored: {name}" for name in ignored)
            raise DataError(
                f"{root}: no image found (expected {expected}){lines}",
                f"Ignored: {sum(self.stray.values())} other files, "
                f"{counted(len(self.unmatched), 'name')} that do not "
                "fit the layout. "
                + (
                    "Rename them, or list the images in records.csv (path,pid,camid,modality,split)."
                    if self.unmatched
                    else "Check that the archive is unpacked completely."
                ),
            )
        self._refuse_twins(root)
        _refuse_other_bytes(self.records, root)
        return RecordTable.of(sorted(self.records, key=lambda record: record.path))

    def _refuse_twins(self, root: Path) -> None:
        """Refuse two folders of one parent with the same person number, such as ``0001`` and ``1``."""
        twins = [
            f"{parent}/{{{','.join(map(shorten, names))}}} (person {pid})"
            for (parent, pid), names in sorted(self._folders.items())
            if len(names) > 1
        ]
        if twins:
            raise DataError(
                f"{root}: {counted(len(twins), 'number')} with two folders: {first(twins, SHOWN)}",
                "Leading zeros of a person number are ignored. Merge the folders, or rename one of them to "
                "another number.",
            )

    def notes(self) -> Iterator[str]:
        """Yield notes about ignored files, and about folders with different names of one person."""
        if self.stray:
            kinds = ", ".join(f"{count} × {name}" for name, count in sorted(self.stray.items())[:LISTED])
            yield (
                f"{sum(self.stray.values())} stray files ignored ({kinds}); other evaluators may draw them "
                "into a seeded gallery"
            )
        if self.unmatched:
            yield (
                f"{counted(len(self.unmatched), 'name')} that can't be read, ignored: "
                f"{first(sorted(self.unmatched))}"
            )
        spellings: dict[int, set[str]] = {}
        for (_, pid), names in self._folders.items():
            spellings.setdefault(pid, set()).update(names)
        several = [
            f"{' and '.join(sorted(names))}" for _, names in sorted(spellings.items()) if len(names) > 1
        ]
        if several:
            yield f"folders that are read as one person: {first(several, SHOWN)}"
        yield from self.remarks


def _refuse_other_bytes(records: list[Record], root: Path) -> None:
    """Refuse image names that are not UTF-8, because lists, tables and figures could not contain them.

    Raises:
        DataError: There are such names; the message lists the first, with escaped bytes.
    """
    wrong = sorted(record.path for record in records if not is_text(record.path))
    if wrong:
        shown = first([shorten(name, LONGEST) for name in wrong], SHOWN)
        raise DataError(
            f"{root}: {counted(len(wrong), 'image')} with a name that is not UTF-8: {shown}",
            "Rename them, for example with: convmv -r -f gbk -t utf8 --notest FOLDER (gbk: the encoding of "
            "the archive's file names).",
        )


def is_image(path: Path) -> bool:
    """Whether a file name has the extension of an image."""
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")


def _count_images(folder: Path) -> int:
    """Count the images in a folder and its sub-folders, without hidden ones."""
    if folder.name.startswith("."):
        return 0
    names = (Path(name) for _, _, inside in os.walk(folder) for name in inside)
    return sum(map(is_image, names))


def listing(folder: Path, limit: int = 6) -> str:
    """List the first names in a folder, for messages about an unexpected folder."""
    names = sorted(path.name for path in folder.iterdir())
    return first(names, limit) or "nothing"


def first(names: Collection[object], limit: int = LISTED) -> str:
    """List the first names of a collection in its order, and count the rest."""
    shown = [shorten(str(name), LONGEST) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def first_ids(pids: Collection[int], limit: int = 12) -> str:
    """List the smallest numbers, and count the rest."""
    return first(sorted(pids), limit)


def identities(pids: Collection[int]) -> str:
    """Format the number of identities: ``3 identities``."""
    return f"{len(pids)} {'identity' if len(pids) == 1 else 'identities'}"


def missing_modalities(records: RecordTable) -> Iterator[str]:
    """Yield notes about identities without images of one modality."""
    present = set(records.pids.tolist())
    for modality in Modality:
        with_modality = set(records.pids[records.modalities == modality.code].tolist())
        without = present - with_modality
        if without:
            yield f"{identities(without)} without {modality} images: {first_ids(without)}"


def refuse_overlap(records: RecordTable, path: Path, remedy: str) -> None:
    """Refuse identities that occur in training and test.

    Args:
        records: Table of the dataset.
        path: File or folder for the message.
        remedy: Advice for the message.

    Raises:
        DataError: There are such identities; the message lists them.
    """
    trained = set(records.pids[np.isin(records.splits, ("train", "val"))].tolist())
    both = trained & set(records.pids[records.tested].tolist())
    if both:
        raise DataError(f"{path}: {identities(both)} in both training and test: {first_ids(both)}", remedy)


def count(
    records: RecordTable, expected: Callable[[str, int, Modality], int | None] | None = None
) -> tuple[Count, ...]:
    """Count images and identities by split, camera and modality.

    Args:
        records: Table of the dataset.
        expected: Function from split, camera and modality to the number of images in the real dataset, or
            None.
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
