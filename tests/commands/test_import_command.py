"""``vireid import``: its output; files that would execute code are refused and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import Command
from tests.engine.test_import_run import NARROW, narrow, published, saved
from tests.tensor_files.payloads import FORMS, Form
from vireid_cli.results import run as runs

SETTINGS = [word for setting in NARROW for word in ("--set", setting)]


def test_it_names_source_identities_figures_and_the_next_command(vireid: Command, tmp_path: Path) -> None:
    saved(tmp_path / "sysu_agw_best.t")
    places = ("--data", tmp_path / "data", "--runs", tmp_path / "runs")
    done = vireid("import", tmp_path / "sysu_agw_best.t", "--from", "agw", *SETTINGS, *places)
    assert done.code == 0
    run = runs.find(runs=tmp_path / "runs")
    assert run.name.startswith("agw-imported-sysu-")
    text = " ".join(done.out.split())
    assert "SYSU-MM01's official training split (395 identities), assumed" in text
    assert "rank1 47.50 %, mAP 47.65 %, mINP 30.00 %" in text
    assert f"next: vireid evaluate {run.folder}" in text


@pytest.mark.parametrize(("release", "flip"), [("caj", "mean_renorm"), ("deen", "sum"), ("sepg", "sum")])
def test_the_next_command_tests_as_the_project_does(
    vireid: Command, release: str, flip: str, tmp_path: Path
) -> None:
    saved(tmp_path / "best.t", release)
    places = ("--data", tmp_path / "data", "--runs", tmp_path / "runs")
    done = vireid("import", tmp_path / "best.t", "--from", release, *SETTINGS, *places)
    assert f"--flip {flip}" in " ".join(done.out.split())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_nothing_in_a_file_is_executed(vireid: Command, tmp_path: Path, form: Form) -> None:
    marker, path = tmp_path / "marker", tmp_path / "best.t"
    form(path, marker)
    done = vireid("import", path, "--from", "agw", "--dataset", "sysu", "--runs", tmp_path / "runs")
    assert done.code in (1, 2)
    assert "best.t" in done.err
    assert not marker.exists()
    assert not list((tmp_path / "runs").glob("*"))


def test_a_payload_beside_good_weights_is_refused(vireid: Command, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "best.t"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(marker), "w")

    torch.save({"net": published("agw", narrow("agw", 395)), "mAP": Payload()}, path)
    done = vireid("import", path, "--from", "agw", *SETTINGS, "--runs", tmp_path / "runs")
    assert done.code == 2
    assert not marker.exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("missing.t", "--from", "agw"), "missing.t"),
        (("missing.t", "--from", "resnet"), "--from"),
        (("missing.t",), "--from"),
    ],
)
def test_wrong_use_ends_with_2(vireid: Command, words: tuple[str, ...], text: str) -> None:
    done = vireid("import", *words)
    assert done.code == 2
    assert text in done.err
