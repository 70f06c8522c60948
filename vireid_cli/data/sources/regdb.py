"""RegDB: 412 people with ten visible and ten thermal images each; ten splits into halves.

Layout::

    RegDB/Visible/<1..412>/<name>.bmp     RegDB/Thermal/<1..412>/<name>.bmp
    RegDB/idx/{train,test}_{visible,thermal}_{1..10}.txt     lines "Visible/285/<name>.bmp 0"

The number at the end of a line is a label within its trial; the person is the folder. RegDB has no camera
numbers: camid is 1 for visible and 2 for thermal images, as in published evaluation code. The split of an
image is ``trials:`` and ten letters, one per trial (see ``RecordTable.in_trial``).
"""

from __future__ import annotations

from pathlib import Path

from vireid_cli.counts import counted
from vireid_cli.data import layout, listing
from vireid_cli.data.dataset_root import Root
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.errors import DataError
from vireid_cli.types import TRIAL_LETTERS, TRIALS_MARK, Modality, Record, RecordTable

TITLE = "RegDB"
FOLDER = "RegDB"
PROTOCOL = "regdb"
HOW_TO_GET = (
    "Real: free for research from its authors on request (Dongguk Body-based Person Recognition Database, "
    "DBPerson-Recog-DB1), unpacked so that the folder holds Visible, Thermal and idx. "
    "Or render one: vireid prepare synthetic --layout regdb"
)
TRIALS = 10
IDENTITIES, IMAGES = 412, 10
TRAINING_IDENTITIES = 206
"""Number of training identities of each trial."""

ROOT = Root("regdb", TITLE, ("Visible", "Thermal"), HOW_TO_GET)
SIDES = {Modality.VISIBLE: ("Visible", "visible", 1), Modality.INFRARED: ("Thermal", "thermal", 2)}
"""Folder, word in the names of the lists, camera number."""


def scan(root: Path) -> Scan:
    """Read the layout under ``root`` with the lists of all ten trials.

    Raises:
        UsageError: ``root`` does not exist, or is one level too high or too low.
        DataError: A folder or a list is missing, a list names missing files, or a person occurs in training
            and test of a trial.
    """
    ROOT.check(root)
    provenance = read_provenance(root)
    walk = layout.Walk()
    letters = _letters(root, walk)
    for modality in Modality:
        _walk(root, modality, letters, walk)
    absent = sorted(set(letters) - {record.path for record in walk.records})
    if absent:
        raise DataError(
            f"{root}: the lists in idx/ name {counted(len(absent), 'image')} without a file: "
            f"{layout.first(absent)}",
            "Unpack Visible/ and Thermal/ again.",
        )
    records = walk.table(root, "Visible/<id>/<name>.bmp and Thermal/<id>/<name>.bmp")
    real = not provenance.rendered
    notes = (*walk.notes(), *layout.missing_modalities(records), *(differences(records) if real else ()))
    return Scan(records, ScanReport(layout.count(_unsplit(records)), notes, provenance), None)


def _letters(root: Path, walk: layout.Walk) -> dict[str, str]:
    """Read all lists: ten letters by path, one per trial. Adds the notes of the lists to ``walk``."""
    rows: dict[str, list[str]] = {}
    for trial in range(1, TRIALS + 1):
        people: dict[str, set[int]] = {"train": set(), "test": set()}
        for split in people:
            for folder, word, _ in SIDES.values():
                images = _listed(root / "idx" / f"{split}_{word}_{trial}.txt", folder)
                walk.remarks += images.notes
                people[split].update(images.persons.values())
                for path in images.persons:
                    row = rows.setdefault(path, [TRIAL_LETTERS["none"]] * TRIALS)
                    row[trial - 1] = TRIAL_LETTERS[split]
        both = people["train"] & people["test"]
        if both:
            raise DataError(
                f"{root / 'idx'}: trial {trial} trains and tests on {layout.identities(both)}: "
                f"{layout.first_ids(both)}",
                "Copy idx/ from the archive again.",
            )
    return {path: "".join(row) for path, row in rows.items()}


def _listed(path: Path, folder: str) -> listing.ImageList:
    """Read one list."""
    purpose = f"it lists the images of one trial, a line each: {folder}/285/<name>.bmp 0"
    return listing.read_images(path, folder, purpose, f"{folder}/<id>/<name>.bmp <label>")


def _walk(root: Path, modality: Modality, letters: dict[str, str], walk: layout.Walk) -> None:
    """Collect the images of one modality."""
    folder, _, camid = SIDES[modality]
    for person in sorted((root / folder).iterdir()):
        if not person.is_dir():
            walk.ignore(person)
            continue
        pid = walk.person(folder, person.name)
        if pid is not None:
            for path in sorted(person.iterdir()):
                relative = f"{folder}/{person.name}/{path.name}"
                if not layout.is_image(path):
                    walk.ignore(path, f"{folder}/{person.name}")
                elif relative not in letters:
                    walk.unmatched.append(f"{relative} (in no list)")
                else:
                    split = TRIALS_MARK + letters[relative]
                    walk.records.append(Record(relative, pid, camid, modality, split))


def _unsplit(records: RecordTable) -> RecordTable:
    """Replace all splits by a single one, to count by camera."""
    splits = records.splits.copy()
    splits[:] = "all"
    return RecordTable(records.paths, records.pids, records.camids, records.modalities, splits)


def differences(records: RecordTable) -> list[str]:
    """Compare identities, images and trials with those of the real dataset; one line per difference."""
    lines = []
    people = len(set(records.pids.tolist()))
    expected = IDENTITIES * IMAGES * 2
    if (people, len(records)) != (IDENTITIES, expected):
        lines.append(
            f"{counted(people, 'identity')} with {counted(len(records), 'image')}; {IDENTITIES} "
            f"with {expected:,} expected"
        )
    for trial in range(1, TRIALS + 1):
        table = records.in_trial(trial)
        tested = len(set(table.pids[table.splits == "test"].tolist()))
        trained = len(set(table.pids[table.splits == "train"].tolist()))
        if (trained, tested) != (IDENTITIES // 2, IDENTITIES // 2):
            lines.append(
                f"trial {trial}: {counted(trained, 'person')} to train on and {tested} to test; "
                f"{TRAINING_IDENTITIES} and {IDENTITIES - TRAINING_IDENTITIES} expected"
            )
    return lines
