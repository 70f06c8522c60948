"""``vireid embed``: output, JSON, shares, torchrun's environment, and refusals."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.conftest import TINY, Command
from vireid_cli.embedding_files import read_embeddings
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.run import Run


@pytest.fixture(scope="module")
def run_folder(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch of three steps."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    engine = Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path_factory.mktemp("runs"))
    run: Run = engine.train(str(path), epochs=1)
    return run.folder


def test_the_decision_is_printed(vireid: Command, run_folder: Path, sysu_tree: Path, tmp_path: Path) -> None:
    images = sysu_tree / "SYSU-MM01" / "cam3"
    out = tmp_path / "e.npz"
    words = ("embed", run_folder, "--images", images, "--out", out, "--precision", "fp32")
    first = vireid(*words)
    assert first.code == 0
    assert "36 embeddings of " in first.out
    assert "modality decided by equality of the colour channels: 0 visible, 36 infrared" in first.out
    assert f"wrote {out}" in first.out
    pytest.importorskip("faiss")
    line = next(text for text in first.out.splitlines() if text.startswith("next: vireid "))
    created = vireid(*shlex.split(line.removeprefix("next: vireid ")), "--data", tmp_path)
    assert created.code == 0, created.err
    content = read_embeddings(out)
    assert set(content.rows.camids.tolist()) == {3}  # the folder's own name
    assert set(content.rows.pids.tolist()) == {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14}
    again = vireid(*words)
    assert f"{out} is complete; --restart computes it again" in again.out
    summary = json.loads(vireid(*words, "--restart", "--json").out)
    assert summary["by_modality"] == {"visible": 0, "infrared": 36}
    assert summary["complete"]


@pytest.mark.parametrize("named", [True, False])
def test_the_next_command_names_the_run(
    vireid: Command, run_folder: Path, sysu_tree: Path, tmp_path: Path, named: bool
) -> None:
    """A bare name and the newest run are no paths, but the index has to load the run."""
    images = sysu_tree / "SYSU-MM01" / "cam3" / "0001"
    model = [run_folder.name] if named else []
    done = vireid(
        "embed", *model, "--images", images, "--out", tmp_path / "e.npz", "--runs", run_folder.parent
    )
    assert done.code == 0, done.err
    line = next(text for text in done.out.splitlines() if text.startswith("next: vireid index create"))
    assert shlex.split(line)[-2:] == ["--model", str(run_folder)]


def test_torchrun_and_shards(
    vireid: Command, run_folder: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, out = sysu_tree / "SYSU-MM01" / "cam1", tmp_path / "e.npz"
    words = ("embed", run_folder, "--images", images, "--batch", 8, "--precision", "fp32")
    monkeypatch.setattr("vireid_cli.engine.embed_images.plan.PART", 8)
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        result = vireid(*words, "--out", out)
        assert result.code == 0
        assert out.exists() == (rank == 0)
    refused = vireid(*words, "--out", out, "--shard", "1/2")
    assert refused.code == 2
    assert "torchrun" in refused.err
    monkeypatch.delenv("RANK")
    for shard in ("2/2", "1/2"):
        result = vireid(*words, "--out", tmp_path / "s.npz", "--shard", shard)
    assert "wrote" in result.out
    assert (tmp_path / "s.npz").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--out", "e.txt"), 2, ".npz or .parquet"),
        (("--out", "e.npz", "--shard", "3/2"), 2, "--shard 3/2"),
        (("--out", "e.npz", "--modality", "thermal"), 2, "thermal"),
        (("--out", "e.npz", "--tolerance", "-1"), 2, "tolerance"),
        (("--out", "e.npz", "--modality", "visible", "--tolerance", "2"), 2, "--tolerance has no effect"),
        (("--out", "e.npz", "--batch", "0"), 2, "batch"),
    ],
)
def test_wrong_use(
    vireid: Command,
    run_folder: Path,
    sysu_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vireid("embed", run_folder, "--images", sysu_tree / "SYSU-MM01" / "cam1", *options)
    assert result.code == code
    assert words in result.err
    assert list(tmp_path.iterdir()) == []


def test_missing_models_and_images(vireid: Command, run_folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(b"x")
    out = tmp_path / "e.npz"
    assert vireid("embed", tmp_path / "none", "--images", images, "--out", out).code == 2
    assert vireid("embed", tmp_path / "none.onnx", "--images", images, "--out", out).code == 2
    assert vireid("embed", run_folder, "--images", tmp_path / "none", "--out", out).code == 2
    unreadable = vireid("embed", run_folder, "--images", images, "--out", out)
    assert unreadable.code == 1
    assert "a.jpg" in unreadable.err
