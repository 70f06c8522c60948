"""Figures of embeddings through the command line: written files and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from tests.engine.evaluated_runs import evaluated

EVERYTHING = np.arange(96)


@pytest.fixture
def runs(place: Path) -> Path:
    """A folder with two runs that can be drawn, and some that can't."""
    folder = place / "runs"
    evaluated(folder / "one", EVERYTHING)
    evaluated(folder / "two", EVERYTHING, seed=1)
    evaluated(folder / "visible", EVERYTHING[:48])
    evaluated(folder / "single", EVERYTHING[EVERYTHING % 8 == 1])
    evaluated(folder / "other", EVERYTHING, data="xyz")
    (folder / "bare").mkdir()
    (folder / "bare" / "recipe.yaml").write_text("paper: none\n")
    return folder


def test_figures_of_several_runs(vireid: Command, runs: Path) -> None:
    drawn = vireid("visualize", "distances", "one", "two", "--dpi", "50")
    assert drawn.code == 0, drawn.err
    assert drawn.out.strip() == f"wrote {runs / 'one' / 'figures' / 'distances.png'}"
    assert "pairs of two 2304/2304" in drawn.err
    drawn = vireid("visualize", "tsne", "two", "one", "--ids", "9", "--by", "modality", "--out", "plane.svg")
    assert drawn.code == 0, drawn.err
    assert "only 8 identities with both modalities; the figure shows all of them" in drawn.err
    assert drawn.out.strip() == "wrote plane.svg"
    assert Path("plane.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("figure", ["distances", "tsne"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "There is no run 'nothing'"),
        (("bare",), "has not been evaluated. Run: vireid evaluate"),
        (("one", "--protocol", "indoor"), "no evaluation 'indoor'. Choose: all-single-seeded"),
        (("visible",), "has no infrared image. Evaluate it on people with images of both: vireid evaluate"),
        (("single",), "both modalities are needed, it has 1."),
        (("one", "other"), "one was evaluated on sysu abc, other on sysu xyz"),
        (("one", "--format", "gif"), "can't be written as 'gif'"),
        (("one", "--dpi", "5"), "--dpi 5 is outside"),
        (("one",) * 7, "needs 1 to 6 runs, not 7"),
    ],
)
def test_runs_that_cannot_be_drawn_exit_with_two(
    vireid: Command, runs: Path, figure: str, words: tuple[str, ...], message: str
) -> None:
    result = vireid("visualize", figure, *words)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert not result.out


def test_without_a_run_the_error_names_the_command(vireid: Command, place: Path) -> None:
    for figure in ("distances", "tsne"):
        result = vireid("visualize", figure)
        assert result.code == 2
        assert "no run yet" in result.err
        assert "vireid train" in result.err


def test_amplitudes_need_a_checkpoint_and_images(vireid: Command, runs: Path) -> None:
    result = vireid("visualize", "tsne", "one", "--component", "amplitude", "--device", "cpu")
    assert result.code == 2
    assert "one" in result.err
    assert vireid("visualize", "tsne", "one", "--component", "colour").code == 2
