"""Prepare a dataset: read its layout, decode and resize each image once, keep the pixels.

Rows are made by ``fill.py`` and kept by ``pixels.py``. What is whole stays whole: the records table and
a size's description are put in place only after every row.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data import records_file
from vireid_cli.data.choices import CHOICES, Choices, Jobs, decoder_for
from vireid_cli.data.damage import refuse_damaged
from vireid_cli.data.depth import depth_notes
from vireid_cli.data.disks import explained, file_sizes_of
from vireid_cli.data.fill import Work, fill
from vireid_cli.data.ids import is_text, shorten
from vireid_cli.data.pixels import PixelFiles, making
from vireid_cli.data.sources import ScanReport
from vireid_cli.data.store import Store, StoreInfo, fingerprint, read_store, store_folder, write_store
from vireid_cli.data.verify import damaged_rows
from vireid_cli.errors import DataError, UsageError
from vireid_cli.lock import locked
from vireid_cli.processors import cores
from vireid_cli.types import RESIZE, Progress, RecordTable, Resize, Size
from vireid_cli.unfinished import remove_unfinished

LISTED = 20
"""Bad images named in an error; the others are counted."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a preparation did.

    Attributes:
        store: The store, open.
        found: What the scan found against what it expected; None where no scan was made.
        images: Rows of the size that was asked for.
        seconds: Time it took.
        rate: Images decoded a second; 0 where none had to be.
        resumed: Rows that were finished before.
        copied: Rows copied from a former state of the store, their files being the same.
        damaged: Finished rows that were not as written, and were decoded again.
        bad: Paths left out because they can't be read.
    """

    store: Store
    found: ScanReport | None
    images: int
    seconds: float
    rate: float
    resumed: int
    copied: int
    damaged: int
    bad: list[str]


@dataclass(frozen=True, slots=True)
class _Subject:
    """Records to prepare, and what their store will say of them."""

    records: RecordTable
    file_sizes: np.ndarray  # (N,) bytes; -1 where there is no file
    info: StoreInfo

    def without(self, bad: dict[int, str]) -> _Subject:
        """The same without the rows in ``bad``, which the description then lists."""
        listed = [
            {"path": str(self.records.paths[i]), "reason": why, "bytes": int(self.file_sizes[i])}
            for i, why in sorted(bad.items())
        ]
        kept = np.setdiff1d(np.arange(len(self.records)), np.fromiter(bad, np.int64, len(bad)))
        if len(kept) == 0:
            raise DataError(f"{self.info.root}: not one image can be read", _reasons(self, bad))
        left_out = sorted(self.info.bad + listed, key=lambda entry: entry["path"])
        return _subject(self.records.take(kept), self.file_sizes[kept], self.info, left_out)


def prepare(
    dataset: str,
    root: Path,
    data_dir: Path,
    size: Size,
    *,
    resize: Resize = RESIZE,
    choices: Choices = CHOICES,
    skip_bad: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    jobs: Jobs | None = None,
) -> Prepared:
    """Read the dataset at ``root`` and write its records and its pixels at ``size`` to the store.

    Finished rows of an interrupted run are kept; where the dataset has changed, only what is new is
    decoded; other sizes are not touched. A finished size is compared with its hashes and with the image
    files; rows that differ are decoded again.

    Args:
        dataset: Name of a source.
        root: Its root (``locate`` finds it).
        data_dir: Where ``prepared/`` is.
        size: (height, width) in pixels.
        resize: Rule by which images are brought to it; pixels of another rule stay beside these.
        choices: How image files become pixels.
        skip_bad: Leave out images that can't be read instead of refusing.
        workers: Threads; None: one per processor.
        progress: Called now and then with (done, total).
        jobs: Makes the listeners of the other passes: measuring 16-bit images, checking finished rows.

    Raises:
        UsageError: ``root`` is not the dataset's root, or ``choices`` can't be followed.
        DataError: A rendered or occluded tree is damaged, the layout is incomplete, images can't be read,
            the disk is full or read-only, or another process writes the store.
    """
    _refuse_other_bytes(root, data_dir)
    refuse_damaged(dataset, root)
    scanned = records_file.scan(dataset, root)
    provenance = scanned.report.provenance
    folder = store_folder(data_dir, dataset, provenance.rendered)
    info = StoreInfo(
        dataset,
        root.resolve(),
        provenance,
        fingerprint="",
        images=0,
        counts=[asdict(count) for count in scanned.report.counts],
        notes=list(scanned.report.notes),
        permutation=scanned.permutation.resolve() if scanned.permutation else None,
    )
    with explained(folder), locked(folder):
        subject = _Subject(scanned.records, file_sizes_of(root, scanned.records), info)
        measuring = jobs("measuring 16-bit images") if jobs else None
        decoder = decoder_for(
            subject.records, subject.file_sizes, info, _known(folder), choices, workers or cores(), measuring
        )
        notes = [*scanned.report.notes, *depth_notes(decoder)]
        subject = _subject(
            subject.records, subject.file_sizes, replace(info, decoder=decoder, notes=notes), []
        )
        if skip_bad:
            subject = _without_known_bad(subject, folder)
        report = replace(scanned.report, notes=tuple(notes))
        return _build(PixelFiles(folder, size, resize), subject, skip_bad, workers, progress, report, jobs)


def _refuse_other_bytes(*folders: Path) -> None:
    """Refuse folders whose path is not UTF-8: the store's description could not hold it."""
    for folder in folders:
        if not is_text(str(folder.resolve())):
            raise UsageError(
                f"the path of {shorten(str(folder.resolve()), 200)} is not UTF-8",
                "Rename the folder, or move the data to another one.",
            )


def _known(folder: Path) -> StoreInfo | None:
    """The description of the store as it is; None where there is none that can be read."""
    try:
        return read_store(folder).info
    except DataError:
        return None


def add_size(
    store: Store, size: Size, *, workers: int | None = None, progress: Progress | None = None
) -> Prepared:
    """Add a size to an open store, from the images that its records name, by the store's resize rule.

    Raises:
        DataError: The images are gone or have changed since the store was made, or as for ``prepare``.
    """
    with explained(store.folder), locked(store.folder):
        sizes = file_sizes_of(store.info.root, store.records)
        subject = _subject(store.records, sizes, store.info, store.info.bad)
        if subject.info.fingerprint != store.info.fingerprint:
            gone = int((sizes < 0).sum())
            raise DataError(
                f"the images at {store.info.root} are not those the store at {store.folder} was made from"
                + (f": {gone:,} of {len(sizes):,} are missing" if gone else ""),
                f"vireid prepare {store.info.dataset} --root <where they are now>",
            )
        files = PixelFiles(store.folder, size, store.resize)
        return _build(files, subject, False, workers, progress, None, None)


def _build(
    files: PixelFiles,
    subject: _Subject,
    skip_bad: bool,
    workers: int | None,
    progress: Progress | None,
    found: ScanReport | None,
    jobs: Jobs | None,
) -> Prepared:
    """Make the pixels, then put records, description and pixels in place, in this order."""
    began, folder = time.perf_counter(), files.folder
    remove_unfinished(folder)
    total, damaged = Work(), 0
    while True:
        records, info, mark = subject.records, subject.info, subject.info.fingerprint
        if files.complete(mark, len(records)):
            checking = jobs("checking") if jobs else None
            wrong = damaged_rows(files, records, info.root, info.decoder, workers, checking)
            damaged = max(damaged, len(wrong))
            if not files.making.whole():  # a process killed at the very end may have left its description
                files.making.remove()
            if not len(wrong):
                files.making.remove()
                total.resumed = len(records) if not total.decoded else total.resumed
                break
        with making(files, mark, len(records)) as made:
            work = fill(made, records, info.root, info.decoder, workers or cores(), progress)
            total.decoded += work.decoded
            if not work.bad:
                total.resumed, total.copied = work.resumed, work.copied
                _put_records(files, subject)
                made.finish()
                break
        if not skip_bad:
            raise DataError(
                f"{len(work.bad):,} of {len(records):,} images in {subject.info.root} can't be read:\n"
                + _reasons(subject, work.bad),
                "Replace them from the archive and run this again (what is finished is kept), "
                "or leave them out with --skip-bad.",
            )
        subject = subject.without(work.bad)
    store = _put_records(files, subject)
    seconds = time.perf_counter() - began
    bad = [entry["path"] for entry in subject.info.bad]
    rate = total.decoded / seconds if total.decoded else 0.0
    return Prepared(
        store, found, len(store.records), seconds, rate, total.resumed, total.copied, damaged, bad
    )


def _put_records(files: PixelFiles, subject: _Subject) -> Store:
    """Write records and description unless they are there as they should be."""
    folder, resize = files.folder, files.resize
    try:
        store = read_store(folder, resize)
    except DataError:
        return write_store(folder, subject.records, subject.info, resize)
    fresh = StoreInfo(**{**_shallow(subject.info), "records_sha256": store.info.records_sha256})
    return store if store.info == fresh else write_store(folder, subject.records, subject.info, resize)


def _subject(records: RecordTable, sizes: np.ndarray, info: StoreInfo, bad: list[dict[str, Any]]) -> _Subject:
    mark = fingerprint(info.dataset, info.provenance, records, sizes, info.decoder)
    changed = {"fingerprint": mark, "images": len(records), "bad": bad}
    return _Subject(records, sizes, StoreInfo(**{**_shallow(info), **changed}))


def _shallow(info: StoreInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__slots__}


def _without_known_bad(subject: _Subject, folder: Path) -> _Subject:
    """Leave out what an earlier ``skip_bad`` found bad and whose file is still as long."""
    try:
        listed = {entry["path"]: entry for entry in read_store(folder).info.bad}
    except DataError:
        return subject
    bad = {
        i: str(listed[path]["reason"])
        for i, path in enumerate(subject.records.paths.tolist())
        if path in listed and listed[path]["bytes"] == subject.file_sizes[i]
    }
    return subject.without(bad) if bad else subject


def _reasons(subject: _Subject, bad: dict[int, str]) -> str:
    lines = [f"  {subject.records.paths[i]}: {why}" for i, why in sorted(bad.items())[:LISTED]]
    if len(bad) > LISTED:
        lines.append(f"  and {len(bad) - LISTED:,} more")
    return "\n".join(lines)
