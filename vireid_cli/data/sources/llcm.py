"""LLCM: low-light cross-modality, nine cameras, visible and near infrared.

Layout::

    LLCM/vis/<id>/0001_c01_s185535_f7010_vis.jpg     LLCM/nir/<id>/…_nir.jpg          (training people)
    LLCM/test_vis/cam1..cam9/<id>/*.jpg              LLCM/test_nir/cam1,2,4..9/<id>/*.jpg
    LLCM/idx/{train_vis,train_nir}.txt               lines "nir/0351/….jpg <label>"
    LLCM/idx/test_id.txt                             one line, comma separated

The label at the end of a line is an index within the training set. The person is the folder, and the camera
of a training image is in its file name.
"""

from __future__ import annotations

import re
from pathlib import Path

from vireid_cli.counts import counted
from vireid_cli.data import layout, listing
from vireid_cli.data.dataset_root import Root
from vireid_cli.data.ids import shorten
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.errors import DataError
from vireid_cli.types import Modality, Record, RecordTable

TITLE = "LLCM"
FOLDER = "LLCM"
PROTOCOL = "llcm"
HOW_TO_GET = (
    "Real: free for research under a signed agreement (https://github.com/ZYK100/LLCM), unpacked so that the "
    "folder holds vis, nir, test_vis, test_nir and idx. "
    "Or render one: vireid prepare synthetic --layout llcm"
)
ROOT = Root("llcm", TITLE, ("vis", "nir", "test_vis", "test_nir"), HOW_TO_GET)
WORDS = {Modality.VISIBLE: "vis", Modality.INFRARED: "nir"}
EXPECTED = {
    ("train", Modality.VISIBLE): 16_946,
    ("train", Modality.INFRARED): 13_975,
    ("test", Modality.VISIBLE): 8_680,
    ("test", Modality.INFRARED): 7_166,
}
"""Number of images in the real dataset."""
CAMERAS = {Modality.VISIBLE: tuple(range(1, 10)), Modality.INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)}
"""Cameras of the test folders."""
EXPECTED_PEOPLE = {"train": 713, "test": 351}
"""Number of identities in the real dataset."""

TRAINING_IDENTITIES = EXPECTED_PEOPLE["train"]
"""Number of training identities in papers."""

_CAMERA = re.compile(r"_c([0-9]{1,2})_")


def scan(root: Path) -> Scan:
    """Read the layout under ``root``.

    Raises:
        UsageError: ``root`` does not exist, or is one level too high or too low.
        DataError: A folder or a list is missing, a list names missing files, or a person occurs in training
            and test.
    """
    ROOT.check(root)
    provenance = read_provenance(root)
    walk = layout.Walk()
    for modality in Modality:
        _training(root, modality, walk)
    listed = listing.numbers(root / "idx" / "test_id.txt", "it lists the people of the test")
    tested = set(listed)
    unlisted: set[int] = set()
    for modality in Modality:
        _walk_test(root, modality, tested, unlisted, walk)
    records = walk.table(root, "vis/<id>/*.jpg and test_vis/cam1/<id>/*.jpg")
    layout.refuse_overlap(records, root, "Copy idx/ from the archive again.")
    notes = [*walk.notes(), *layout.missing_modalities(records)]
    if len(listed) > len(tested):
        notes.append(f"{counted(len(listed) - len(tested), 'repeated number')} of test_id.txt, ignored")
    if absent := tested - set(records.pids[records.splits == "test"].tolist()):
        notes.append(
            f"{layout.identities(absent)} of test_id.txt without test images: {layout.first_ids(absent)}"
        )
    if unlisted:
        notes.append(
            f"{layout.identities(unlisted)} not in test_id.txt, folders ignored: {layout.first_ids(unlisted)}"
        )
    if not provenance.rendered:
        notes += differences(records)
    return Scan(records, ScanReport(layout.count(records), tuple(notes), provenance), None)


def _training(root: Path, modality: Modality, walk: layout.Walk) -> None:
    """Collect the images of one training list; count other files in its folder."""
    word = WORDS[modality]
    files = {path.relative_to(root).as_posix(): path for path in (root / word).rglob("*") if path.is_file()}
    path = root / "idx" / f"train_{word}.txt"
    purpose = f"it lists the training images, a line each: {word}/0351/<name>.jpg <label>"
    form = f"{word}/<id>/<name_c01_…>.jpg <label>"
    images = listing.read_images(path, word, purpose, form)
    for name, pid in images.persons.items():
        camera = _CAMERA.search(name.rsplit("/", 1)[-1])
        if camera is None:
            raise DataError(
                f"{path}: '{shorten(name, layout.LONGEST)}' has no camera number: expected {form}",
                "Copy idx/ from the archive again.",
            )
        walk.records.append(Record(name, pid, int(camera[1]), modality, "train"))
    walk.remarks += images.notes
    listed = images.persons.keys()
    missing = sorted(listed - set(files))
    if missing:
        raise DataError(
            f"{path} names {counted(len(missing), 'image')} without a file: {layout.first(missing)}",
            f"Unpack {word}/ again.",
        )
    for name in sorted(set(files) - listed):
        if layout.is_image(files[name]):
            walk.unmatched.append(f"{name} (in no list)")
        else:
            walk.ignore(files[name])


def _walk_test(
    root: Path, modality: Modality, tested: set[int], unlisted: set[int], walk: layout.Walk
) -> None:
    """Collect the test images of one modality."""
    top = root / f"test_{WORDS[modality]}"
    for camera in sorted(top.iterdir()):
        number = re.fullmatch(r"cam([0-9]{1,3})", camera.name)
        if not camera.is_dir() or number is None:
            walk.ignore(camera) if camera.is_file() else walk.unmatched.append(f"{top.name}/{camera.name}")
            continue
        for person in sorted(camera.iterdir()):
            if not person.is_dir():
                walk.ignore(person)
                continue
            parent = f"{top.name}/{camera.name}"
            pid = walk.person(parent, person.name)
            if pid is not None and pid not in tested:
                unlisted.add(pid)
            elif pid is not None:
                _collect(person, pid, int(number[1]), modality, parent, walk)


def _collect(person: Path, pid: int, camid: int, modality: Modality, parent: str, walk: layout.Walk) -> None:
    for path in sorted(person.iterdir()):
        if layout.is_image(path):
            relative = f"{parent}/{person.name}/{path.name}"
            walk.records.append(Record(relative, pid, camid, modality, "test"))
        else:
            walk.ignore(path, f"{parent}/{person.name}")


def differences(records: RecordTable) -> list[str]:
    """Compare cameras, images and identities with those of the real dataset; one line per difference."""
    lines = []
    for modality, cameras in CAMERAS.items():
        here = records.camids[(records.splits == "test") & (records.modalities == modality.code)]
        missing = [f"test_{WORDS[modality]}/cam{camid}" for camid in cameras if camid not in here]
        if missing:
            lines.append(
                f"no test image of {', '.join(missing)} ({len(cameras)} camera folders expected): the "
                "metrics are not comparable; unpack the dataset again"
            )
    for (split, modality), expected in EXPECTED.items():
        images = int(((records.splits == split) & (records.modalities == modality.code)).sum())
        if images != expected:
            lines.append(f"{split}, {modality}: {counted(images, 'image')} found, {expected:,} expected")
    for split, expected in EXPECTED_PEOPLE.items():
        people = len(set(records.pids[records.splits == split].tolist()))
        if people != expected:
            lines.append(f"{split}: {counted(people, 'identity')} found, {expected} expected")
    return lines
