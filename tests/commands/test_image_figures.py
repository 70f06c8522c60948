"""Figures of images through the command line: the selected people, and refused options."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.arrays import read_image
from tests.conftest import Command

SMALL = ("--size", "64x32", "--dpi", "40")


@pytest.fixture
def files(place: Path) -> list[Path]:
    """Image files of different sizes, one called as no formula should be."""
    paths = [place / name for name in ("a.png", "a $b$ c_{.png", "c.png")]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (40 + i, 20, 3), dtype=np.uint8))
    return paths


def written(message: Any) -> Path:
    assert message.code == 0, message.err
    return Path(re.search(r"wrote (\S+)", message.out)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("spectrum",), "spectrum-sysu-11.png"),
        (("spectrum", "--pid", "3", "--format", "svg"), "spectrum-sysu-3.svg"),
        (("phase-swap",), "phase-swap-sysu-11.png"),
        (("phase-swap", "--modality", "infrared"), "phase-swap-sysu-11-infrared.png"),
    ],
)
def test_a_person_of_a_dataset(vireid: Command, place: Path, words: tuple[str, ...], name: str) -> None:
    first = written(vireid("visualize", *words, *SMALL))
    assert first == Path("figures") / name
    content = first.read_bytes()
    assert written(vireid("visualize", *words, *SMALL)).read_bytes() == content


def test_image_files(vireid: Command, files: list[Path]) -> None:
    assert written(vireid("visualize", "spectrum", *files, *SMALL)).name == "spectrum-a.png"
    swapped = written(vireid("visualize", "phase-swap", *files[:2], *SMALL, "--out", "s.png"))
    named = ("--visible", files[0], "--infrared", files[1])
    other = written(vireid("visualize", "phase-swap", *named, *SMALL, "--out", "t.png"))
    assert swapped.read_bytes() != other.read_bytes(), "headings name known modalities"


def test_two_images_of_one_modality_are_of_two_cameras(place: Path) -> None:
    from vireid_cli.data.identity import find_people
    from vireid_cli.engine.subjects.images import pair
    from vireid_cli.files import data_folder
    from vireid_cli.types import Modality

    people = find_people("sysu", data_folder())
    first, second = pair(people, 12, Modality.INFRARED)
    assert (first.detail, second.detail) == ("cam 3", "cam 6")
    assert first.modality is second.modality is Modality.INFRARED
    assert (first.name, second.name) == ("infrared 1", "infrared 2")
    visible, infrared = pair(people, 12)
    assert (visible.modality, infrared.modality) == tuple(Modality)
    for picture in (first, second, visible, infrared):
        assert "/0012/" in picture.path.as_posix()
        assert picture.pixels((64, 32)).shape == (64, 32, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("spectrum", "--pid", "999"), "pid 999 does not exist. With both modalities: 11, 12, 13, 14, 1,"),
        (("spectrum", "nowhere.png"), "There is no image nowhere.png"),
        (("spectrum", "a.png", "--pid", "3"), "exclude each other"),
        (("spectrum", *["a.png"] * 7), "The maximum is 6"),
        (("phase-swap", "a.png"), "needs two images, not 1"),
        (("phase-swap", "a.png", "b.png", "--pid", "3"), "exclude each other"),
        (("phase-swap", "a.png", "b.png", "--visible", "a.png", "--infrared", "b.png"), "exclude each other"),
        (("spectrum", "--dataset", "regdb"), "RegDB"),
        (("seg", "--pid", "999"), "pid 999 does not exist"),
    ],
)
def test_wrong_use_exits_with_two(vireid: Command, place: Path, words: tuple[str, ...], message: str) -> None:
    result = vireid("visualize", *words)
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_people_of_one_modality_are_refused(vireid: Command, place: Path, sysu_tree: Path) -> None:
    data = place / "half"
    shutil.copytree(sysu_tree / "SYSU-MM01", data / "SYSU-MM01")
    for camid in (3, 6):
        shutil.rmtree(data / "SYSU-MM01" / f"cam{camid}" / "0012")
    one = vireid("visualize", "spectrum", "--pid", "12", "--data", data)
    assert one.code == 2
    assert "pid 12 has images of one modality only" in one.err
    pair = vireid("visualize", "phase-swap", "--pid", "12", "--modality", "infrared", "--data", data)
    assert pair.code == 2
    many = vireid("visualize", "seg", "--ids", 12, "--data", data)
    assert many.code == 2
    assert "11 people with images of both modalities, not 12" in many.err
    assert "--ids 11" in many.err


def test_a_dataset_of_one_modality_is_refused(tmp_path: Path) -> None:
    from vireid_cli.data.identity import People
    from vireid_cli.data.provenance import Provenance
    from vireid_cli.engine.subjects.images import people_with_both
    from vireid_cli.errors import UsageError
    from vireid_cli.types import Modality, Record, RecordTable

    table = RecordTable.of([Record(f"{i}.jpg", i, 1, Modality.VISIBLE, "test") for i in range(3)])
    with pytest.raises(UsageError, match=r"nobody has images of both modalities \(people: 3 visible, 0 infr"):
        people_with_both(People(table, tmp_path, "Half", "sysu", Provenance()))


def mean_amplitude(images: np.ndarray) -> np.ndarray:
    """(H, W) mean |F| over images (N, H, W, 3) and channels, by numpy's complex transform."""
    return np.abs(np.fft.fft2(images, axes=(1, 2), norm="ortho")).mean(axis=(0, 3))


@pytest.mark.parametrize("reading", ["paper", "another"])
def test_gaps_of_seg_images_are_the_definition(
    vireid: Command, place: Path, sysu_tree: Path, reading: str
) -> None:
    other = ("--amplitude", "unit", "--phase-source", "gray", "--weight", 30) if reading == "another" else ()
    output = vireid("visualize", "seg", *SMALL, "--ids", 2, "--images", 500, *other)
    assert written(output).name == "seg-sysu.png"
    root = sysu_tree / "SYSU-MM01"
    visible, infrared = (
        np.stack([read_image(f)[..., ::-1] for c in cams for f in sorted(root.glob(f"cam{c}/*/*.jpg"))])
        / 255.0
        for cams in ((1, 2, 4, 5), (3, 6))
    )
    grey = np.repeat((visible @ [0.299, 0.587, 0.114])[..., None], 3, axis=3)
    bins = np.fft.fft2(grey if other else visible, axes=(1, 2), norm="ortho")
    level = 30 / (64 * 32) ** 0.5 if other else np.abs(bins).mean(axis=(1, 2, 3), keepdims=True)
    phase = np.fft.ifft2(level * np.exp(1j * np.angle(bins)), axes=(1, 2), norm="ortho").real
    kinds = {"visible": visible, "grey": grey, "SEG": np.clip(grey + phase, 0, 1)}
    goal = np.log10(mean_amplitude(infrared))
    for kind, images in kinds.items():
        expected = np.abs(np.log10(mean_amplitude(images)) - goal).mean()
        result = re.search(rf"gap to infrared, {kind}: (\S+) decades", output.out + output.err)
        assert float(result[1]) == pytest.approx(expected, abs=2e-4)  # type: ignore[index]
    floor = re.search(r"gap to infrared, infrared: (\S+) decades", output.out + output.err)
    assert 0 < float(floor[1]) < 1  # type: ignore[index]


def test_a_seed_draws_the_images_of_the_mean_spectra(vireid: Command, place: Path) -> None:
    def drawn(*words: object) -> bytes:
        people = () if "--pid" in words else ("--ids", 1)
        few = (*SMALL, *people, "--images", 9)
        return written(vireid("visualize", "seg", *few, *words)).read_bytes()

    first = drawn()
    assert drawn("--seed", 0) == first
    assert drawn("--seed", 1) != first
    assert drawn("--pid", 3, "--pid", 12) != first
