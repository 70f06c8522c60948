"""``vireid recipes`` as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Command
from vireid_cli.commands import console
from vireid_cli.commands.terminal import Terminal
from vireid_cli.engine.network import load_recipe
from vireid_cli.recipe.load import shipped


@pytest.fixture
def recipes(vireid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A function that runs ``vireid recipes`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return partial(vireid, "recipes")


def test_list_as_a_table(recipes: Command) -> None:
    code, out, _ = recipes("list", "deen")
    assert code == 0
    row = next(line for line in out.splitlines() if line.split()[:1] == ["deen"])
    assert row.split()[1:3] == ["deen", "sysu"]
    assert "all-single 74.70 / 71.80" in row
    assert "Zhang and Wang" in row
    assert "next: vireid recipes show deen" in out
    code, _, err = recipes("list", "no such thing")
    assert (code, "No recipe matches 'no such thing'." in err) == (2, True)


def test_list_shows_each_recipe_on_one_line_of_80_columns(
    recipes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "out", Terminal(width=80))
    recipes("copy", "agw")
    out = recipes("list").out
    rows = [line for line in out.splitlines() if line.split()[:1] and "next:" not in line]
    assert max(map(len, out.splitlines())) <= 80
    assert sum(line.split()[0] == "agw" for line in rows) == 1, (
        "the copy in ./recipes replaces the shipped one"
    )
    assert "agw (yours)" in out
    assert "ablations/" not in out
    assert len(rows) == len({path.stem for path in shipped() if path.parent.name != "ablations"}) + 3
    assert "ablations: vireid recipes list --all" in out
    assert "ablations/sepg-se" in recipes("list", "--all").out
    code, _, err = recipes("list", "sepg-gate")
    assert code == 2
    assert "Of the ablations, 1 matches: vireid recipes list sepg-gate --all" in err


def test_list_as_json(recipes: Command) -> None:
    code, out, _ = recipes("list", "--all", "--json")
    result = {entry["name"]: entry for entry in json.loads(out)}
    assert code == 0
    assert len(result) == len(shipped())
    assert result["dselacfp-regdb"]["reported"][0] == {
        "dataset": "regdb", "protocol": "v2i", "source": "main comparison",
        "rank1": 95.54, "rank10": 97.96, "mAP": 92.1,
    }  # fmt: skip
    entry = result["ablations/sepg-se"]
    assert (entry["method"], entry["dataset"], entry["own"]) == ("sepg", "sysu", False)
    assert entry["paper"].startswith("SEPG-Net")


def test_list_shows_a_refused_recipe_and_why(recipes: Command) -> None:
    Path("recipes").mkdir()
    Path("recipes/mine.yaml").write_text("data: {size: 3}\n")
    code, out, err = recipes("list", "mine")
    assert code == 0
    assert "mine (yours)" in out
    assert "mine.yaml:1: data.size" in err
    _, out, _ = recipes("list", "mine", "--json")
    assert "data.size" in json.loads(out)[0]["problem"]


def test_list_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from vireid_cli.commands.main import app\n"
        "try: app(['recipes', 'list', 'sepg'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sepg" in done.stdout


def test_show_prints_the_recipe_with_its_header(recipes: Command) -> None:
    code, out, _ = recipes("show", "sepg-se")
    assert code == 0
    assert out.startswith(
        "# SEPG-Net, Table II, row 2: baseline + spectral enhancement (SE).\n#\n#   vireid train"
    )
    assert "at_test: true" in out, "defaults of the method are written out"
    Path("shown.yaml").write_text(out)
    assert load_recipe("shown.yaml") == load_recipe("sepg-se")


def test_copy_then_check(recipes: Command) -> None:
    code, out, _ = recipes("copy", "dselacfp")
    assert code == 0
    assert out.splitlines()[0] == "wrote recipes/dselacfp.yaml"
    assert recipes("copy", "dselacfp")[0] == 2
    assert recipes("copy", "dselacfp", "--force")[0] == 0
    code, out, _ = recipes("check", "recipes/dselacfp.yaml", "fdnm")
    assert code == 0
    assert "recipes/dselacfp.yaml: valid (method dselacfp, dataset sysu, 150 epochs)" in out
    assert "fdnm.yaml: valid" in out


def test_check_prints_every_mistake_of_every_file_with_its_line(recipes: Command) -> None:
    recipes("copy", "dselacfp", "one.yaml")
    one = Path("one.yaml")
    lines = one.read_text().replace("parts: 4", "part: 4").replace("epochs: 150", "epoch: 150").splitlines()
    one.write_text("\n".join(lines) + "\n")
    place = {key: next(i for i, line in enumerate(lines, 1) if key in line) for key in ("part:", "epoch:")}
    Path("two.yaml").write_text("method: {name: sepgg}\n")
    code, out, err = recipes("check", one, "two.yaml", "three.yaml", "sepg")
    assert code == 2
    assert f"one.yaml:{place['part:']}: method.options.lam.part: unknown key." in err
    assert "Did you mean 'method.options.lam.parts'?" in err
    assert f"one.yaml:{place['epoch:']}: train.epoch: unknown key. Did you mean 'train.epochs'?" in err
    assert "two.yaml:1: method.name: unknown method 'sepgg'." in err
    assert "There is no recipe 'three.yaml'" in err
    assert "3 of 4 invalid" in err
    assert "sepg.yaml: valid" in out
