"""Damaged rendered trees: each damaged file is reported and restored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vireid_cli import documents, files
from vireid_cli.data.prepare import prepare
from vireid_cli.engine.prepare import verify_rendered
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.rendered import RenderOptions, read_manifest, verify_tree, write_tree
from vireid_cli.rendered.manifest import MANIFEST, SUMS

OPTIONS = RenderOptions(ids=4, images=1, seed=3, size=(40, 20))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "SYSU-MM01"
    write_tree(root, OPTIONS, workers=1)
    return root


@pytest.fixture
def tree(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "SYSU-MM01"))


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def change(path: Path) -> None:
    """Flip a bit in the middle of a file; its first and last marker remain."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_list_of_hashes_has_the_format_of_sha256sum(tree: Path) -> None:
    lines = (tree / SUMS).read_text().splitlines()
    assert {line[66:] for line in lines} == contents(tree).keys() - {MANIFEST, SUMS}
    assert all(line[64:66] == "  " and len(line.split("  ")[0]) == 64 for line in lines)


def test_only_changed_and_missing_files_are_written_again(tree: Path, whole: Path) -> None:
    images = sorted(tree.rglob("*.jpg"))
    change(images[0])
    images[5].unlink()
    change(tree / "exp" / "train_id.txt")
    (tree / "exp" / "test_id.txt").unlink()
    kept = images[9].stat().st_mtime_ns
    names = [path.relative_to(tree).as_posix() for path in (images[0], images[5])]
    assert sorted(verify_tree(tree)) == sorted(
        [
            f"{names[0]}: changed after rendering",
            "exp/train_id.txt: changed after rendering",
            f"{names[1]}: missing",
            "exp/test_id.txt: missing",
        ]
    )
    done = write_tree(tree, OPTIONS, workers=1)
    assert done.repaired == 4
    assert contents(tree) == contents(whole)
    assert images[9].stat().st_mtime_ns == kept
    assert verify_tree(tree) == []
    assert (write_tree(tree, OPTIONS).rendered, write_tree(tree, OPTIONS).repaired) == (0, 0)


def test_foreign_file_is_reported_and_ignored(tree: Path) -> None:
    content = read_manifest(tree)["content_hash"]  # type: ignore[index]
    (tree / "cam1" / "notes.txt").write_text("mine")
    assert verify_tree(tree) == ["cam1/notes.txt: not a file of the benchmark; delete it"]
    change(sorted(tree.rglob("*.jpg"))[0])
    assert write_tree(tree, OPTIONS, workers=1).content_hash == content
    assert (tree / "cam1" / "notes.txt").read_text() == "mine"


def test_tree_without_hashes_is_repaired_part_by_part(tree: Path, whole: Path) -> None:
    (tree / SUMS).unlink()
    manifest = json.loads((tree / MANIFEST).read_text())
    del manifest["files_sha256"], manifest["sha256"]  # earlier versions wrote neither
    (tree / MANIFEST).write_text(json.dumps(manifest))
    assert write_tree(tree, OPTIONS).repaired == 0
    image = sorted((tree / "cam2").rglob("*.jpg"))[0]
    change(image)
    assert verify_tree(tree) == ["cam2: files differ from the rendered ones"]
    assert write_tree(tree, OPTIONS, workers=1).repaired == len(list((tree / "cam2").rglob("*.jpg")))
    assert contents(tree) == contents(whole)


def test_repair_on_another_device_raises_an_error(tree: Path) -> None:
    content = documents.read_json(tree / MANIFEST)
    files.write_sealed(tree / MANIFEST, content | {"device": "cuda"})
    assert write_tree(tree, OPTIONS).repaired == 0
    change(sorted(tree.rglob("*.jpg"))[0])
    with pytest.raises(UsageError, match=r"rendered on the device 'cuda'"):
        write_tree(tree, OPTIONS)


def test_a_damaged_tree_is_not_prepared(tree: Path) -> None:
    data = tree.parent / "data"
    before = prepare("sysu", tree, data, (32, 16)).store.info
    images = sorted(tree.rglob("*.jpg"))
    change(images[0])
    images[5].unlink()
    with pytest.raises(DataError, match=r"files 1 changed \(cam1/.*, 1 missing \(cam") as error:
        prepare("sysu", tree, data, (32, 16))
    assert (
        "vireid prepare synthetic --layout sysu --ids 4 --images 1 --seed 3 --size 40x20" in error.value.hint
    )
    write_tree(tree, OPTIONS, workers=1)
    assert prepare("sysu", tree, data, (32, 16)).store.info == before


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_list_of_hashes_is_reported_and_restored(tree: Path, whole: Path, damage: str) -> None:
    change(tree / SUMS) if damage == "changed" else (tree / SUMS).unlink()
    assert verify_tree(tree) == [f"{SUMS}: the list of hashes is damaged or missing"]
    with pytest.raises(DataError, match=f"{SUMS} is missing or damaged") as error:
        prepare("sysu", tree, tree.parent / "data", (32, 16))
    assert "vireid prepare synthetic --layout sysu --ids 4" in error.value.hint
    assert write_tree(tree, OPTIONS, workers=1).rendered == 0
    assert contents(tree) == contents(whole)


def test_an_added_image_is_refused(tree: Path) -> None:
    image = sorted(tree.rglob("*.jpg"))[0]
    shutil.copy(image, image.with_name("0099.jpg"))
    with pytest.raises(DataError, match=r"1 image outside of this generated dataset: cam1/.*/0099.jpg"):
        prepare("sysu", tree, tree.parent / "data", (32, 16))


def test_an_occluded_tree_is_not_rendered_over(tree: Path) -> None:
    (tree / "vireid-occluded.json").write_text("{}")
    with pytest.raises(UsageError, match="is an occluded dataset"):
        write_tree(tree, OPTIONS)


def test_verify_names_the_command_that_repairs(tree: Path) -> None:
    session = Session.choose("cpu", data_dir=tree.parent)
    assert verify_rendered("sysu", session, tree) == []
    change(sorted(tree.rglob("*.jpg"))[0])
    lines = verify_rendered("sysu", session, tree)
    assert len(lines) == 2
    command = f"vireid prepare synthetic --layout sysu --ids 4 --images 1 --seed 3 --size 40x20 --root {tree}"
    assert lines[1] == f"to repair: {command} --device cpu"
