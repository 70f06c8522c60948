"""Images to embed: folders in the layouts of the field, CSV lists, and the channels of grey images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vireid_cli.data.decode import decode, load
from vireid_cli.data.grey import TOLERANCE, are_close, channel_spread, modality_codes
from vireid_cli.data.image_list import UNDECIDED, list_images
from vireid_cli.data.image_names import NameReader
from vireid_cli.embedding_files.rows import UNKNOWN
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import IMAGE_ENDINGS, Modality

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


@pytest.mark.parametrize(
    ("path", "pid", "camid", "modality"),
    [
        ("cam3/0012/0001.jpg", 12, 3, None),
        ("Visible/7/male_front_v_00001_7.bmp", 7, UNKNOWN, VISIBLE),
        ("Thermal/7/male_front_t_00001_7.bmp", 7, UNKNOWN, INFRARED),
        ("vis/0351/0001_c01_s185535_f7010_vis.jpg", 351, 1, VISIBLE),
        ("test_nir/cam4/0351/0001_c05_s1_f2_nir.jpg", 351, 5, INFRARED),
        ("test_nir/cam4/0351/x.jpg", 351, 4, INFRARED),
        ("query/visible/5/c12_0001.png", 5, 12, VISIBLE),
        ("gallery/infrared/5/0001.png", 5, UNKNOWN, INFRARED),
        ("bounding_box_test/0002_c1s1_000451_03.jpg", 2, 1, None),
        ("-1_c1s1_000401_03.jpg", UNKNOWN, 1, None),
        ("holiday/photo.jpg", UNKNOWN, UNKNOWN, None),
        ("12/holiday/photo.jpg", UNKNOWN, UNKNOWN, None),
        ("camera_2/abc12_x.jpg", UNKNOWN, 2, None),
        ("vis/99999999999999999999/x.jpg", UNKNOWN, UNKNOWN, VISIBLE),
    ],
)
def test_names_state_person_camera_and_modality(
    path: str, pid: int, camid: int, modality: Modality | None
) -> None:
    facts = NameReader().facts(path)
    assert (facts.pid, facts.camid, facts.modality) == (pid, camid, modality)


def test_folders_above_the_root_state_a_camera_but_no_person() -> None:
    facts = NameReader(("2026", "cam5")).facts("0003/1.jpg")
    assert (facts.pid, facts.camid) == (3, 5)
    assert NameReader(("cam5", "12")).facts("1.jpg").pid == UNKNOWN


def test_a_folder_is_walked_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/10.jpg", "a.jpg", ".hidden/x.jpg", "b/.y.jpg", "notes.txt", "c/d/e.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = list_images(tmp_path)
    assert images.rows.paths.tolist() == ["a.jpg", "b/10.jpg", "b/2.PNG", "c/d/e.tif"]
    assert set(images.rows.modalities.tolist()) == {UNDECIDED}
    assert images.notes == ("2 stray files ignored (1 × *.txt, 1 × .y.jpg)",)
    assert images.rows.problem() == "row 0: its modality is neither visible nor infrared"


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="has no image"):
        list_images(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        list_images(tmp_path / "x")
    with pytest.raises(UsageError, match=r"neither a folder nor a list"):
        list_images(tmp_path / "notes.txt")


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a\udcff.jpg").touch()
    with pytest.raises(DataError, match=r"not UTF-8: a\\xff\.jpg"):
        list_images(tmp_path)


def test_a_list_keeps_its_columns(tmp_path: Path) -> None:
    text = (
        "path;time;score;modality;camid;pid;door\n"
        './a.jpg;2026-11-01T18:30:00+01:00;0.5;infrared;3;7;"north; old"\n'
        "\n"
        "/abs/b.jpg;;;;;;2\n"
    )
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    images = list_images(tmp_path / "list.csv")
    rows = images.rows
    assert rows.paths.tolist() == ["a.jpg", "/abs/b.jpg"]
    assert rows.times.tolist() == ["2026-11-01T17:30:00.000000", ""]
    assert rows.modalities.tolist() == [INFRARED.code, UNDECIDED]
    assert (rows.camids.tolist(), rows.pids.tolist()) == ([3, UNKNOWN], [7, UNKNOWN])
    assert rows.columns["door"].tolist() == ["north; old", "2"]
    np.testing.assert_array_equal(rows.columns["score"], [0.5, np.nan])
    assert images.file(0) == tmp_path / "a.jpg"
    assert images.file(1) == Path("/abs/b.jpg")


def test_a_folder_with_a_list_uses_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "records.csv").write_text("path,pid,camid,modality,split\nb.jpg,1,2,visible,train\n")
    images = list_images(tmp_path)
    assert images.rows.paths.tolist() == ["b.jpg"]
    assert images.rows.columns["split"].tolist() == ["train"]
    assert images.stats(1).tolist() == [[-1, 0]]


def test_all_invalid_lines_are_listed(tmp_path: Path) -> None:
    text = (
        "path,modality,camid,time\na.jpg,red,1,\n,visible,1,\nb.jpg,visible,x,\nc.jpg,visible,1\n"
        "d.jpg,visible,1,noon\ne\\f.jpg,,,\ng.jpg,,,\n./g.jpg,,,\n"
    )
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match="7 invalid lines") as refusal:
        list_images(tmp_path / "list.csv")
    for line, word in ((2, "'red'"), (3, "empty"), (4, "'x'"), (5, "3 values, expected 4"), (6, "'noon'")):
        assert any(f"list.csv:{line}: " in part and word in part for part in str(refusal.value).splitlines())
    assert "already listed in line 8" in str(refusal.value)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("a,b", "lacks 'path'"),
        ("path,Camera name", "'Camera name'"),
        ("path,x,X", "'x' and 'X'"),
        ("path,path", "'path' and 'path'"),
        ("path,Time", "'time' and 'Time'"),
        ("path,embedding", "name of the result"),
    ],
)
def test_headers_are_checked(header: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{header}\n")
    with pytest.raises(DataError, match=r"list\.csv:1: ") as refusal:
        list_images(tmp_path / "list.csv")
    assert words in str(refusal.value)


def test_a_list_without_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\n")
    with pytest.raises(DataError, match="lists no image"):
        list_images(tmp_path / "list.csv")


def grey(noise: int, seed: int) -> np.ndarray:
    """A grey image with independent noise of its channels, (96, 48, 3) uint8."""
    draw = np.random.default_rng(seed)
    base = cv2.resize(draw.integers(0, 256, (12, 6), dtype=np.uint8), (48, 96)).astype(np.int64)
    noisy = base[:, :, None] + draw.integers(-noise, noise + 1, (96, 48, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("quality", [20, 75, 95, 100])
@pytest.mark.parametrize("noise", [0, 2])
def test_grey_images_are_infrared_after_jpeg(ending: str, quality: int, noise: int) -> None:
    for seed in range(5):
        _, data = cv2.imencode(ending, grey(noise, seed), [cv2.IMWRITE_JPEG_QUALITY, quality])
        spread = channel_spread(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[None])
        assert spread[0] <= (2.8 if noise else 0.0)
        assert modality_codes(spread).tolist() == [INFRARED.code]


def test_pale_colours_are_visible() -> None:
    pale = grey(0, 1).astype(np.int64) + np.array([8, 0, 0])
    spread = channel_spread(np.clip(pale, 0, 255).astype(np.uint8)[None])
    assert modality_codes(spread).tolist() == [VISIBLE.code]


def test_spread_by_hand_and_close_decisions() -> None:
    pixels = np.zeros((1, 1, 2, 3), np.uint8)
    pixels[0, 0, 0] = (250, 0, 10)
    assert channel_spread(pixels).tolist() == [125.0]
    assert are_close(np.array([1.0, 2.0, 5.0, 7.0])).tolist() == [False, True, True, False]
    assert TOLERANCE == 3.0


def test_links_without_a_target_are_counted(tmp_path: Path) -> None:
    """They are no images to embed; neither are folders behind links."""
    folder, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
        cv2.imwrite(str(place / "1.png"), np.zeros((8, 4, 3), np.uint8))
    (folder / "2.png").symlink_to(elsewhere / "1.png")
    (folder / "3.png").symlink_to(elsewhere / "gone.png")
    (folder / "notes.txt").symlink_to(elsewhere / "gone.txt")
    (folder / "more").symlink_to(elsewhere)
    listed = list_images(folder)
    assert listed.rows.paths.tolist() == ["1.png", "2.png"]
    notes = "\n".join(listed.notes)
    assert "2 links without a target, ignored: 3.png, notes.txt" in notes
    assert "1 links to folders, ignored: more" in notes


@pytest.mark.parametrize("ending", IMAGE_ENDINGS)
def test_every_format_that_is_read_is_listed(ending: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    (tmp_path / f"a{ending}").write_bytes(cv2.imencode(ending, pixels)[1].tobytes())
    listed = list_images(tmp_path)
    assert listed.rows.paths.tolist() == [f"a{ending}"]
    assert decode(load(listed.file(0))).shape == (16, 8, 3)
