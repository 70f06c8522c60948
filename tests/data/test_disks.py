"""Full and read-only disks: said in words, with what to do, for every source; nothing half-made is whole."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data import trees
from vireid_cli import files, lock
from vireid_cli.commands import main as command_line
from vireid_cli.data import pixel_writer
from vireid_cli.data.disks import convert_disk_errors
from vireid_cli.data.identity import is_prepared
from vireid_cli.data.prepare import prepare
from vireid_cli.data.sources import load_source
from vireid_cli.data.verify import verify
from vireid_cli.engine import occlusion
from vireid_cli.errors import DataError
from vireid_cli.occlusion.drawing import catalogue

WRITERS = {
    "sysu": lambda root: root,
    "regdb": trees.write_regdb,
    "llcm": trees.write_llcm,
    "oulu": trees.write_oulu,
    "buaa": trees.write_buaa,
    "folder": trees.write_folder,
}
FULL, READ_ONLY = errno.ENOSPC, errno.EROFS


def refuse(number: int) -> Callable[..., None]:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


def tree(dataset: str, tmp_path: Path, sysu_tree: Path) -> Path:
    return sysu_tree / "SYSU-MM01" if dataset == "sysu" else WRITERS[dataset](tmp_path / "tree")


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    """Exit code and stderr of the command line."""
    monkeypatch.setattr(sys, "argv", ["vireid", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    result = capsys.readouterr().err
    assert "Traceback" not in result
    return int(ended.value.code or 0), result


@pytest.mark.parametrize("dataset", WRITERS)
@pytest.mark.parametrize(
    ("number", "message", "advice"),
    [(FULL, "no space left", "Free some space"), (READ_ONLY, "cannot write", "with write permission")],
)
def test_the_store_s_disk(
    tmp_path: Path,
    sysu_tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dataset: str,
    number: int,
    message: str,
    advice: str,
) -> None:
    root, data = tree(dataset, tmp_path, sysu_tree), tmp_path / "data"
    with monkeypatch.context() as patch:
        if number == FULL:
            patch.setattr(pixel_writer, "reserve", refuse(number))
        else:
            patch.setattr(lock, "seize", refuse(number))
        code, result = run(
            patch, capsys, "prepare", dataset, "--root", root, "--size", "32x16", "--data", data
        )
    assert code == 1
    assert message in result
    assert advice in result
    assert not is_prepared(dataset, data)
    assert verify(prepare(dataset, root, data, (32, 16)).store) == []


@pytest.mark.parametrize("dataset", ["oulu", "buaa"])
@pytest.mark.parametrize("number", [FULL, READ_ONLY])
def test_protocol_files_are_all_there_or_none(
    tmp_path: Path, sysu_tree: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, number: int
) -> None:
    root = tree(dataset, tmp_path, sysu_tree)
    write = files.write_text

    def second_fails(path: Path, text: str) -> Path:
        if path.name == "gallery.txt":
            raise DataError(f"cannot write {path}: {os.strerror(number)}")
        return write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text", second_fails)
        with pytest.raises(DataError, match=r"cannot write .*gallery.txt") as error:
            load_source(dataset).scan(root)
    assert "a link to each of its folders" in error.value.hint
    assert list((root / "faces").iterdir()) == []
    assert load_source(dataset).scan(root).report.notes[0].startswith("wrote faces/")


@pytest.mark.parametrize("dataset", ["oulu", "buaa"])
def test_a_read_only_dataset_is_prepared_through_links(tmp_path: Path, sysu_tree: Path, dataset: str) -> None:
    root = tree(dataset, tmp_path, sysu_tree)
    there = tmp_path / "links"
    there.mkdir()
    for folder in root.iterdir():
        (there / folder.name).symlink_to(folder)
    linked = load_source(dataset).scan(there).records
    assert not (root / "faces").exists()
    assert linked.paths.tolist() == load_source(dataset).scan(root).records.paths.tolist()


@pytest.mark.parametrize(("number", "advice"), [(FULL, "The disk is full"), (READ_ONLY, "write permission")])
def test_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    path = files.write_text(tmp_path / "file.txt", "before")
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(DataError, match=f"cannot write {path}") as error:
        files.write_text(path, "after")
    assert advice in error.value.hint
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_any_other_failure_of_the_system_has_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = trees.write_regdb(tmp_path / "RegDB")

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root / "Visible"))

    monkeypatch.setattr(Path, "iterdir", denied)
    code, result = run(monkeypatch, capsys, "prepare", "regdb", "--root", root, "--data", tmp_path)
    assert code == 1
    assert "RegDB/Visible: Permission denied" in result.replace("\n", "")


@pytest.mark.parametrize(
    ("number", "advice"), [(FULL, "free some space"), (READ_ONLY, "Choose a folder with write permission")]
)
@pytest.mark.parametrize("words", [(), ("--images", "photos", "--coco", "instances.json")])
def test_a_library_s_folder_is_tried_before_anything_is_drawn_or_cut_out(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    number: int,
    advice: str,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("work was done for a folder that can't be written into")

    photos = tmp_path_factory.mktemp("source")
    (photos / "photos").mkdir()
    (photos / "instances.json").write_text("{}")
    monkeypatch.chdir(photos)

    monkeypatch.setattr(catalogue, "draw_occluder", never)
    monkeypatch.setattr(occlusion, "read_coco", never)
    folder = tmp_path / "not there yet" / "library"
    with monkeypatch.context() as patch:
        patch.setattr(files.tempfile, "TemporaryFile", refuse(number))
        code, result = run(patch, capsys, "prepare", "occluders", "--library", folder, *words)
    assert code == 1
    assert f"cannot write into {folder}: {os.strerror(number)}" in " ".join(result.split())
    assert advice in result
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    code, result = run(monkeypatch, capsys, "prepare", "occluders", "--library", tmp_path / "file", *words)
    assert code == 1
    assert "cannot write into" in result


def test_another_refusal_of_the_system_names_the_store(tmp_path: Path) -> None:
    """A file size limit (ulimit -f) stops a write to an open file; the system's error has no path."""
    expected = f"cannot write {tmp_path}: {os.strerror(errno.EFBIG)}"
    with pytest.raises(DataError, match=expected), convert_disk_errors(tmp_path):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
