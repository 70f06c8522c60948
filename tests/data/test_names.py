"""Numbers, paths and names of files: one parser, one form of each path, names in other encodings refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from tests.data import trees
from vireid_cli.data.ids import LARGEST, id_problem, ids_of_array, is_text, parse_id, shorten
from vireid_cli.data.listing import name_and_label, normalise
from vireid_cli.data.prepare import prepare
from vireid_cli.data.records_file import scan
from vireid_cli.data.sources.sysu import read_ids
from vireid_cli.errors import DataError, UsageError

ODD = ["1²", "٣", "१", "", " 1", "1 ", "+1", "-1", "1_0", "0x1", "1.0", "1e3", "Ⅳ", "1\0", "\n1"]
TOO_LARGE = [str(LARGEST + 1), "9" * 20, "1" + "0" * 5_000, "20231129101530123456"]


@given(st.integers(0, LARGEST), st.integers(0, 30))
def test_a_number_is_read_with_and_without_leading_zeros(number: int, zeros: int) -> None:
    assert parse_id("0" * zeros + str(number)) == number


@given(st.text("0123456789²٣१ +-_.xⅣ\0\n\udcd5", max_size=8))
def test_any_text_is_a_number_or_has_a_reason(text: str) -> None:
    assert (parse_id(text) is None) == bool(id_problem(text))
    assert parse_id(text) is None or (text.isascii() and text.isdigit())


@pytest.mark.parametrize("text", ODD)
def test_other_digits_and_signs_are_no_number(text: str) -> None:
    assert parse_id(text) is None
    assert "is not a whole number from 0 in the digits 0-9" in id_problem(text)


@pytest.mark.parametrize("text", TOO_LARGE)
def test_numbers_beyond_int64_are_refused(text: str) -> None:
    assert parse_id(text) is None
    assert id_problem(text).endswith(f"is larger than {LARGEST}")
    assert len(id_problem(text)) < 120


@pytest.mark.parametrize("values", [[np.inf], [np.nan], [1.5], [-1.0], [2.0**63], [-1]])
def test_arrays_hold_whole_numbers(values: list[float]) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        ids_of_array(np.array(values))
    assert ids_of_array(np.array([[3.0, 0.0]])) == [3, 0]
    with pytest.raises(ValueError, match="values of type"):
        ids_of_array(np.array(["1"]))


@pytest.mark.parametrize("value", [np.inf, np.nan, 2.5, 1e300])
def test_a_matlab_list_of_other_values_is_refused(tmp_path: Path, value: float) -> None:
    savemat(tmp_path / "train_id.mat", {"id": np.array([[1.0, value]])})
    with pytest.raises(DataError, match=r"train_id.mat is not a list of identity numbers: .* whole number"):
        read_ids(tmp_path, "train_id")


@pytest.mark.parametrize("text", ["1,2²", "1,٣", f"1,{LARGEST + 1}", "1," + "9" * 5_000, "1,a"])
def test_a_text_list_of_other_values_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train_id.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"train_id.txt is not a list of identity numbers"):
        read_ids(tmp_path, "train_id")
    (tmp_path / "train_id.txt").write_text("1, 2\t3\n4 5,\n")
    assert read_ids(tmp_path, "train_id") == [1, 2, 3, 4, 5]


def test_names_are_shown_without_control_characters() -> None:
    assert shorten("a\x1b[31m\n.jpg") == "a\\x1b[31m\\n.jpg"
    assert shorten(os.fsdecode(b"\xd5\xd5.jpg")) == "\\xd5\\xd5.jpg"
    assert len(shorten("a" * 100)) == 41
    assert is_text("照片.jpg")
    assert not is_text(os.fsdecode(b"\xd5.jpg"))


@pytest.mark.parametrize("name", ["a.jpg", "./a.jpg", ".//a.jpg", "x/../a.jpg", "x/./../a.jpg"])
def test_paths_have_one_form(name: str) -> None:
    assert normalise(name) == "a.jpg"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a.jpg", "x/../../a.jpg", "/a.jpg", "//a.jpg", "C:/a.jpg", "a\0"]
)
def test_paths_outside_the_root_are_none(name: str) -> None:
    assert normalise(name) is None


@pytest.mark.parametrize("gap", [" ", "\t", "  ", " \t ", "\u00a0"])
def test_any_blank_separates_a_label(gap: str) -> None:
    assert name_and_label(f"Visible/1/my image.bmp{gap}0") == ("Visible/1/my image.bmp", "0")
    assert name_and_label("Visible/1/my image.bmp") == ("Visible/1/my image.bmp", "")


SOURCES = {
    "folder": (trees.write_folder, "train/visible"),
    "regdb": (trees.write_regdb, "Visible"),
    "llcm": (trees.write_llcm, "test_vis/cam1"),
    "buaa": (trees.write_buaa, "VIS"),
    "oulu": (trees.write_oulu, "VL/Strong"),
}


@pytest.mark.parametrize("dataset", SOURCES)
@pytest.mark.parametrize("name", ["1²", "٣", "20231129101530123456", "9" * 200])
def test_folders_of_other_names_are_odd_everywhere(tmp_path: Path, dataset: str, name: str) -> None:
    write, parent = SOURCES[dataset]
    root = write(tmp_path / dataset)
    before = scan(dataset, root)
    folder = root / parent / (f"P{name}" if dataset == "oulu" else name)
    trees.write_image(folder / ("Anger/000.jpeg" if dataset == "oulu" else "c1_0.jpg"), 1)
    after = scan(dataset, root)
    assert after.records.paths.tolist() == before.records.paths.tolist()
    assert any("1 name that can't be read" in note for note in after.report.notes)


@pytest.mark.parametrize("dataset", ["folder", "regdb", "llcm", "buaa"])
def test_two_folders_of_one_number_are_refused(tmp_path: Path, dataset: str) -> None:
    write, parent = SOURCES[dataset]
    root = write(tmp_path / dataset)
    known = next(path for path in sorted((root / parent).iterdir()))
    twin = known.name.lstrip("0") if known.name.startswith("0") else f"000{known.name}"
    trees.write_image(known.with_name(twin) / "c1_0.jpg", 1)
    with pytest.raises(DataError, match=r"1 number with two folders: .*\(person \d\)") as error:
        scan(dataset, root)
    assert known.name in error.value.message
    assert twin in error.value.message
    assert "Merge the folders" in error.value.hint


def test_folders_of_one_number_in_other_places_are_remarked(tmp_path: Path) -> None:
    root = trees.write_folder(tmp_path / "own")
    (root / "train" / "infrared" / "1").rename(root / "train" / "infrared" / "0001")
    notes = scan("folder", root).report.notes
    assert "folders that are read as one person: 0001 and 1" in notes


def test_a_camera_beyond_int64_is_odd(tmp_path: Path) -> None:
    root = trees.write_folder(tmp_path / "own")
    trees.write_image(root / "train" / "visible" / "1" / f"c{'9' * 30}_x.png", 1)
    notes = scan("folder", root).report.notes
    assert any("larger than" in note for note in notes)


GAPS = pytest.mark.parametrize("gap", ["\t", "   ", " \t"])


@GAPS
@pytest.mark.parametrize("dataset", ["regdb", "llcm", "buaa"])
def test_lists_with_any_blank_are_the_same_lists(tmp_path: Path, dataset: str, gap: str) -> None:
    root = SOURCES[dataset][0](tmp_path / dataset)
    before = scan(dataset, root)
    for path in [*root.glob("idx/*.txt"), *root.glob("faces/*.txt")]:
        text = path.read_text()
        lines = text.replace(",", f",{gap}").split("\n") if "," in text else text.split("\n")
        path.write_text(
            "\n\n".join(gap.join(line.rsplit(" ", 1)) if line[:1] != "#" else line for line in lines)
        )
    after = scan(dataset, root)
    for name in before.records.__slots__:
        np.testing.assert_array_equal(getattr(after.records, name), getattr(before.records, name))


@pytest.mark.parametrize("dataset", ["regdb", "llcm", "buaa"])
def test_lists_name_each_image_in_one_form(tmp_path: Path, dataset: str) -> None:
    root = SOURCES[dataset][0](tmp_path / dataset)
    before = scan(dataset, root)
    for path in [*root.glob("idx/train_*.txt"), *root.glob("faces/*.txt")]:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        path.write_text("\n".join(f".//{line.replace('/', '/./', 1)}" for line in lines) + "\n")
    assert scan(dataset, root).records.paths.tolist() == before.records.paths.tolist()


def test_an_image_that_a_list_repeats_counts_once(tmp_path: Path) -> None:
    root = trees.write_llcm(tmp_path / "llcm")
    before = scan("llcm", root)
    path = root / "idx" / "train_vis.txt"
    path.write_text(path.read_text() + "./" + path.read_text().splitlines()[0] + "\n")
    after = scan("llcm", root)
    assert after.records.paths.tolist() == before.records.paths.tolist()
    assert "1 repeated line of train_vis.txt, ignored" in after.report.notes


@pytest.mark.parametrize(("dataset", "name"), [("llcm", "train_vis.txt"), ("regdb", "train_visible_1.txt")])
def test_labels_and_repeated_lines_of_image_lists_are_checked(
    tmp_path: Path, dataset: str, name: str
) -> None:
    root = SOURCES[dataset][0](tmp_path / dataset)
    path = root / "idx" / name
    text = path.read_text()
    first, last = text.splitlines()[0], text.splitlines()[-1]
    image = first.rsplit(None, 1)[0]
    path.write_text(f"{text}{last}\n{image} 977\n")
    notes = " ".join(scan(dataset, root).report.notes)
    assert f"2 repeated lines of {name}, ignored" in notes
    assert f"{name} has several labels of one person" in notes
    for label in ("1²", "1" * 5000, "-1", "0.0", "0 7"):
        path.write_text(f"{text}{image} {label}\n")
        with pytest.raises(DataError, match=rf"{name}:{len(text.splitlines()) + 1}: '.*' can't be read"):
            scan(dataset, root)


def test_numbers_of_the_test_list_that_repeat_or_have_no_image_are_noted(tmp_path: Path) -> None:
    root = trees.write_llcm(tmp_path / "llcm")
    path = root / "idx" / "test_id.txt"
    pids = path.read_text().strip()
    path.write_text(f"{pids},0{pids.split(',')[0]},4711\n")
    notes = scan("llcm", root).report.notes
    assert "1 repeated number of test_id.txt, ignored" in notes
    assert "1 identity of test_id.txt without test images: 4711" in notes


def test_a_face_list_of_comments_is_refused(tmp_path: Path) -> None:
    root = trees.write_buaa(tmp_path / "buaa")
    scan("buaa", root)
    (root / "faces" / "train.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match=r"train.txt lists no image"):
        scan("buaa", root)


def test_an_image_that_face_lists_name_twice_is_refused(tmp_path: Path) -> None:
    root = trees.write_buaa(tmp_path / "buaa")
    scan("buaa", root)
    gallery, probe = root / "faces" / "gallery.txt", root / "faces" / "probe.txt"
    texts = gallery.read_text(), probe.read_text()
    first = texts[0].splitlines()[1]
    gallery.write_text(f"{texts[0]}./{first}\n")
    with pytest.raises(DataError, match=r"gallery.txt:6: VIS/3/0.bmp is already listed in line 2"):
        scan("buaa", root)
    gallery.write_text(texts[0])
    probe.write_text(f"{texts[1]}./{first}\n")
    with pytest.raises(DataError, match=r"1 image both in gallery.txt and in probe.txt: VIS/3/0.bmp"):
        scan("buaa", root)
    probe.write_text(texts[1])
    trained = (root / "faces" / "train.txt").read_text().splitlines()[1].split()[0]
    for path, text in ((gallery, texts[0]), (probe, texts[1])):
        path.write_text(f"{text}{trained} 99\n")
        with pytest.raises(DataError, match=f"1 image both in train.txt and in {path.name}: {trained}"):
            scan("buaa", root)
        path.write_text(text)


HEADER = "path,pid,camid,modality,split"
ROW = "train/visible/1/c3_0.png,1,1,visible,train"


def listed(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    root = trees.write_folder(tmp_path / "own")
    (root / "records.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "name", ["./train/visible/1/c3_0.png", "train//visible/1/c3_0.png", "train/x/../visible/1/c3_0.png"]
)
def test_two_forms_of_one_path_are_one_image_in_records_csv(tmp_path: Path, name: str) -> None:
    root = listed(tmp_path, ROW, f"{name},1,1,visible,train")
    with pytest.raises(
        DataError, match=r"records.csv:3: train/visible/1/c3_0.png is already listed in line 2"
    ):
        scan("folder", root)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg,1²,1,visible,train", "pid '1²' is not a whole number"),
        ("a.jpg,٣,1,visible,train", "is not a whole number from 0 in the digits 0-9"),
        ("a.jpg,1,192168001010192168001,visible,train", "camid '192168001010192168001' is larger than"),
        (f"a.jpg,{'7' * 5_000},1,visible,train", "is larger than"),
        ("images\\1.jpg,1,1,visible,train", "has backslashes: use forward slashes"),
        ("../a.jpg,1,1,visible,train", "is not inside the dataset's root"),
        ("C:/a.jpg,1,1,visible,train", "is not inside the dataset's root"),
    ],
)
def test_wrong_rows_of_records_csv_are_explained(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(DataError, match=r"records.csv:2") as error:
        scan("folder", listed(tmp_path, row))
    assert reason in error.value.message


@pytest.mark.parametrize("value", ["a" * 200_000, '"' + "a\n" * 100_000])
def test_a_value_of_records_csv_beyond_the_limit_is_named_by_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError, match=r"records.csv:\d+: can't be read: field larger") as error:
        scan("folder", listed(tmp_path, ROW, f"{value},1,1,visible,train"))
    assert "without its end" in error.value.hint
    assert "records.csv:3:" in error.value.message or value.startswith('"')


@pytest.mark.parametrize("mark", [";", "\t", " ", "   ", " \t "])
def test_records_csv_may_be_separated_otherwise(tmp_path: Path, mark: str) -> None:
    row = ROW.replace("c3_0", "my c3_0").replace(",", mark)
    records = scan("folder", listed(tmp_path, row, header=HEADER.replace(",", mark))).records
    assert records.paths.tolist() == ["train/visible/1/my c3_0.png"]


OTHER = "照片.jpg".encode("gbk")


@pytest.mark.parametrize("dataset", ["folder", "buaa", "llcm"])
def test_names_of_images_that_are_not_utf_8_are_refused_and_shown(tmp_path: Path, dataset: str) -> None:
    write, parent = SOURCES[dataset]
    root = write(tmp_path / dataset)
    folder = next(path for path in sorted((root / parent).iterdir()))
    image = next(folder.iterdir())
    os.rename(os.fsencode(image), os.fsencode(folder) + b"/" + OTHER)
    with pytest.raises(DataError, match="1 image with a name that is not UTF-8") as error:
        scan(dataset, root)
    assert "\\xd5\\xd5" in error.value.message
    str(error.value).encode()


def test_stray_names_that_are_not_utf_8_do_no_harm(tmp_path: Path) -> None:
    root = trees.write_folder(tmp_path / "own")
    (root / os.fsdecode(b"train/\xd5.txt")).write_text("")
    (root / os.fsdecode(b"train/visible/\xd5\xd5")).mkdir()
    (root / os.fsdecode(b"train/visible/1/a.\xd5")).write_text("")
    done = prepare("folder", root, tmp_path / "data", (32, 16))
    assert any("\\xd5\\xd5" in note for note in done.store.info.notes)


@pytest.mark.parametrize("place", ["root", "data"])
def test_folders_that_are_not_utf_8_are_refused(tmp_path: Path, place: str) -> None:
    odd = tmp_path / os.fsdecode(b"\xd5\xd5")
    root = trees.write_folder(tmp_path / "own")
    if place == "root":
        root = root.rename(odd)
    with pytest.raises(UsageError, match=r"xd5.* is not UTF-8"):
        prepare("folder", root, odd if place == "data" else tmp_path / "data", (32, 16))
    assert not (odd / "prepared").exists()


def test_lists_in_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    root = listed(tmp_path, ROW)
    with (root / "records.csv").open("ab") as file:
        file.write(OTHER + b",1,1,visible,train\n")
    with pytest.raises(DataError, match=r"records.csv:3: byte 0xd5 is not UTF-8"):
        scan("folder", root)
    (root / "records.csv").write_text("\n".join([HEADER, ROW]), encoding="utf-16")
    with pytest.raises(DataError, match="UTF-16"):
        scan("folder", root)


def test_nothing_read_shows_names_and_reasons(tmp_path: Path) -> None:
    root = trees.write_folder(tmp_path / "own")
    for path in sorted(root.glob("*/*/*")):
        path.rename(path.with_name(f"_{path.name}"))
    with pytest.raises(DataError, match="no image found") as error:
        scan("folder", root)
    assert "ignored: gallery/infrared/_4 (a person is a number)" in error.value.message
    assert error.value.message.count("ignored:") == 3
    assert "records.csv" in error.value.hint
