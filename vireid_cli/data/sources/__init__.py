"""Sources: each file ``data/sources/<name>.py`` reads the layout of one dataset.

A source has five public names: ``TITLE`` (display name), ``FOLDER`` (default folder in the data directory),
``PROTOCOL`` (protocol family), ``HOW_TO_GET`` (one or two lines of advice) and ``scan(root) -> Scan``.
Sources of datasets with published numbers also have ``differences(records)``, and those of occluded trees
``BASE``, the dataset of their original. The name of the dataset is the name of the file with hyphens for
underscores (``occ_sysu.py`` is ``occ-sysu``). There is no registry: a new source is a new file. Own folders
have labels, too: ``folder:site`` is read by ``folder.py`` (``dataset_names``).
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from vireid_cli.counts import counted
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.provenance import Provenance
from vireid_cli.dataset_names import OWN, label_problem, source_names, split_name
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality, RecordTable


@dataclass(frozen=True, slots=True)
class Count:
    """Number of images and identities of one camera in one split.

    Attributes:
        camid: Camera number.
        split: ``train``, ``val`` or ``test``.
        modality: Modality of the camera.
        images: Number of images.
        identities: Number of identities.
        expected: Number of images in the real dataset; None if unknown.
    """

    camid: int
    split: str
    modality: Modality
    images: int
    identities: int
    expected: int | None = None

    @property
    def differs(self) -> bool:
        """Whether the number of images differs from the expected number."""
        return self.expected is not None and self.images != self.expected


@dataclass(frozen=True, slots=True)
class ScanReport:
    """Counts and notes of a scan.

    Attributes:
        counts: One row per split and camera.
        notes: Sentences about ignored files, missing identities and missing lists.
        provenance: Origin of the images: real, rendered or occluded.
    """

    counts: tuple[Count, ...]
    notes: tuple[str, ...]
    provenance: Provenance

    @property
    def differences(self) -> tuple[str, ...]:
        """Sentences about cameras with another number of images than the published one."""
        return tuple(
            f"camera {c.camid}, {c.split}: {counted(c.images, 'image')} found, {c.expected:,} expected"
            for c in self.counts
            if c.differs
        )


@dataclass(frozen=True, slots=True)
class Scan:
    """Result of reading a dataset's layout.

    Attributes:
        records: All usable images, sorted by path.
        report: Counts and notes.
        permutation: Path of the official gallery permutation file, or None if it is absent.
        people: Number of each person by name, for people without a number in the layout.
        split: Rule by which the identities were divided; None if the dataset divides them.
    """

    records: RecordTable
    report: ScanReport
    permutation: Path | None
    people: dict[str, int] = field(default_factory=dict)
    split: IdentitySplit | None = None


class Source(Protocol):
    """The public names of ``data/sources/<name>.py``."""

    TITLE: str
    FOLDER: str
    PROTOCOL: str
    HOW_TO_GET: str

    def scan(self, root: Path) -> Scan:
        """Read the layout under ``root``; raises ``DataError`` if it is incomplete."""
        ...


def load_source(name: str) -> Source:
    """Load a source by the name of its dataset.

    Raises:
        UsageError: No source has this name, or its label is wrong; the message suggests the nearest name.
    """
    names = source_names()
    if problem := label_problem(name):
        raise UsageError(f"{problem}.", f"known: {', '.join(names)}, {OWN}:NAME")
    name, _ = split_name(name)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no dataset '{name}'" + (f" (did you mean '{near[0]}'?)" if near else ""),
            f"known: {', '.join(names)}",
        )
    return cast(Source, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))


def title_of(dataset: str) -> str:
    """Display name of a dataset: that of its source, or ``folder:<label>``.

    Raises:
        UsageError: No source has this name.
    """
    source = load_source(dataset)
    return dataset if split_name(dataset)[1] else source.TITLE


def applies_exif(name: str) -> bool:
    """Whether EXIF orientation is applied by default.

    True for a user's own folder. False for published datasets, because published code ignores EXIF.

    Raises:
        UsageError: No source has this name.
    """
    load_source(name)
    return split_name(name)[0] == OWN


def differences(name: str, records: RecordTable) -> list[str]:
    """Compare a real dataset with its published numbers.

    Returns:
        One line per difference; empty if the source has no published numbers.

    Raises:
        UsageError: No source has this name.
    """
    compare = getattr(load_source(name), "differences", None)
    return [] if compare is None else list(compare(records))
