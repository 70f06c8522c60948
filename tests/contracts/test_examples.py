"""Every example runs, on a small tree."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDER = ("prepare", "train", "evaluate", "embed", "visualize", "export", "own_loop")


@pytest.fixture(scope="module")
def workplace(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, in which the examples run one after the other."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(sysu_tree / "SYSU-MM01", folder / "data" / "SYSU-MM01")
    return folder


def test_every_example_is_listed() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(ORDER)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"({name}.py)" in listed for name in ORDER)


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
