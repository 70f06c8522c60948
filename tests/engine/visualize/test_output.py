"""A wrong file, format or resolution is refused before anything is computed, for every figure there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from vireid_cli.engine import visualize as drawings
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.results.run import RunFolder

PAGES = ("report",)


def refused(figure: str, tmp_path: Path, output: Output) -> VireidError:
    """The refusal of a figure of runs that are not there and without its options: no work can begin."""
    runs = tuple(RunFolder(tmp_path / f"run-{i}") for i in range(drawings.run_limits(figure)[0]))
    with pytest.raises(VireidError) as caught:
        drawings.draw(figure, runs or "sysu", Session.choose("cpu", data_dir=tmp_path), output)
    return caught.value


def test_pages_are_known() -> None:
    assert set(PAGES) < set(drawings.names())


@pytest.mark.parametrize("figure", drawings.names())
def test_an_unwritable_place_is_refused_first(figure: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    beneath = refused(figure, tmp_path, Output(tmp_path / "file" / "a.png"))
    assert isinstance(beneath, DataError)
    assert str(tmp_path / "file") in beneath.message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("figure", [name for name in drawings.names() if name not in PAGES])
@pytest.mark.parametrize(
    ("output", "message"),
    [
        (Output(dpi=19), "--dpi 19"),
        (Output(dpi=1201), "--dpi 1201"),
        (Output(format="jpeg"), "'jpeg'"),
        (Output(Path("a.gif")), "'gif'"),
        (Output(Path("a.png"), "svg"), "ends in .png"),
    ],
)
def test_a_wrong_form_is_refused_first(figure: str, output: Output, message: str, tmp_path: Path) -> None:
    error = refused(figure, tmp_path, output)
    assert isinstance(error, UsageError)
    assert message in error.message


def test_a_run_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "same").symlink_to(tmp_path / "run")
    runs = (RunFolder(tmp_path / "run"), RunFolder(tmp_path / "same"))
    with pytest.raises(UsageError, match=r"run is named twice, also as .*same"):
        drawings.draw("cmc", runs, Session.choose("cpu"), Output(), protocol=None, ranks=20)
