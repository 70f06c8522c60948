"""Figures of images through the command line: whose images are taken, and what is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

Command = Callable[..., Any]


@pytest.fixture
def files(place: Path) -> list[Path]:
    """Image files of different sizes, one called as no formula should be."""
    paths = [place / name for name in ("a.png", "a $b$ c_{.png", "c.png")]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (40 + i, 20, 3), dtype=np.uint8))
    return paths


def written(said: Any) -> Path:
    assert said.code == 0, said.err
    return Path(re.search(r"wrote (\S+)", said.out)[1])  # type: ignore[index]


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
    first = written(vireid("visualize", *words, "--size", "64x32"))
    assert first == Path("figures") / name
    content = first.read_bytes()
    assert written(vireid("visualize", *words, "--size", "64x32")).read_bytes() == content


def test_image_files(vireid: Command, files: list[Path]) -> None:
    assert written(vireid("visualize", "spectrum", *files, "--size", "64x32")).name == "spectrum-a.png"
    swapped = written(vireid("visualize", "phase-swap", *files[:2], "--size", "64x32", "--out", "s.png"))
    named = ("--visible", files[0], "--infrared", files[1])
    other = written(vireid("visualize", "phase-swap", *named, "--size", "64x32", "--out", "t.png"))
    assert swapped.read_bytes() != other.read_bytes(), "headings say the modalities where they are known"


def test_two_images_of_one_modality_are_of_two_cameras(place: Path) -> None:
    from vireid_cli.engine.pictures import pair
    from vireid_cli.engine.preparation import data_folder, find_people
    from vireid_cli.types import Modality

    people = find_people("sysu", data_folder())
    first, second = pair(people, 12, Modality.INFRARED)
    assert (first.detail, second.detail) == ("cam 3", "cam 6")
    assert first.modality is second.modality is Modality.INFRARED
    visible, infrared = pair(people, 12)
    assert (visible.modality, infrared.modality) == tuple(Modality)
    for picture in (first, second, visible, infrared):
        assert "/0012/" in picture.path.as_posix()
        assert picture.pixels((64, 32)).shape == (64, 32, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("spectrum", "--pid", "999"), "pid 999 is not in it. With both modalities: 11, 12, 13, 14, 1,"),
        (("spectrum", "nowhere.png"), "There is no image nowhere.png"),
        (("spectrum", "a.png", "--pid", "3"), "not both"),
        (("spectrum", *["a.png"] * 7), "Name 6 at most"),
        (("phase-swap", "a.png"), "takes two images, not 1"),
        (("phase-swap", "a.png", "b.png", "--pid", "3"), "not both"),
        (("phase-swap", "a.png", "b.png", "--visible", "a.png", "--infrared", "b.png"), "not both"),
        (("spectrum", "--dataset", "regdb"), "RegDB"),
    ],
)
def test_wrong_use_exits_with_two(vireid: Command, place: Path, words: tuple[str, ...], said: str) -> None:
    result = vireid("visualize", *words)
    assert result.code == 2
    assert said in " ".join(result.err.split())


def test_people_of_one_modality_are_told(vireid: Command, place: Path, sysu_tree: Path) -> None:
    data = place / "half"
    shutil.copytree(sysu_tree / "SYSU-MM01", data / "SYSU-MM01")
    for camid in (3, 6):
        shutil.rmtree(data / "SYSU-MM01" / f"cam{camid}" / "0012")
    one = vireid("visualize", "spectrum", "--pid", "12", "--data", data)
    assert one.code == 2
    assert "pid 12 has images of one modality only" in one.err
    pair = vireid("visualize", "phase-swap", "--pid", "12", "--modality", "infrared", "--data", data)
    assert pair.code == 2
