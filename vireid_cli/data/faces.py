"""Protocol files of face datasets: lists of training, gallery and probe images.

``<root>/faces/{train,gallery,probe}.txt`` have one line per image: path under the root and person number,
separated by blanks or tabs. Lines that start with # are comments. If the files are absent, ``prepare`` writes
them from the layout; later it reads them, so a user can replace them by the lists of a paper.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from vireid_cli import files, reading
from vireid_cli.counts import counted
from vireid_cli.data import layout, listing
from vireid_cli.data.ids import parse_id, shorten
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.errors import DataError
from vireid_cli.types import Modality, Record

FOLDER = "faces"
LISTS = {"train": "train", "gallery": "gallery", "probe": "query"}
"""Split of the images by name of the list."""

DRAWN = "# drawn by vireid from the layout; put a paper's list in its place"
"""First line of generated lists; their metrics are not comparable with those of papers."""
OURS = f"{FOLDER}/*.txt were drawn from the layout: under a paper's own lists figures may differ"
"""Note about generated lists, part of the fingerprint."""

Draw = Callable[[list[Record]], list[Record]]
"""Function that selects the protocol's images from all images of a layout and assigns their splits."""


def scan_faces(
    root: Path, modality_of: Callable[[str], Modality | None], collect: Callable[[], layout.Walk], draw: Draw
) -> Scan:
    """Read the protocol files; writes them first if all are absent.

    Args:
        root: Root of the dataset.
        modality_of: Function from a path under the root to its modality, None if the path has none.
        collect: Function that collects all images of the layout.
        draw: Selects the protocol's images; called only if the files are absent.

    Raises:
        DataError: One or two of the three files are missing, a line is invalid or names a missing file, an
            image is in two files, a person occurs in training and test, or the files can't be written.
    """
    paths = {name: root / FOLDER / f"{name}.txt" for name in LISTS}
    walk, notes = collect(), []
    absent = [path for path in paths.values() if not path.is_file()]
    if absent and len(absent) < len(paths):
        raise DataError(
            f"protocol files missing: {layout.first(absent)}",
            f"Add them to the others, or delete {root / FOLDER}; prepare then writes all three.",
        )
    if absent:
        walk.table(root, "the layout that the source's description shows")
        _write(paths, draw(walk.records))
        notes.append(f"wrote {FOLDER}/train.txt, gallery.txt, probe.txt: replace them by a paper's lists")
    listed = [
        record for name, path in paths.items() for record in _read(root, path, LISTS[name], modality_of)
    ]
    if any(reading.read_text(path).startswith(DRAWN) for path in paths.values()):
        notes.append(OURS)
    unlisted = len({record.path for record in walk.records} - {record.path for record in listed})
    if unlisted:
        notes.append(f"{counted(unlisted, 'image')} in no list of {FOLDER}/, ignored")
    table = layout.Walk(listed).table(root, f"images named by {FOLDER}/*.txt")
    layout.refuse_overlap(table, root / FOLDER, "A person is either in train.txt or in the other two.")
    _refuse_repeated(listed, root / FOLDER)
    notes += [*walk.notes(), *layout.missing_modalities(table)]
    return Scan(table, ScanReport(layout.count(table), tuple(notes), read_provenance(root)), None)


def _refuse_repeated(records: list[Record], folder: Path) -> None:
    """Refuse images in two lists: a query would match itself, or training would use a test image."""
    lists = {
        name: {record.path for record in records if record.split == split} for name, split in LISTS.items()
    }
    for one, other in combinations(LISTS, 2):
        if both := lists[one] & lists[other]:
            raise DataError(
                f"{folder}: {counted(len(both), 'image')} both in {one}.txt and in {other}.txt: "
                f"{layout.first(sorted(both))}",
                "Delete each from one of the two lists.",
            )


def _write(paths: dict[str, Path], records: list[Record]) -> None:
    """Write the three lists, sorted by path; deletes all of them if one can't be written."""
    texts = {}
    for name, path in paths.items():
        lines = sorted(f"{record.path} {record.pid}" for record in records if record.split == LISTS[name])
        if not lines:
            raise DataError(
                f"{path.parent.parent}: the layout has no image for {name}.txt",
                "Too few people have both visible and infrared images.",
            )
        texts[path] = "\n".join([DRAWN, *lines]) + "\n"
    folder = next(iter(texts)).parent
    try:
        for path, text in texts.items():
            files.write_text(path, text)
    except DataError as error:
        for path in texts:
            path.unlink(missing_ok=True)
        raise DataError(
            error.message,
            f"The lists belong beside the images. If {folder.parent} is read-only, create another folder "
            "with a link to each of its folders (ln -s), and prepare that one: --root FOLDER.",
        ) from error


def _read(
    root: Path,
    path: Path,
    split: str,
    modality_of: Callable[[str], Modality | None],
) -> list[Record]:
    """Read the records of one list."""
    records, missing = [], []
    listed: dict[str, int] = {}
    for number, line in listing.read_lines(path, "a line an image: <path> <person>"):
        if line.startswith("#"):
            continue
        text, label = listing.name_and_label(line)
        name, pid = listing.normalise(text.replace("\\", "/")), parse_id(label)
        modality = modality_of(name) if name else None
        fix = f"Fix or delete this line, or delete {path.parent}; prepare then writes new lists."
        if name is None or pid is None or modality is None:
            raise DataError(
                f"{path}:{number}: '{shorten(line, layout.LONGEST)}' can't be read: expected "
                "<path under the root> <person's number>",
                fix,
            )
        if name in listed:
            raise DataError(f"{path}:{number}: {name} is already listed in line {listed[name]}", fix)
        listed[name] = number
        if not (root / name).is_file():
            missing.append(name)
        records.append(Record(name, pid, modality.code + 1, modality, split))
    if not records:
        raise DataError(
            f"{path} lists no image: all its lines are comments",
            f"Add lines '<path> <person>', or delete {path.parent}; prepare then writes new lists.",
        )
    if missing:
        raise DataError(
            f"{path} names {counted(len(missing), 'image')} without a file: {layout.first(missing)}",
            f"Unpack the dataset again, or delete {path.parent}; prepare then writes new lists.",
        )
    return records
