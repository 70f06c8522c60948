"""Killed before any change on the disk: readers accept complete files only; a repetition succeeds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.crash.conftest import OPTIONS, PROTOCOL, SETTINGS, copy_of, engine, with_other_weights
from tests.crash.moments import Moment, recorded
from vireid_cli.data.store import open_store
from vireid_cli.data.verify import verify
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.subjects.cmc import cmc_curve
from vireid_cli.engine.subjects.embeddings import read_embeddings
from vireid_cli.errors import DataError, UsageError
from vireid_cli.exporters import onnx as exporter
from vireid_cli.exporters.program import Program
from vireid_cli.results import export as records
from vireid_cli.results.run import RunFolder, find, runs_in
from vireid_cli.types import Modality


def some(moments: Sequence[Moment]) -> list[Moment]:
    """A few moments, those around the last renames among them; all have been read, these are continued."""
    renames = [moment for moment in moments if moment.event.startswith("os.rename")]
    return list(dict.fromkeys((moments[len(moments) // 2], *renames[-2:])))


def no_litter(folder: Path) -> None:
    left = [path for path in folder.rglob(".*") if path.name not in (".lock",)]
    assert not left


def test_evaluate(data: Path, trained: RunFolder, tmp_path: Path, system: str) -> None:
    run = with_other_weights(copy_of(trained, tmp_path / "runs"))
    old = run.stored()[PROTOCOL].identifier
    with recorded(run.folder, tmp_path / "killed", opened=True) as moments:
        [evaluation] = engine(data, tmp_path / "runs").evaluate(run, OPTIONS)
    new = evaluation.content["identifier"]
    assert new != old
    seen: list[str | None] = []
    for moment in moments:
        killed = RunFolder(moment.folder)
        stored = killed.stored()[PROTOCOL]  # the old one is never lost
        assert len(read_embeddings(killed, PROTOCOL).embeddings) == len(stored.embeddings()["pids"])
        stored.ranking()
        cmc_curve(killed, engine(data, tmp_path).session, "a", PROTOCOL, 5)
        seen.append(stored.identifier)
    assert set(seen) == {old, new}
    assert seen == sorted(seen, key=(old, new).index), "once it is replaced, it stays so"
    for moment in some(moments):
        [repeated] = engine(data, tmp_path / "runs").evaluate(RunFolder(moment.folder), OPTIONS)
        assert repeated.content["identifier"] == new
        no_litter(moment.folder / "evaluation")


def test_train(data: Path, recipe: Path, trained: RunFolder, tmp_path: Path, system: str) -> None:
    settings = (*SETTINGS, "train.select=val", "data.split=train")
    with recorded(tmp_path / "runs", tmp_path / "killed") as moments:
        (tmp_path / "runs").mkdir()
        whole = engine(data, tmp_path / "runs").train(str(recipe), settings)
    weights = checkpoints.load_model(whole.checkpoints / "last")
    epochs = []
    for moment in moments:
        for run in runs_in(moment.folder):
            assert run.environment()["num_identities"] == 6
            epochs.append(last_epoch(run))
        if runs_in(moment.folder) and (moment.folder / "latest").exists():
            assert find(None, runs=moment.folder).environment()
    assert epochs == sorted(epochs), "no checkpoint is lost"
    assert set(epochs) == {0, 1, 2}
    for moment in some(moments):
        [run] = runs_in(moment.folder)
        if 0 < last_epoch(run) < 2:
            engine(data, moment.folder).resume(run)
            resumed = checkpoints.load_model(run.checkpoints / "last")
            assert all(torch.equal(resumed[name], weights[name]) for name in weights)
            no_litter(run.checkpoints)


def last_epoch(run: RunFolder) -> int:
    """Epochs of the newest checkpoint, which is whole; 0: there is none yet."""
    try:
        saved = checkpoints.load_checkpoint(run.checkpoints / "last")
    except UsageError:
        return 0
    assert checkpoints.load_checkpoint(run.checkpoints / "best").position.epoch >= 1
    return saved.position.epoch


@pytest.mark.parametrize("prepared", [False, True], ids=["first", "again"])
def test_prepare(sysu_tree: Path, tmp_path: Path, prepared: bool) -> None:
    data = tmp_path / "data"
    shutil.copytree(sysu_tree / "SYSU-MM01", data / "SYSU-MM01")
    counts = []
    if prepared:
        counts.append(len(engine(data, data).prepare("sysu", (32, 16), workers=1).store.records))
        added = data / "SYSU-MM01" / "cam1" / "0001"
        shutil.copy(added / "0001.jpg", added / "0009.jpg")
    (data / "prepared").mkdir(exist_ok=True)
    with recorded(data / "prepared", tmp_path / "killed", opened=True) as moments:
        made = engine(data, data).prepare("sysu", (32, 16), workers=1).store
    counts.append(len(made.records))
    seen: list[int] = []
    for moment in moments:
        killed = tmp_path / "there"
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(moment.folder, killed / "prepared")
        try:
            store = open_store(killed, "sysu")
            images = store.images((32, 16))
        except (DataError, UsageError):
            continue
        seen.append(len(store.records))
        if images is not None:
            assert len(images) == len(store.records)
            assert prepared or verify(store) == []
    assert seen == sorted(seen)
    assert set(seen) == set(counts)
    for moment in some(moments):
        repeated = tmp_path / "again"
        shutil.rmtree(repeated, ignore_errors=True)
        shutil.copytree(moment.folder, repeated / "prepared")
        engine(repeated, repeated).prepare("sysu", (32, 16), root=data / "SYSU-MM01", workers=1)
        assert verify(open_store(repeated, "sysu")) == []


def test_export_onnx(data: Path, trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The translation is another test's matter; here it writes the first weights as they are."""
    for package in exporter.PACKAGES:
        pytest.importorskip(package)

    def translate(file: Program, path: Path, opset: int, metadata: dict[str, str]) -> dict[str, int]:
        first = next(iter(file.state_dict().values()))
        path.write_bytes(first.numpy().tobytes() + file.name.encode())
        return {}

    monkeypatch.setattr(exporter, "translate", translate)
    monkeypatch.setattr(exporter, "difference", lambda file, path: 0.0)
    run = copy_of(trained, tmp_path / "runs")
    former = engine(data, tmp_path / "runs").export(run, layout="split").record
    old = records.read_export(former).identifier
    with_other_weights(run)
    with recorded(run.folder, tmp_path / "killed", opened=True) as moments:
        new = records.read_export(
            engine(data, tmp_path / "runs").export(run, layout="split").record
        ).identifier
    seen = []
    for moment in moments:
        seen.append(exported(moment.folder / "exports" / former.name))
    assert list(dict.fromkeys(seen)) == [old, "refused", new]
    killed = next(moment for moment, name in zip(moments, seen, strict=True) if name == "refused")
    repeated = engine(data, tmp_path / "runs").export(RunFolder(killed.folder), layout="split")
    assert records.read_export(repeated.record).identifier == new


def exported(record: Path) -> str:
    """Identifier of an export; ``refused`` if its files are of several."""
    try:
        return records.read_export(record).identifier
    except DataError:
        return "refused"


def test_export_backbone(data: Path, trained: RunFolder, tmp_path: Path) -> None:
    from vireid_cli.tensor_files import load_tensors

    run = copy_of(trained, tmp_path / "runs")
    made = engine(data, tmp_path / "runs")
    path = made.export_backbone(run, modality=Modality.VISIBLE)
    with_other_weights(run)
    with recorded(run.folder, tmp_path / "killed", opened=True) as moments:
        made.export_backbone(run, modality=Modality.VISIBLE)
    name = path.relative_to(run.folder)
    sums = [float(load_tensors(moment.folder / name)["conv1.weight"].sum()) for moment in moments]
    first, last = sums[0], sums[-1]
    assert first != last
    assert sums == sorted(sums, key=lambda value: value == last), "the file changes once"
    assert set(sums) == {first, last}


KILL = """
import json, os, sys
from pathlib import Path
import numpy as np
from vireid_cli.results import schema
from vireid_cli.results.evaluation import write_evaluation
left = int(sys.argv[2])
def hook(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
folder, pids = Path(sys.argv[1]), np.arange(5)
content = json.loads((folder / schema.METRICS).read_text())
del content["identifier"]
content["fingerprint"]["again"] = True
write_evaluation(folder, content, {schema.RANKING: {"query_pids": pids}, schema.EMBEDDINGS: {"pids": pids}})
"""


@pytest.mark.parametrize("renames", [0, 2, 3])
def test_a_killed_process(trained: RunFolder, tmp_path: Path, renames: int) -> None:
    """A real process that ends without cleaning up, at a file of the new evaluation or at the exchange."""
    run = copy_of(trained, tmp_path / "runs")
    old = run.stored()[PROTOCOL].identifier
    command = [sys.executable, "-c", KILL, str(run.evaluation(PROTOCOL))]
    done = subprocess.run([*command, str(renames)], check=False)
    assert done.returncode == 9
    assert run.stored()[PROTOCOL].identifier == old
    fresh = run.folder / "evaluation" / f".{PROTOCOL}.new"
    assert (fresh / "metrics.json").is_file() == (renames == 3)
    done = subprocess.run([*command, "100"], check=False)
    assert done.returncode == 0
    assert run.stored()[PROTOCOL].identifier not in (old, None)
    no_litter(run.folder / "evaluation")
