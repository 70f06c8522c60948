"""Commands of README and of some pages run as they are written, in a folder of small recipes."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from itertools import takewhile
from pathlib import Path

import pytest
import torch

from tests.conftest import Command, CommandResult
from tests.contracts.test_readme import ROOT, shown_commands
from tests.engine.test_import_run import content, released
from vireid_cli.engine.engine import Engine
from vireid_cli.occlusion.drawing.catalogue import build_builtin
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.results.run import RunFolder, set_latest

PEOPLE = RenderOptions(ids=32, size=(64, 32))
"""The benchmark of these tests instead of the README's 400 people."""

SMALL = """
paper: none
data:
  dataset: sysu
  size: [64, 32]
  sampler: {{identities: 3, images: 2}}
backbone: {{name: {backbone}, weights: none, width: 8}}
method: {{name: {method}{options}}}
train:
  epochs: 1
  steps_per_epoch: 1
  optimizer: {{lr: 0.001}}
  schedule: {{warmup_epochs: 0, milestones: [1]}}
"""
RECIPES = {
    "quickstart": ("resnet18", "baseline", ""),
    "baseline": ("resnet18", "baseline", ""),
    "sepg": ("resnet18", "sepg", ", options: {chunks: {n: 4}}"),
    "agw": ("resnet50", "agw", ""),
    "fdnm": ("resnet18", "fdnm", ""),
}
"""Backbone, method and options of the recipes that take the place of the shipped ones of their names."""

STUDIES = {
    "methods": "rows:\n  - {label: baseline, recipe: baseline}\n  - {label: AGW, recipe: agw}\n",
    "dials": "dial: {name: gap, values: [0, 1]}\nrows:\n  - {label: baseline, recipe: baseline}\n",
    "fdnm-sweep": "rows:\n" + "".join(
        f"  - {{label: m = {margin}, recipe: fdnm, set: {{method.options.cnm.margin: {margin}}}}}\n"
        for margin in (0.1, 0.2)
    ),
}  # fmt: skip

TRAIN_ALL = "vireid train --recipe baseline.yaml --dataset regdb --trial all"
PAGES = ("figures.md", "evaluation.md", "speed.md", "data/regdb.md")
"""Pages of the site with blocks of commands that run here."""


def commands() -> list[str]:
    """Commands of README, and of the blocks of the pages."""
    texts = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES]
    blocks = [block for text in texts for block in re.findall(r"```bash\n.*?```", text, flags=re.S)]
    return list(dict.fromkeys([*shown_commands(), *shown_commands("\n".join(blocks))]))


EMBED_GALLERY, EMBED_QUERIES = (
    f"vireid embed --images data/rendered/SYSU-MM01/{cam} --out {name}.npz"
    for cam, name in (("cam1", "gallery"), ("cam3", "queries"))
)
PREPARATIONS = {
    "vireid evaluate --trial all": TRAIN_ALL,
    TRAIN_ALL: "vireid prepare regdb",
    "vireid prepare regdb": "vireid prepare synthetic --layout regdb",
    "vireid visualize occlusion": "vireid prepare occluded --from sysu",
    "vireid visualize sweep fdnm-sweep --key cnm.margin": "vireid compare fdnm-sweep",
    'vireid search people queries.npz --top 5 --where "camid = 1"': EMBED_QUERIES,
    EMBED_QUERIES: "vireid index create people gallery.npz",
    "vireid serve people --model runs/latest": "vireid index create people gallery.npz",
    "vireid index create people gallery.npz": EMBED_GALLERY,
}
"""Commands that read the output of another one."""

AFTER_TRAINING = ("vireid evaluate --trial all",)
"""Commands of the run that was just trained; the others take a run of the quickstart as the newest one."""


def test_a_command_over_two_lines_is_one_command() -> None:
    assert shown_commands("Check it: `vireid prepare\nsysu --verify`.") == ["vireid prepare sysu --verify"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of all commands: recipes, a rendered dataset, two runs, and the files they read."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "recipes" / "studies").mkdir(parents=True)
    for name, (backbone, method, options) in RECIPES.items():
        text = SMALL.format(backbone=backbone, method=method, options=options)
        (folder / "recipes" / f"{name}.yaml").write_text(text)
    for name, rows in STUDIES.items():
        (folder / "recipes" / "studies" / f"{name}.yaml").write_text(f"about: small\nseeds: [0]\n{rows}")
    engine = Engine.choose("cpu", "fp32", data_dir=folder / "data", runs_dir=folder / "runs")
    engine.synthesize(PEOPLE)
    build_builtin(folder / "data" / "occluders", ["bin", "stop sign"])
    run = engine.train(str(folder / "recipes" / "quickstart.yaml"))
    engine.evaluate(run)
    for name in ("RUN", "RUN_A", "RUN_B"):
        shutil.copytree(run.folder, folder / "runs" / name)
    [embeddings] = list(run.folder.glob("evaluation/all-single-seeded/embeddings.npz"))
    shutil.copy(embeddings, folder / "embeddings.npz")
    torch.save(content(released("agw", 395)), folder / "FILE.t")
    return folder


@pytest.fixture(scope="module")
def finished() -> dict[str, CommandResult]:
    """Commands that have run, and their results."""
    return {}


def serve_and_stop(line: str) -> CommandResult:
    """Start the server of a command on a free port, and end it when it is ready."""
    words = [sys.executable, "-m", "vireid_cli", *shlex.split(line)[1:], "--port", "0", "--device", "cpu"]
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True) as server:
        assert server.stdout is not None
        begun = list(takewhile(lambda text: not text.startswith("serving "), server.stdout))
        server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=60)
    return CommandResult(server.returncode, "".join(begun) + output, errors)


@pytest.mark.parametrize("line", commands())
def test_command_runs(
    line: str,
    folder: Path,
    finished: dict[str, CommandResult],
    vireid: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    for variable in ("VIREID_DATA", "VIREID_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    fewer = tuple(getattr(PEOPLE, field.name) for field in fields(PEOPLE))
    monkeypatch.setattr(RenderOptions.__init__, "__defaults__", fewer)

    def run(command: str) -> None:
        if command in PREPARATIONS:
            run(PREPARATIONS[command])
        if command not in finished:
            if command not in AFTER_TRAINING:
                set_latest(RunFolder(folder / "runs" / "RUN"))
            serves = command.startswith("vireid serve ")
            finished[command] = serve_and_stop(command) if serves else vireid(*shlex.split(command)[1:])
        assert finished[command].code == 0, finished[command].err

    run(line)
