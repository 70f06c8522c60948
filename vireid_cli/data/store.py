"""Prepared store of a dataset: a record table, and uint8 pixels of each size in a memory-mapped file.

``<data>/prepared/<dataset>`` (``<dataset>-rendered`` for a rendered tree) contains ``records.npz``,
``store.json`` and the pixel files of each size (see ``pixels.py``). ``prepare.py`` writes the store.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents, reading
from vireid_cli.array_files import load_from
from vireid_cli.data.decode import Decoder
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.locate import locate, places
from vireid_cli.data.pixels import PixelFiles, rename_old_files, size_name
from vireid_cli.data.provenance import Provenance
from vireid_cli.data.sources import load_source, title_of
from vireid_cli.data.store_fingerprint import COLUMNS, FORMAT
from vireid_cli.data.store_form import check_store
from vireid_cli.dataset_names import OWN, prepare_command, prepared_labels, split_name
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_bytes, write_sealed
from vireid_cli.types import RESIZE, RecordTable, Resize, Size


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Content of ``store.json``.

    Attributes:
        dataset: Name of the source.
        root: Root of the image files.
        provenance: Origin of the images: real, rendered or occluded.
        fingerprint: See ``fingerprint``.
        images: Number of records.
        counts: Number of images and identities by camera and split, with the expected number.
        notes: Notes of the scan.
        bad: Unreadable images that are not in the records: path, reason, bytes.
        permutation: Path of the official gallery permutation file, or None.
        decoder: Decoder of the image files.
        records_sha256: Hash of ``records.npz``.
        format: Version of the store's files.
        people: Number of each person by name, for people without a number in the layout.
        split: Rule by which the identities were divided; None if the dataset divides them.
    """

    dataset: str
    root: Path
    provenance: Provenance
    fingerprint: str
    images: int
    counts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)
    permutation: Path | None = None
    decoder: Decoder = field(default_factory=Decoder)
    records_sha256: str = ""
    format: int = FORMAT
    people: dict[str, int] = field(default_factory=dict)
    split: IdentitySplit | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """A prepared dataset, open for reading.

    Attributes:
        folder: Folder of the store.
        records: One row per image, sorted by path; row i of each pixel file is the image of row i.
        info: Content of ``store.json``.
        resize: Resize rule of the pixels that the store returns; it may also have pixels of other rules.
    """

    folder: Path
    records: RecordTable
    info: StoreInfo
    resize: Resize = RESIZE
    _open: dict[Size, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rendered(self) -> bool:
        """Whether the images are rendered."""
        return self.info.provenance.rendered

    def records_in_trial(self, trial: int) -> RecordTable:
        """Return the records with their splits in one trial; unchanged for datasets with a single split.

        Args:
            trial: Number of the trial, from 1; 1 for datasets with a single split, which have no trials.

        Raises:
            UsageError: The trial does not exist.
        """
        trials = self.records.trials
        if not 1 <= trial <= max(trials, 1):
            title = title_of(self.info.dataset)
            known = f"{title} has the trials 1 to {trials}" if trials else f"{title} has one split, no trials"
            raise UsageError(
                f"There is no trial {trial}: {known}.", "Set data.trial in the recipe, or --trial."
            )
        return self.records.in_trial(trial) if trials else self.records

    @property
    def ignored_file_notes(self) -> list[str]:
        """Notes of the scan about ignored files; part of a protocol's fingerprint."""
        return [note for note in self.info.notes if "ignored" in note]

    @property
    def sizes(self) -> list[Size]:
        """(height, width) of each complete pixel file of this store's resize rule."""
        return [files.size for files in self.complete_pixel_files if files.resize == self.resize]

    @property
    def complete_pixel_files(self) -> list[PixelFiles]:
        """Complete pixel files of all sizes and resize rules, sorted by size."""
        matches = (
            re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})(?:-(bicubic))?\.json", path.name)
            for path in self.folder.glob("*.json")
        )
        candidates = [
            PixelFiles(self.folder, (int(match[1]), int(match[2])), "bicubic" if match[3] else RESIZE)
            for match in matches
            if match
        ]
        count, expected = len(self.records), self.info.fingerprint
        complete = (files for files in candidates if files.complete(expected, count))
        return sorted(complete, key=lambda files: (files.size, files.resize))

    def images(self, size: Size) -> np.ndarray | None:
        """Open the images of a size, (N, H, W, 3) uint8 RGB, memory-mapped; None if it is not prepared."""
        if size not in self._open:
            files = PixelFiles(self.folder, size, self.resize)
            pixels = files.open_pixels()
            if pixels is None or not files.complete(self.info.fingerprint, len(self.records)):
                return None
            self._open[size] = pixels
        return self._open[size]

    def batch(self, size: Size, index: np.ndarray) -> np.ndarray:
        """Load the images of the rows at ``index``, (B, H, W, 3) uint8 RGB.

        Raises:
            DataError: The size is not prepared.
        """
        images = self.images(size)
        if images is None:
            complete = self.complete_pixel_files
            known = ", ".join(f"{size_name(files.size)} {files.resize}" for files in complete) or "none"
            option = "" if self.resize == RESIZE else f" --resize {self.resize}"
            raise DataError(
                f"{self.folder}: size {size_name(size)}, resized by {self.resize}, is not prepared "
                f"(prepared: {known}).",
                f"{prepare_command(self.info.dataset)} --size {size_name(size)}{option}",
            )
        return np.asarray(images)[index]


def store_folder(data_dir: Path, dataset: str, rendered: bool) -> Path:
    """Return the folder of a store: one each for rendered data, real data, and every label of own folders."""
    source, label = split_name(dataset)
    name = f"{source}-rendered" if rendered else source
    return data_dir / "prepared" / (f"{name}@{label}" if label else name)


def open_store(data_dir: Path, dataset: str, resize: Resize = RESIZE) -> Store:
    """Open the prepared store of a dataset; the real one takes precedence over a rendered one.

    Args:
        data_dir: Data directory, the parent of ``prepared/``.
        dataset: Name of a source.
        resize: Resize rule of the pixels to read.

    Raises:
        UsageError: The dataset is not prepared.
        DataError: The store is damaged or has another version.
    """
    for rendered in (False, True):
        folder = store_folder(data_dir, dataset, rendered)
        if (folder / "store.json").exists():
            return open_store_at(folder, resize)
    source, folder = load_source(dataset), store_folder(data_dir, dataset, False)
    try:
        located = locate(dataset, data_dir)
    except UsageError as error:
        raise UsageError(
            f"{title_of(dataset)} is not prepared: no store at {folder}, and no images at "
            f"{places(dataset, data_dir)[0]}.",
            f"{source.HOW_TO_GET}\nThen: {prepare_command(dataset)}{_others(dataset, data_dir)}",
        ) from error
    raise UsageError(
        f"{title_of(dataset)} is at {located.root} but not prepared: no store at {folder}.",
        prepare_command(dataset),
    )


def _others(dataset: str, data_dir: Path) -> str:
    """Return a line with the prepared own folders, for an error about a missing one."""
    labels = prepared_labels(data_dir) if split_name(dataset)[0] == OWN else []
    return f"\nPrepared: {', '.join(labels)}" if labels else ""


def open_store_at(folder: Path, resize: Resize = RESIZE) -> Store:
    """Open the store in ``folder``; renames pixel files of earlier versions if the folder is writable.

    Raises:
        DataError: A file is missing, damaged, or of another version.
    """
    hint = "Run 'vireid prepare' for this dataset again: finished images are kept."
    with suppress(OSError):
        rename_old_files(folder)
    path = folder / "store.json"
    content = documents.read_json(path, hint=hint)
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise DataError(f"The store at {folder} has format {content['format']}, not {FORMAT}.", hint)
    checked = check_store(content, path, hint)
    documents.check_seal(content, str(path), hint=hint)
    records_bytes = reading.read_bytes(folder / "records.npz", hint=hint)
    if hashlib.sha256(records_bytes).hexdigest() != checked.records_sha256:
        raise DataError(f"{folder / 'records.npz'} does not match its hash in store.json.", hint)
    try:
        decoder = Decoder.of_json(checked.decoder)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: invalid decoder.", hint) from error
    info = StoreInfo(
        dataset=checked.dataset,
        root=Path(checked.root),
        provenance=Provenance(
            checked.provenance.kind, checked.provenance.manifest, checked.provenance.occlusion
        ),
        fingerprint=checked.fingerprint,
        images=checked.images,
        counts=checked.counts,
        notes=checked.notes,
        bad=[image.model_dump() for image in checked.bad],
        permutation=Path(checked.permutation) if checked.permutation else None,
        decoder=decoder,
        records_sha256=checked.records_sha256,
        format=checked.format,
        people=checked.people,
        split=None if checked.split is None else IdentitySplit(checked.split.share, checked.split.seed),
    )
    arrays, _ = load_from(BytesIO(records_bytes), str(folder / "records.npz"), COLUMNS, hint=hint)
    missing = [name for name in COLUMNS if name not in arrays]
    if missing:
        raise DataError(f"{folder / 'records.npz'} lacks {', '.join(missing)}.", hint)
    records = RecordTable(*(arrays[name] for name in COLUMNS))
    if len(records) != info.images:
        raise DataError(f"{path}: images is {info.images}, but records.npz has {len(records)} records.", hint)
    return Store(folder, records, info, resize)


def write_store(folder: Path, records: RecordTable, info: StoreInfo, resize: Resize = RESIZE) -> Store:
    """Write the record table and ``store.json``, in this order, each atomically.

    Raises:
        DataError: No space or no permission.
    """
    buffer = BytesIO()
    np.savez(buffer, **{name: getattr(records, name) for name in COLUMNS})
    content = asdict(info)
    content["root"] = str(info.root)
    content["decoder"] = info.decoder.as_json()
    content["permutation"] = str(info.permutation) if info.permutation else None
    content["split"] = None if info.split is None else info.split.as_json()
    content["records_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    write_bytes(folder / "records.npz", buffer.getvalue())
    write_sealed(folder / "store.json", content)
    return open_store_at(folder, resize)
