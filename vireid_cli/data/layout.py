"""What all layouts have in common: find the right root, count strays, say what is lacking.

Sources read names only; no image is opened here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli.data.ids import id_problem, is_text, parse_id, shorten
from vireid_cli.data.sources import Count
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import IMAGE_ENDINGS, Modality, Record, RecordTable

JUNK = ("Thumbs.db", "desktop.ini")
"""Files that systems leave behind; counted by name, others by ending."""

LISTED = 8
"""Names shown in a note or an error; the others are counted."""

SHOWN = 3
"""Names shown where each is an example of a fault."""

LONGEST = 160
"""Characters of a path in a message."""


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
    """Files and folders that a walk met.

    Attributes:
        records: Usable images.
        stray: Number of files that are not images of the layout, by name or ending.
        odd: Names that can't be read as the layout has them, relative to the root, with the reason.
        remarks: Further sentences for the notes.
    """

    records: list[Record] = field(default_factory=list)
    stray: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    _strays: list[str] = field(default_factory=list, repr=False)
    _folders: dict[tuple[str, int], list[str]] = field(default_factory=dict, repr=False)

    def ignore(self, path: Path) -> None:
        """Count a stray file."""
        known = path.name.startswith(".") or path.name in JUNK or not path.suffix
        self.stray[shorten(path.name if known else f"*{path.suffix}")] += 1
        if len(self._strays) < SHOWN:
            self._strays.append(f"{shorten(path.name)} (not an image: {', '.join(IMAGE_ENDINGS)})")

    def person(self, parent: str, name: str, digits: str | None = None) -> int | None:
        """Number of a person whose folder is ``parent/name``; None, and an odd name, where it states none.

        Args:
            parent: The folder that holds it, relative to the root.
            name: Of the folder.
            digits: The part of the name that is the number; None: all of it.
        """
        pid = parse_id(name if digits is None else digits)
        if pid is None:
            problem = id_problem(name if digits is None else digits)
            reason = "a person is a number" if not name.isdigit() else problem
            self.odd.append(f"{shorten(f'{parent}/{name}', LONGEST)} ({reason})")
            return None
        names = self._folders.setdefault((parent, pid), [])
        if name not in names:
            names.append(name)
        return pid

    def table(self, root: Path, expected: str) -> RecordTable:
        """The records, sorted by path.

        Raises:
            DataError: There is none, two folders are one person, or a name is not UTF-8.
        """
        if not self.records:
            ignored = [*sorted(self.odd)[:SHOWN], *self._strays][:SHOWN]
            lines = "".join(f"\n  ignored: {name}" for name in ignored)
            raise DataError(
                f"{root}: no image was found (expected {expected}){lines}",
                f"{sum(self.stray.values())} other files were found, and {len(self.odd)} names that can't be "
                "read. "
                + (
                    "Rename them, or list the images in records.csv (path,pid,camid,modality,split)."
                    if self.odd
                    else "Check that the archive was unpacked whole."
                ),
            )
        self._refuse_twins(root)
        _refuse_other_bytes(self.records, root)
        return RecordTable.of(sorted(self.records, key=lambda record: record.path))

    def _refuse_twins(self, root: Path) -> None:
        """Refuse two folders beside each other that are one person: ``0001`` and ``1``."""
        twins = [
            f"{parent}/{{{','.join(map(shorten, names))}}} (person {pid})"
            for (parent, pid), names in sorted(self._folders.items())
            if len(names) > 1
        ]
        if twins:
            raise DataError(
                f"{root}: {len(twins)} numbers have two folders beside each other: {first(twins, SHOWN)}",
                "A person's number is read without leading zeros. Merge the folders, or give one of them "
                "another number.",
            )

    def notes(self) -> Iterator[str]:
        """Sentences on ignored files, and on folders of different names that are one person."""
        if self.stray:
            kinds = ", ".join(f"{count} × {name}" for name, count in sorted(self.stray.items())[:LISTED])
            yield (
                f"{sum(self.stray.values())} stray files ignored ({kinds}); other evaluators may draw them "
                "into a seeded gallery"
            )
        if self.odd:
            yield f"{len(self.odd)} names that can't be read, ignored: {first(sorted(self.odd))}"
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
    """Refuse images whose names are not UTF-8: no list, table or figure could name them.

    Raises:
        DataError: There are some; the first are named, their bytes as escapes.
    """
    wrong = sorted(record.path for record in records if not is_text(record.path))
    if wrong:
        shown = first([shorten(name, LONGEST) for name in wrong], SHOWN)
        raise DataError(
            f"{root}: the names of {len(wrong)} images are not UTF-8: {shown}",
            "Rename them, for example with: convmv -r -f gbk -t utf8 --notest FOLDER (gbk: the encoding of "
            "the system that made the archive).",
        )


def is_image(path: Path) -> bool:
    """Whether a name ends as an image's does."""
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")


def listing(folder: Path, limit: int = 6) -> str:
    """The first names in a folder, as a hint at what was given instead."""
    names = sorted(path.name for path in folder.iterdir())
    return first(names, limit) or "nothing"


def first(names: Collection[object], limit: int = LISTED) -> str:
    """The first few of a collection, as they come, and how many more there are."""
    shown = [shorten(str(name), LONGEST) for name in names]
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
