"""The contract of a source: a file ``data/sources/<name>.py`` that reads one dataset's layout.

A source has five public names: ``TITLE`` (for people), ``FOLDER`` (where it is looked for under the
data directory), ``PROTOCOL`` (its family), ``HOW_TO_GET`` (one or two lines) and ``scan(root) -> Scan``;
one whose real dataset has published numbers has a sixth, ``differences(records)``. The file's name is the
dataset's name, with hyphens for underscores (``occ_sysu.py`` is ``occ-sysu``): there is no registry, and
a new source is a new file.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from vireid_cli.data.provenance import Provenance
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality, RecordTable


@dataclass(frozen=True, slots=True)
class Count:
    """Images and identities of one camera in one split, found and expected.

    Attributes:
        camid: Camera.
        split: ``train``, ``val`` or ``test``.
        modality: What the camera records.
        images: Images found.
        identities: Identities found.
        expected: Images of the real dataset; None where there is nothing to compare with.
    """

    camid: int
    split: str
    modality: Modality
    images: int
    identities: int
    expected: int | None = None

    @property
    def differs(self) -> bool:
        """Whether the number found is not the number expected."""
        return self.expected is not None and self.images != self.expected


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found against what it expected.

    Attributes:
        counts: One row per camera and split, in that order.
        notes: Sentences: stray files ignored, identities missing, lists that are absent.
        provenance: Real, or rendered with its manifest.
    """

    counts: tuple[Count, ...]
    notes: tuple[str, ...]
    provenance: Provenance

    @property
    def differences(self) -> tuple[str, ...]:
        """Each camera and split whose number of images is not the published one."""
        return tuple(
            f"camera {c.camid}, {c.split}: {c.images:,} images found, {c.expected:,} expected"
            for c in self.counts
            if c.differs
        )


@dataclass(frozen=True, slots=True)
class Scan:
    """A dataset's layout as read from disk.

    Attributes:
        records: Every usable image, sorted by path.
        report: What was found against what was expected.
        permutation: The official gallery permutation file, or None where it is absent.
    """

    records: RecordTable
    report: ScanReport
    permutation: Path | None


class Source(Protocol):
    """The public names of ``data/sources/<name>.py``."""

    TITLE: str
    FOLDER: str
    PROTOCOL: str
    HOW_TO_GET: str

    def scan(self, root: Path) -> Scan:
        """Read the layout under ``root``; DataError names what is missing and what to do."""
        ...


def source_names() -> list[str]:
    """Names of all sources: the files of this folder."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(path.stem.replace("_", "-") for path in files if path.stem != "__init__")


def load_source(name: str) -> Source:
    """The source of that name.

    Raises:
        UsageError: There is no such file; the nearest name is suggested.
    """
    names = source_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no dataset '{name}'" + (f" (did you mean '{near[0]}'?)" if near else ""),
            f"known: {', '.join(names)}",
        )
    return cast(Source, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))


def obeys_exif(name: str) -> bool:
    """Whether EXIF orientation is obeyed by default: for one's own folder, not for the published datasets.

    The field's readers leave published images as they are stored.
    """
    return load_source(name).PROTOCOL == "folder"


def differences(name: str, records: RecordTable) -> list[str]:
    """Compare a real dataset with its published numbers, a line for each that differs.

    Returns:
        Nothing where the source has no published numbers.

    Raises:
        UsageError: No source of that name.
    """
    compare = getattr(load_source(name), "differences", None)
    return [] if compare is None else list(compare(records))
