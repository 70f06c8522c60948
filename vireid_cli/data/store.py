"""The prepared store: a records table, and uint8 pixels of each size in one memory-mapped file.

``<data>/prepared/<dataset>`` (``<dataset>-rendered`` for a rendered tree) holds ``records.npz``,
``store.json`` and for each size the files of ``pixels.py``. ``prepare.py`` writes it; here it is read.
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
from vireid_cli.data.pixels import PixelFiles, name_by_rule, size_name
from vireid_cli.data.provenance import Provenance, is_rendered
from vireid_cli.data.sources import load_source
from vireid_cli.data.store_form import check_store
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_bytes, write_json
from vireid_cli.types import RESIZE, RecordTable, Resize, Size

FORMAT = 1
"""Version of the store's files."""

DECODER = Decoder()

COLUMNS = ("paths", "pids", "camids", "modalities", "splits")


@dataclass(frozen=True, slots=True)
class Located:
    """Where a dataset's images are.

    Attributes:
        root: The dataset's root.
        rendered: Whether it carries the mark of a rendered tree.
    """

    root: Path
    rendered: bool


def locate(dataset: str, data_dir: Path, root: Path | None = None) -> Located:
    """Find a dataset: ``root`` if given, else ``<data>/<FOLDER>``, else ``<data>/rendered/<FOLDER>``.

    Raises:
        UsageError: It is in none of these places; how to get it or to render one is said.
    """
    source = load_source(dataset)
    if root is not None:
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", source.HOW_TO_GET)
        return Located(root, is_rendered(root))
    places = (data_dir / source.FOLDER, data_dir / "rendered" / source.FOLDER)
    for place in places:
        if place.is_dir():
            return Located(place, is_rendered(place))
    raise UsageError(
        f"{source.TITLE} was not found: there is neither {places[0]} nor {places[1]} "
        "(--data or $VIREID_DATA moves these).",
        source.HOW_TO_GET,
    )


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What ``store.json`` says.

    Attributes:
        dataset: Name of the source.
        root: Where the images were read.
        provenance: Real, or rendered with its manifest.
        fingerprint: Hash over the records and their files' sizes.
        images: Number of records.
        counts: Images and identities found by camera and split, with the expected number.
        notes: What the scan remarked.
        bad: Images left out because they can't be read: path, reason, bytes.
        permutation: The official gallery permutation file, or None.
        decoder: How its image files became pixels.
        records_sha256: Hash of ``records.npz``.
        format: Version of the store's files.
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


@dataclass(frozen=True, slots=True)
class Store:
    """A prepared dataset, open for reading.

    Attributes:
        folder: Where it lies.
        records: One row per image, sorted by path; row i of each pixel file is its image.
        info: What is known of it.
        resize: Rule of the pixels that it returns; those of other rules lie beside them.
    """

    folder: Path
    records: RecordTable
    info: StoreInfo
    resize: Resize = RESIZE
    _open: dict[Size, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rendered(self) -> bool:
        """Whether its images were rendered by this toolkit."""
        return self.info.provenance.rendered

    def table(self, trial: int) -> RecordTable:
        """The records with their splits in one trial; as they are where one split serves all.

        Args:
            trial: From 1; datasets that are not split anew in each trial know only the first.

        Raises:
            UsageError: There is no such trial.
        """
        trials = self.records.trials
        if not 1 <= trial <= max(trials, 1):
            title = load_source(self.info.dataset).TITLE
            known = f"{title} has the trials 1 to {trials}" if trials else f"{title} has one split, no trials"
            raise UsageError(
                f"trial {trial} was asked for: {known}.", "Set data.trial in the recipe, or --trial."
            )
        return self.records.in_trial(trial) if trials else self.records

    @property
    def ignored(self) -> list[str]:
        """Remarks of the scan on what it ignored: they belong into a protocol's fingerprint."""
        return [note for note in self.info.notes if "ignored" in note]

    @property
    def sizes(self) -> list[Size]:
        """(height, width) of each finished pixel file of this store's resize rule."""
        return [files.size for files in self.finished if files.resize == self.resize]

    @property
    def finished(self) -> list[PixelFiles]:
        """Finished pixel files of all sizes and resize rules, by size."""
        found = (
            re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})(?:-(bicubic))?\.json", path.name)
            for path in self.folder.glob("*.json")
        )
        made = [
            PixelFiles(self.folder, (int(match[1]), int(match[2])), "bicubic" if match[3] else RESIZE)
            for match in found
            if match
        ]
        count, mark = len(self.records), self.info.fingerprint
        return sorted(
            (files for files in made if files.complete(mark, count)), key=lambda f: (f.size, f.resize)
        )

    def images(self, size: Size) -> np.ndarray | None:
        """(N, H, W, 3) uint8 RGB as a read-only memory map; None where this size is not prepared."""
        if size not in self._open:
            files = PixelFiles(self.folder, size, self.resize)
            pixels = files.open_pixels()
            if pixels is None or not files.complete(self.info.fingerprint, len(self.records)):
                return None
            self._open[size] = pixels
        return self._open[size]

    def batch(self, size: Size, index: np.ndarray) -> np.ndarray:
        """Rows at ``index`` of the prepared ``size``, (B, H, W, 3) uint8 RGB, in memory.

        Raises:
            DataError: This size is not prepared.
        """
        images = self.images(size)
        if images is None:
            known = ", ".join(f"{size_name(files.size)} {files.resize}" for files in self.finished) or "none"
            option = "" if self.resize == RESIZE else f" --resize {self.resize}"
            raise DataError(
                f"{self.folder}: size {size_name(size)}, resized by {self.resize}, is not prepared "
                f"(prepared: {known})",
                f"vireid prepare {self.info.dataset} --size {size_name(size)}{option}",
            )
        return np.asarray(images)[index]


def store_folder(data_dir: Path, dataset: str, rendered: bool) -> Path:
    """Folder of a store; a rendered one never shares it with a real one."""
    return data_dir / "prepared" / (f"{dataset}-rendered" if rendered else dataset)


def open_store(data_dir: Path, dataset: str, resize: Resize = RESIZE) -> Store:
    """Open the prepared store of a dataset, the real one if there are both.

    Args:
        data_dir: Where ``prepared/`` is.
        dataset: Name of a source.
        resize: Rule of the pixels that it is to return.

    Raises:
        UsageError: It is not prepared; what is missing, where, and the ways out are said.
        DataError: It is damaged or of another version.
    """
    for rendered in (False, True):
        folder = store_folder(data_dir, dataset, rendered)
        if (folder / "store.json").is_file():
            return read_store(folder, resize)
    source, folder = load_source(dataset), store_folder(data_dir, dataset, False)
    try:
        located = locate(dataset, data_dir)
    except UsageError as error:
        raise UsageError(
            f"{source.TITLE} is not prepared: no store at {folder}, and no images at "
            f"{data_dir / source.FOLDER}",
            f"{source.HOW_TO_GET}\nThen: vireid prepare {dataset}",
        ) from error
    raise UsageError(
        f"{source.TITLE} is at {located.root} but not prepared: no store at {folder}",
        f"vireid prepare {dataset}",
    )


def read_store(folder: Path, resize: Resize = RESIZE) -> Store:
    """Open the store in ``folder`` with the pixels of a resize rule.

    Pixel files of an earlier version are renamed where the folder can be written.

    Raises:
        DataError: A file is missing, damaged, or of another version.
    """
    again = "Run 'vireid prepare' for this dataset again: finished images are kept."
    with suppress(OSError):
        name_by_rule(folder)
    path = folder / "store.json"
    content = documents.read_json(path, hint=again)
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise DataError(f"the store at {folder} has format {content['format']}, not {FORMAT}", again)
    known = check_store(content, path, again)
    table = reading.read_bytes(folder / "records.npz", hint=again)
    if hashlib.sha256(table).hexdigest() != known.records_sha256:
        raise DataError(f"{folder / 'records.npz'} is not the table that store.json describes", again)
    try:
        decoder = Decoder.of_json(known.decoder)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: decoder is not of the form that vireid writes", again) from error
    info = StoreInfo(
        known.dataset,
        Path(known.root),
        Provenance(known.provenance.kind, known.provenance.manifest, known.provenance.occlusion),
        known.fingerprint,
        known.images,
        known.counts,
        known.notes,
        [image.model_dump() for image in known.bad],
        Path(known.permutation) if known.permutation else None,
        decoder,
        known.records_sha256,
        known.format,
    )
    arrays, _ = load_from(BytesIO(table), str(folder / "records.npz"), COLUMNS, hint=again)
    missing = [name for name in COLUMNS if name not in arrays]
    if missing:
        raise DataError(f"{folder / 'records.npz'} lacks {', '.join(missing)}", again)
    records = RecordTable(*(arrays[name] for name in COLUMNS))
    if len(records) != info.images:
        raise DataError(f"{path}: images: expected {len(records)}, the records, not {info.images}", again)
    return Store(folder, records, info, resize)


def write_store(folder: Path, records: RecordTable, info: StoreInfo, resize: Resize = RESIZE) -> Store:
    """Write the records table and the description, in this order, each atomically.

    Raises:
        DataError: No space or no permission.
    """
    buffer = BytesIO()
    np.savez(buffer, **{name: getattr(records, name) for name in COLUMNS})
    content = asdict(info)
    content["root"] = str(info.root)
    content["decoder"] = info.decoder.as_json()
    content["permutation"] = str(info.permutation) if info.permutation else None
    content["records_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    write_bytes(folder / "records.npz", buffer.getvalue())
    write_json(folder / "store.json", content)
    return read_store(folder, resize)


def fingerprint(
    dataset: str,
    provenance: Provenance,
    records: RecordTable,
    sizes: np.ndarray,
    decoder: Decoder = DECODER,
) -> str:
    """SHA-256 over the records, their files' sizes, the decoder and the marks of the tree, as hex.

    Args:
        dataset: Name of the source.
        provenance: Real or rendered; a rendered or occluded tree's content hash is part of it.
        records: N records.
        sizes: (N,) file sizes in bytes.
        decoder: How files become pixels.
    """
    total = hashlib.sha256(
        f"vireid store {FORMAT}\n{dataset}\n{provenance.kind}\n{provenance.content}\n".encode()
    )
    if provenance.occlusion:
        total.update(f"{provenance.occlusion_content}\n".encode())
    for choice in decoder.differences:
        total.update(f"{choice}\n".encode())
    columns = zip(
        records.paths.tolist(),
        records.pids.tolist(),
        records.camids.tolist(),
        records.modalities.tolist(),
        records.splits.tolist(),
        sizes.tolist(),
        strict=True,
    )
    for row in columns:
        total.update("\t".join(map(str, row)).encode() + b"\n")
    return total.hexdigest()
