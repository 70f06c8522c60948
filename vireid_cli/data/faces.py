"""Protocol files of face datasets: who is trained on, who stands in the gallery, who is a probe.

``<root>/faces/{train,gallery,probe}.txt``, a line an image: its path under the root and the person's number,
separated by blanks or tabs; lines that begin with # are remarks. Where they are absent, ``prepare`` writes
them once from the layout that it finds; from then on they are read, so that a paper's lists can be put in
their place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vireid_cli import files, reading
from vireid_cli.data import layout, listing
from vireid_cli.data.ids import parse_id, shorten
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.errors import DataError
from vireid_cli.types import Modality, Record

FOLDER = "faces"
LISTS = {"train": "train", "gallery": "gallery", "probe": "query"}
"""Name of a list → split of its images."""

DRAWN = "# drawn by vireid from the layout; put a paper's list in its place"
"""First line of a list that no paper gave: metrics under it stand beside nobody's."""
OURS = f"{FOLDER}/*.txt were drawn from the layout: under a paper's own lists figures may differ"
"""The note on such lists."""

Draw = Callable[[list[Record]], list[Record]]
"""All images of a layout → those of the protocol, with their splits."""


def scan_faces(
    root: Path, modality_of: Callable[[str], Modality | None], walk: Callable[[], layout.Found], draw: Draw
) -> Scan:
    """Read the protocol files, after writing them where none is there.

    Args:
        root: The dataset's root.
        modality_of: A path under the root → its modality; None: it can't be told.
        walk: Finds every image of the layout.
        draw: Chooses the protocol's images; called only where the files are absent.

    Raises:
        DataError: Some of the three files are missing, a line can't be read or names no file, a person is
            trained on and tested on, or the files can't be written.
    """
    paths = {name: root / FOLDER / f"{name}.txt" for name in LISTS}
    found, notes = walk(), []
    absent = [path for path in paths.values() if not path.is_file()]
    if absent and len(absent) < len(paths):
        raise DataError(
            f"protocol files missing: {layout.first(absent)}",
            f"Put them beside the others, or delete {root / FOLDER} to have all three written anew.",
        )
    if absent:
        found.table(root, "the layout that the source's description shows")
        _write(paths, draw(found.records))
        notes.append(f"wrote {FOLDER}/train.txt, gallery.txt, probe.txt: put a paper's lists in their place")
    listed = [
        record for name, path in paths.items() for record in _read(root, path, LISTS[name], modality_of)
    ]
    if any(reading.read_text(path).startswith(DRAWN) for path in paths.values()):
        notes.append(OURS)
    unlisted = len({record.path for record in found.records} - {record.path for record in listed})
    if unlisted:
        notes.append(f"{unlisted} images in no list of {FOLDER}/, ignored")
    table = layout.Found(listed).table(root, f"images named by {FOLDER}/*.txt")
    layout.refuse_overlap(table, root / FOLDER, "A person is either in train.txt or in the other two.")
    _refuse_both_sides(listed, root / FOLDER)
    notes += [*found.notes(), *layout.lacking(table)]
    return Scan(table, ScanReport(layout.count(table), tuple(notes), read_provenance(root)), None)


def _refuse_both_sides(records: list[Record], folder: Path) -> None:
    """Refuse images that are both gallery and probe: each would find itself."""
    sides = {split: {record.path for record in records if record.split == split} for split in LISTS.values()}
    if both := sides["gallery"] & sides["query"]:
        raise DataError(
            f"{folder}: {len(both)} images are in gallery.txt and in probe.txt: {layout.first(sorted(both))}",
            "Delete each from one of the two lists.",
        )


def _write(paths: dict[str, Path], records: list[Record]) -> None:
    """Write the three lists, each sorted by path; all of them or none."""
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
            f"The lists belong beside the images. If {folder.parent} can't be written, make another with "
            "a link to each of its folders (ln -s), and prepare that: --root THERE.",
        ) from error


def _read(
    root: Path,
    path: Path,
    split: str,
    modality_of: Callable[[str], Modality | None],
) -> list[Record]:
    """Records of one list."""
    records, missing = [], []
    listed: dict[str, int] = {}
    for number, line in listing.read_lines(path, "a line an image: <path> <person>"):
        if line.startswith("#"):
            continue
        text, label = listing.name_and_label(line)
        name, pid = listing.normalise(text.replace("\\", "/")), parse_id(label)
        modality = modality_of(name) if name else None
        fix = f"Fix or delete the line, or delete {path.parent} to have the lists written anew."
        if name is None or pid is None or modality is None:
            raise DataError(
                f"{path}:{number}: '{shorten(line, layout.LONGEST)}' can't be read: expected "
                "<path under the root> <person's number>",
                fix,
            )
        if name in listed:
            raise DataError(f"{path}:{number}: {name} is listed in line {listed[name]} already", fix)
        listed[name] = number
        if not (root / name).is_file():
            missing.append(name)
        records.append(Record(name, pid, modality.code + 1, modality, split))
    if missing:
        raise DataError(
            f"{path} names {len(missing)} images that are not there: {layout.first(missing)}",
            f"Unpack the dataset again, or delete {path.parent} to have the lists written anew.",
        )
    return records
