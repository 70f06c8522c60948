"""Preparation of a dataset: read its layout, decode and resize each image once, store the pixels.

``fill.py`` decodes the images and ``pixel_writer.py`` stores them. The record table and the description of a
size are written after all rows, so an interrupted preparation leaves complete sizes intact.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vireid_cli.data import records_file
from vireid_cli.data.choices import CHOICES, Choices, Jobs, decoder_for, same_images
from vireid_cli.data.damage import refuse_damaged
from vireid_cli.data.depth import depth_notes
from vireid_cli.data.disks import convert_disk_errors, file_sizes_of
from vireid_cli.data.fill import Work, fill
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.ids import is_text, shorten
from vireid_cli.data.pixel_writer import open_writer
from vireid_cli.data.pixels import PixelFiles
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.data.sources.folder import is_flat
from vireid_cli.data.store import Store, StoreInfo, open_store_at, store_folder, write_store
from vireid_cli.data.subject import Subject, fields_of, reasons, subject_of, without_known_bad
from vireid_cli.data.verify import damaged_rows
from vireid_cli.dataset_names import OWN, prepare_command, split_name
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import data_option
from vireid_cli.lock import locked
from vireid_cli.printable import shell_line
from vireid_cli.processors import cores
from vireid_cli.types import RESIZE, Progress, Resize, Size
from vireid_cli.unfinished import remove_unfinished


@dataclass(frozen=True, slots=True)
class Prepared:
    """Result of a preparation.

    Attributes:
        store: The prepared store.
        report: Counts and notes of the scan; None without a scan.
        images: Number of rows.
        seconds: Duration in seconds.
        rate: Decoded images per second; 0 if no image was decoded.
        resumed: Number of rows that were already finished.
        copied: Number of rows copied from an earlier preparation, because their files are unchanged.
        damaged: Number of damaged finished rows that were decoded again.
        bad: Paths of unreadable images, which are not in the records.
    """

    store: Store
    report: ScanReport | None
    images: int
    seconds: float
    rate: float
    resumed: int
    copied: int
    damaged: int
    bad: list[str]


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

    Resumes an interrupted preparation. If the dataset has changed, only new images are decoded. Other sizes
    are not touched. A finished size is compared with its hashes and with the image files, and rows that
    differ are decoded again.

    Args:
        dataset: Name of a source.
        root: Root of the dataset; see ``locate.locate``.
        data_dir: Data directory, the parent of ``prepared/``.
        size: (height, width) in pixels.
        resize: Resize rule; pixels of the other rule are kept.
        choices: Decoding options.
        skip_bad: Whether to skip unreadable images instead of raising.
        workers: Number of threads, by default one per processor.
        progress: Callback with (done, total).
        jobs: Creates the callbacks of the other passes: measuring 16-bit images, checking finished rows.

    Raises:
        UsageError: ``root`` is not the dataset's root, ``choices`` does not fit the dataset, or the store
            holds another own folder.
        DataError: A rendered or occluded tree is damaged, the layout is incomplete, images can't be read,
            the disk is full or read-only, or another process writes the store.
    """
    _refuse_other_bytes(root, data_dir)
    refuse_damaged(dataset, root, data_dir)
    folder = store_folder(data_dir, dataset, read_provenance(root).rendered)
    scanned = records_file.scan(dataset, root, choices.split or _stored_split(folder, root))
    info = _description(dataset, root, scanned)
    _refuse_folders(PixelFiles(folder, size, resize))
    with convert_disk_errors(folder), locked(folder):
        subject = Subject(scanned.records, file_sizes_of(root, scanned.records), info)
        if not choices.replace:
            _refuse_another_folder(subject, folder)
        subject = _with_decoder(subject, folder, choices, workers, jobs)
        if skip_bad:
            subject = without_known_bad(subject, folder)
        report = replace(scanned.report, notes=tuple(subject.info.notes))
        return build_pixels(
            PixelFiles(folder, size, resize), subject, skip_bad, workers, progress, report, jobs
        )


def _stored_split(folder: Path, root: Path) -> IdentitySplit | None:
    """Return the store's rule for the division of people, if neither folders nor a list divide them."""
    known = _read_info(folder)
    divided = (root / records_file.NAME).is_file() or not is_flat(root)
    return None if known is None or divided else known.split


def _refuse_another_folder(subject: Subject, folder: Path) -> None:
    """Refuse to replace the images of an own folder in a store by those of another one.

    Raises:
        UsageError: The store has other images, from another root.
    """
    known, info = _read_info(folder), subject.info
    if known is None or known.root == info.root or split_name(info.dataset)[0] != OWN:
        return
    if same_images(subject.records, subject.file_sizes, info, known):
        return  # the folder was moved
    command = f"vireid prepare folder --name NAME --root {shell_line([str(info.root)])}"
    raise UsageError(
        f"{folder} has the images of {known.root}; preparing {info.root} as {info.dataset} would replace "
        "them.",
        f"Give the second folder a name: {command}{data_option(folder.parents[1])}\n"
        "Or replace the images in the store: --replace",
    )


def _with_decoder(
    subject: Subject, folder: Path, choices: Choices, workers: int | None, jobs: Jobs | None
) -> Subject:
    """Choose the decoding rules, measure 16-bit images if needed, and describe both in the store."""
    measuring = jobs("measuring 16-bit images") if jobs else None
    records, sizes, info = subject.records, subject.file_sizes, subject.info
    decoder = decoder_for(records, sizes, info, _read_info(folder), choices, workers or cores(), measuring)
    notes = [*info.notes, *depth_notes(decoder)]
    return subject_of(records, sizes, replace(info, decoder=decoder, notes=notes), [])


def _refuse_other_bytes(*folders: Path) -> None:
    """Refuse folders with a path that is not UTF-8, because ``store.json`` can't contain it."""
    for folder in folders:
        if not is_text(str(folder.resolve())):
            raise UsageError(
                f"the path of {shorten(str(folder.resolve()), 200)} is not UTF-8",
                "Rename the folder, or move the data to another one.",
            )


def _refuse_folders(files: PixelFiles) -> None:
    """Refuse a store in which a folder has the name of a file, before an image is decoded."""
    tables = (files.folder / "store.json", files.folder / "records.npz")
    pixels = [path for kind in (files, files.unfinished) for path in (kind.info, kind.pixels, kind.rows)]
    for path in (*tables, *pixels):
        if path.is_dir():
            raise DataError(
                f"{path} is a folder; the store needs a file there.",
                "Remove or rename the folder, and run the command again.",
            )


def _description(dataset: str, root: Path, scanned: Scan) -> StoreInfo:
    """Description of the store of a scanned dataset, without fingerprint and decoder."""
    return StoreInfo(
        dataset,
        root.resolve(),
        scanned.report.provenance,
        fingerprint="",
        images=0,
        counts=[asdict(count) for count in scanned.report.counts],
        notes=list(scanned.report.notes),
        permutation=scanned.permutation.resolve() if scanned.permutation else None,
        people=scanned.people,
        split=scanned.split,
    )


def _read_info(folder: Path) -> StoreInfo | None:
    """Read the description of the existing store; None if it is missing or unreadable."""
    try:
        return open_store_at(folder).info
    except DataError:
        return None


def add_size(
    store: Store, size: Size, *, workers: int | None = None, progress: Progress | None = None
) -> Prepared:
    """Add a size to an open store, from the image files of its records, with the store's resize rule.

    Raises:
        DataError: The image files are missing or changed, or as for ``prepare``.
    """
    _refuse_folders(PixelFiles(store.folder, size, store.resize))
    with convert_disk_errors(store.folder), locked(store.folder):
        sizes = file_sizes_of(store.info.root, store.records)
        subject = subject_of(store.records, sizes, store.info, store.info.bad)
        if subject.info.fingerprint != store.info.fingerprint:
            missing, command = int((sizes < 0).sum()), prepare_command(store.info.dataset)
            raise DataError(
                f"the images at {store.info.root} differ from those of the store at {store.folder}"
                + (f": {missing:,} of {len(sizes):,} are missing" if missing else ""),
                f"{command} --root <their folder>{data_option(store.folder.parents[1])}",
            )
        files = PixelFiles(store.folder, size, store.resize)
        return build_pixels(files, subject, False, workers, progress, None, None)


def build_pixels(
    files: PixelFiles,
    subject: Subject,
    skip_bad: bool,
    workers: int | None,
    progress: Progress | None,
    report: ScanReport | None,
    jobs: Jobs | None,
) -> Prepared:
    """Decode the pixels, then write records, description and final pixel files, in this order."""
    began, folder = time.perf_counter(), files.folder
    remove_unfinished(folder)
    total, damaged = Work(), 0
    while True:
        records, info, mark = subject.records, subject.info, subject.info.fingerprint
        if files.complete(mark, len(records)):
            checking = jobs("checking") if jobs else None
            wrong = damaged_rows(files, records, info.root, info.decoder, workers, checking)
            damaged = max(damaged, len(wrong))
            if not files.unfinished.exist():  # a process killed at the end leaves only the description
                files.unfinished.remove()
            if not len(wrong):
                files.unfinished.remove()
                total.resumed = len(records) if not total.decoded else total.resumed
                break
        with open_writer(files, mark, len(records)) as writer:
            work = fill(writer, records, info.root, info.decoder, workers or cores(), progress)
            total.decoded += work.decoded
            if not work.bad:
                total.resumed, total.copied = work.resumed, work.copied
                _write_records(files, subject)
                writer.finish()
                break
        if not skip_bad:
            raise DataError(
                f"{len(work.bad):,} of {len(records):,} images in {subject.info.root} can't be read:\n"
                + reasons(subject, work.bad),
                "Replace them from the archive and run this again (finished images are kept), "
                "or skip them with --skip-bad.",
            )
        subject = subject.drop(work.bad)
    store = _write_records(files, subject)
    seconds = time.perf_counter() - began
    bad = [entry["path"] for entry in subject.info.bad]
    rate = total.decoded / seconds if total.decoded else 0.0
    return Prepared(
        store, report, len(store.records), seconds, rate, total.resumed, total.copied, damaged, bad
    )


def _write_records(files: PixelFiles, subject: Subject) -> Store:
    """Write records and description unless the store already has them."""
    folder, resize = files.folder, files.resize
    try:
        store = open_store_at(folder, resize)
    except DataError:
        return write_store(folder, subject.records, subject.info, resize)
    fresh = StoreInfo(**{**fields_of(subject.info), "records_sha256": store.info.records_sha256})
    return store if store.info == fresh else write_store(folder, subject.records, subject.info, resize)
