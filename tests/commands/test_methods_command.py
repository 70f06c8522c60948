"""``vireid methods`` and ``--plugin`` as a researcher uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Command
from vireid_cli import methods, plugins
from vireid_cli.engine import contract

EXAMPLE = Path(__file__).parents[2] / "examples" / "methods" / "cosine_pairs.py"


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "LOADED", {})
    monkeypatch.delenv("VIREID_PLUGINS", raising=False)


@pytest.fixture
def folder(place: Path) -> Path:
    """A folder with one method, beside the data and the recipe."""
    folder = place / "my_methods"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder / "mine.py")
    return folder


def test_list_has_the_origin_of_each_method(vireid: Command, folder: Path) -> None:
    code, out, _ = vireid("methods", "list", "--json", "--plugin", folder)
    listed = {entry["name"]: entry for entry in json.loads(out)}
    assert code == 0
    assert listed["mine"]["origin"] == str(folder / "mine.py")
    assert listed["mine"]["sha256"] == plugins.add(folder)[0].sha256()
    assert set(listed) == {*methods.included(), "mine"}


def test_check_prints_each_promise(vireid: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREID_PLUGINS", str(folder))
    code, out, _ = vireid("methods", "check")
    assert code == 0, out
    assert "mine: losses ignore erased pixels: passed" in out
    assert all(line.endswith(": passed") for line in out.splitlines())


def test_check_fails_with_the_reason(vireid: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "CHECKS", dict(list(contract.CHECKS.items())[:4]))
    path = folder / "mine.py"
    path.write_text(path.read_text().replace(", dim=1)\n\n    def par", ", dim=1) * 2\n\n    def par"))
    code, out, err = vireid("methods", "check", "mine", "--plugin", path)
    assert code == 1
    assert "FAILED: rows of visible images do not have unit length" in out
    assert "methods that break the contract: 1 of 1" in err


def test_check_without_a_method_is_wrong_use(vireid: Command, place: Path) -> None:
    code, _, err = vireid("methods", "check")
    assert (code, "There is no method to check." in err) == (2, True)
    code, _, err = vireid("methods", "check", "--plugin", place / "missing")
    assert (code, "does not exist" in err) == (2, True)


def test_a_run_records_its_plugin(
    vireid: Command, folder: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_recipe.write_text(tiny_recipe.read_text().replace("name: baseline", "name: mine"))
    code, out, err = vireid("train", "--recipe", tiny_recipe, "--set", "train.epochs=1", "--plugin", folder)
    assert code == 0, err
    run = Path(out.splitlines()[0].removeprefix("wrote "))
    recorded = json.loads((run / "environment.json").read_text())["plugin"]
    assert recorded == plugins.add(folder)[0].record()
    assert f"next: vireid evaluate {run} --plugin {folder}" in out

    monkeypatch.setattr(plugins, "LOADED", {})
    code, _, err = vireid("evaluate", run)
    assert code == 2
    assert "the method mine is a plugin that is not loaded" in err
    assert f"--plugin {folder / 'mine.py'}" in err

    with (folder / "mine.py").open("a") as file:
        file.write("# changed\n")
    code, out, err = vireid("evaluate", run, "--plugin", folder)
    assert code == 0, err
    assert "the source of the method mine" in err
    assert "differs from that of the training" in err


def test_the_schema_has_the_options_of_a_plugin(vireid: Command, folder: Path) -> None:
    code, out, _ = vireid("recipes", "schema", "--plugin", folder)
    assert code == 0
    assert "mine" in json.loads(out)["definitions"]["Method"]["properties"]["name"]["enum"]


def test_commands_without_networks_have_no_plugins(vireid: Command, place: Path) -> None:
    code, _, err = vireid("prepare", "sysu", "--plugin", place)
    assert (code, "No such option" in err) == (2, True)
