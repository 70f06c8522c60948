"""Every example and every notebook runs, on a small tree."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDER = ("prepare", "train", "evaluate", "embed", "visualize", "export", "own_loop")
NOTEBOOKS = ("first_experiment", "retrieval", "two_settings")


@pytest.fixture(scope="module")
def workplace(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, in which the examples run one after the other."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(sysu_tree / "SYSU-MM01", folder / "data" / "SYSU-MM01")
    return folder


def test_every_example_is_listed() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(ORDER)
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(NOTEBOOKS)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"({name}.py)" in listed for name in ORDER)
    assert all(f"({name}.ipynb)" in listed for name in NOTEBOOKS)


@pytest.mark.parametrize("name", ORDER)
def test_example_runs(
    name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "export":
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(workplace)
    for variable in ("VIREID_DATA", "VIREID_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(
    name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cells run in order and in one namespace, as a kernel runs them; files are stored without output."""
    monkeypatch.chdir(workplace)
    for variable in ("VIREID_DATA", "VIREID_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 3
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        assert cell["outputs"] == []
        exec(compile("".join(cell["source"]), f"{name}.ipynb cell {number}", "exec"), names)
    assert capsys.readouterr().out.strip()
