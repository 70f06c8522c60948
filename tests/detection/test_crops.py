"""Crops of a detector with known boxes: pixels, rows, limits, resuming after a kill."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vireid_cli.detection import crops as crops_module
from vireid_cli.detection.crop_mark import CropOptions
from vireid_cli.detection.crops import crop_people
from vireid_cli.detection.people import Detections
from vireid_cli.detection.sources import camera_of, list_sources, read_frames
from vireid_cli.errors import DataError, UsageError
from vireid_cli.modality import Modality

BOXES = np.array([[10.2, 20.7, 40.0, 100.0], [50, 10, 90.5, 90], [0, 0, 20, 30]], np.float32)
"""The third is too small; the frames have 120 × 160 pixels."""


def frame(number: int) -> np.ndarray:
    """(120, 160, 3) uint8 RGB with a grey level that tells its number, and two figures."""
    pixels = np.full((120, 160, 3), 5 * number, np.uint8)
    pixels[20:100, 10:40] = (255, 0, 0)
    pixels[10:90, 50:90] = (0, 0, 255)
    return pixels


def write_video(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (160, 120))
    for number in range(count):
        writer.write(cv2.cvtColor(frame(number), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def detector(frames: Sequence[np.ndarray]) -> list[Detections]:
    return [Detections(BOXES, np.array([0.9, 0.8, 0.75], np.float32)) for _ in frames]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "records.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tree_of(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("lock", "crop.json")
    }


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "cam3" / "08h.avi", 12)


def run(video: Path, out: Path, options: CropOptions | None = None, **changes: Any) -> Any:
    sources = list_sources(video, changes.pop("camid", None), changes.pop("fps", None))
    made = changes.pop("detector", detector)
    return crop_people(sources, out, made, options or CropOptions(), {"network": "test"}, **changes)


def test_rows_have_camera_time_and_box(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = CropOptions(every=5, start=datetime(2026, 11, 1, 8), modality=Modality.INFRARED)
    result = run(video, out, options, camid=3)
    rows = rows_of(out)
    assert (result.crops, result.frames) == (6, 3)
    assert [row["frame"] for row in rows] == ["0", "0", "5", "5", "10", "10"]
    assert rows[2] == {
        "path": "cam3/000-08h.avi/0000005-00.jpg", "camid": "3", "time": "2026-11-01T08:00:00.200",
        "seconds": "0.200", "box_left": "10", "box_top": "20", "box_right": "40", "box_bottom": "100",
        "score": "0.9", "source": "08h.avi", "frame": "5", "modality": "infrared",
    }  # fmt: skip
    assert not (out / ".parts").exists()


def test_crops_have_the_pixels_of_the_box(video: Path, tmp_path: Path) -> None:
    run(video, tmp_path / "out", camid=3)
    for row in rows_of(tmp_path / "out"):
        crop = cv2.imread(str(tmp_path / "out" / row["path"]))
        assert crop is not None
        left, top, right, bottom = (int(row[f"box_{side}"]) for side in ("left", "top", "right", "bottom"))
        expected = frame(int(row["frame"]))[top:bottom, left:right]
        inner = np.s_[4:-4, 4:-4]
        assert crop.shape == expected.shape
        assert np.abs(crop[..., ::-1][inner].astype(int) - expected[inner]).max() <= 6


def test_frames_of_a_folder_in_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "Camera-12"
    folder.mkdir()
    for number in (10, 9, 2):
        cv2.imwrite(str(folder / f"f{number}.png"), cv2.cvtColor(frame(number), cv2.COLOR_RGB2BGR))
    (source,) = list_sources(folder, None, 2.0)
    assert (source.camid, source.frames) == (12, 3)
    assert [one.name for one in read_frames(source, 1)] == ["f2.png", "f9.png", "f10.png"]
    run(folder, tmp_path / "out", fps=2.0)
    assert [row["source"] for row in rows_of(tmp_path / "out")][::2] == [
        "Camera-12/f2.png",
        "Camera-12/f9.png",
        "Camera-12/f10.png",
    ]
    assert [row["seconds"] for row in rows_of(tmp_path / "out")][::2] == ["0.000", "0.500", "1.000"]


def test_two_sources_of_the_same_name_are_refused(tmp_path: Path) -> None:
    """Frames beside a folder of the input's own name."""
    for folder in (tmp_path / "cam2", tmp_path / "cam2" / "cam2"):
        folder.mkdir()
        cv2.imwrite(str(folder / "1.png"), frame(0))
    with pytest.raises(UsageError, match=r"have the same name in records\.csv: cam2"):
        list_sources(tmp_path / "cam2", None, None)
    (tmp_path / "cam2" / "cam2").rename(tmp_path / "cam2" / "late")
    assert [source.name for source in list_sources(tmp_path / "cam2", None, None)] == ["cam2", "late"]


@pytest.mark.parametrize(
    ("name", "camid"),
    [("cam3/a.mp4", 3), ("cam3/cam5_x.mp4", 5), ("c2_8h.mp4", 2), ("abc7.mp4", None), ("scam4.mp4", None)],
)
def test_camera_numbers_of_names(name: str, camid: int | None) -> None:
    assert camera_of(Path(name)) == camid


def test_a_name_without_a_camera_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "entrance.avi", 1)
    with pytest.raises(UsageError, match="--camid"):
        list_sources(tmp_path / "entrance.avi", None, None)


class Killed(BaseException):
    """Ends a run as a kill does, without clean-up by handlers of ``Exception``."""


@pytest.mark.parametrize("images", [False, True])
def test_a_killed_run_resumes_to_the_same_bytes(
    images: bool, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crops_module, "GROUP", 4)
    source = video
    if images:
        source = tmp_path / "cam3-frames"
        source.mkdir()
        for number in range(12):
            cv2.imwrite(str(source / f"{number}.png"), frame(number))
    whole = run(source, tmp_path / "whole", camid=3)
    calls = 0

    def dies(frames: Sequence[np.ndarray]) -> list[Detections]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Killed
        return detector(frames)

    with pytest.raises(Killed):
        run(source, tmp_path / "out", camid=3, batch=2, detector=dies)
    assert not (tmp_path / "out" / "records.csv").exists()
    seen: list[int] = []

    def counts(frames: Sequence[np.ndarray]) -> list[Detections]:
        seen.append(len(frames))
        return detector(frames)

    again = run(source, tmp_path / "out", camid=3, batch=2, detector=counts)
    assert (sum(seen), again.resumed, again.crops) == (8, 4, whole.crops)
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "whole")


def test_a_complete_folder_is_not_computed_again(video: Path, tmp_path: Path) -> None:
    first = run(video, tmp_path / "out", camid=3)

    def never(frames: Sequence[np.ndarray]) -> list[Detections]:
        raise AssertionError

    again = run(video, tmp_path / "out", camid=3, detector=never)
    assert (again.crops, again.resumed) == (first.crops, first.frames)


def write_other(out: Path, video: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("")


def crop_otherwise(out: Path, video: Path) -> None:
    run(video, out, CropOptions(score=0.5), camid=3)


def crop_another_camera(out: Path, video: Path) -> None:
    run(video, out, camid=4)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (write_other, "other content"),
        (crop_otherwise, "other options"),
        (crop_another_camera, "other sources"),
    ],
)
def test_other_content_is_refused(
    prepare: Callable[[Path, Path], None], reason: str, video: Path, tmp_path: Path
) -> None:
    prepare(tmp_path / "out", video)
    before = tree_of(tmp_path / "out")
    with pytest.raises(UsageError, match=reason):
        run(video, tmp_path / "out", camid=3)
    assert tree_of(tmp_path / "out") == before


def test_a_temporary_file_of_the_mark_is_not_other_content(video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".crop.json.x1y2.tmp").write_text("{")  # as a killed process leaves it
    assert run(video, tmp_path / "out", camid=3).crops


def test_unreadable_frames_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "cam1"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), frame(1))
    (folder / "2.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(DataError, match=r"2\.png, frame 1"):
        run(folder, tmp_path / "out")
    result = run(folder, tmp_path / "out", skip_bad=True)
    assert (result.crops, [entry[0] for entry in result.bad]) == (2, ["2.png"])


def test_a_text_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "cam1.mp4"
    path.write_text("#EXTM3U\nhttp://127.0.0.1:9/secret.ts\n")
    with pytest.raises(DataError, match="can't be opened as a video"):
        list_sources(path, None, None)
