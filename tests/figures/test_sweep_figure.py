"""Sweep figure: positions, bars, scales, words; identical bytes for identical input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.figures.drawn import segments
from vireid_cli.errors import UsageError
from vireid_cli.figures import saving
from vireid_cli.figures.sweep import SweepLine, sweep_figure

WEIGHTS = [0.1, 0.25, 0.5, 1.0, 2.0]


def lines(count: int, several: bool = True) -> list[SweepLine]:
    means = 0.6 + 0.05 * np.sin(np.arange(count))
    stds = np.full(count, 0.01 if several else np.nan)
    return [SweepLine("Rank-1", means, stds), SweepLine("mAP", means - 0.1, stds)]


def test_points_and_bars_in_percent_over_decades() -> None:
    figure = sweep_figure("cnm.weight", WEIGHTS, lines(5), "fdnm", "x")
    (axes,) = figure.axes
    drawn = [line for line in axes.lines if line.get_label() in ("Rank-1", "mAP")]
    np.testing.assert_array_equal(np.asarray(drawn[0].get_xdata()), WEIGHTS)
    np.testing.assert_allclose(np.asarray(drawn[0].get_ydata()), 100 * lines(5)[0].means)
    assert drawn[0].get_linestyle() != drawn[1].get_linestyle()
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.25", "0.5", "1", "2"]
    bars = np.array(segments(axes)[0])
    np.testing.assert_allclose(bars[:, :, 1], 100 * (lines(5)[0].means[:, None] + [-0.01, 0.01]))
    assert axes.get_xlabel() == "cnm.weight"


def test_zero_and_small_spans_are_linear_and_single_seeds_have_no_bars() -> None:
    axes = sweep_figure("margin", [0.0, 0.1, 0.2, 0.3, 0.5], lines(5, several=False), "x").axes[0]
    assert axes.get_xscale() == "linear"
    assert not any(segments(axes))


def test_touching_labels_are_omitted() -> None:
    axes = sweep_figure("margin", [0.0, 0.001, 0.5, 1.0], lines(4), "x").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "", "0.5", "1"]


def test_words_are_categories_without_lines_and_fit() -> None:
    words = [f"a rather long option {i}" for i in range(6)]
    figure = sweep_figure("method.options.pool", words, lines(6), "x", "one\ntwo")
    axes = figure.axes[0]
    rank1, precision = (line for line in axes.lines if line.get_label() in ("Rank-1", "mAP"))
    assert rank1.get_linestyle() == precision.get_linestyle() == "None"
    np.testing.assert_allclose(
        (np.asarray(rank1.get_xdata()) + np.asarray(precision.get_xdata())) / 2, np.arange(6), atol=1e-12
    )
    np.testing.assert_allclose(
        np.asarray(precision.get_xdata()) - np.asarray(rank1.get_xdata()), 0.12
    )  # no bar hides another
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert min(box.x0 for box in boxes) >= 0
    assert min(box.y0 for box in boxes) >= axes.xaxis.label.get_window_extent().y1
    assert axes.xaxis.label.get_window_extent().y0 >= figure.legends[0].get_window_extent().y1
    assert figure.legends[0].get_window_extent().y0 >= 0


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_runs_same_bytes(tmp_path: Path, name: str) -> None:
    first = saving.save(sweep_figure("w", WEIGHTS, lines(5), "x"), tmp_path / "1" / name).read_bytes()
    assert saving.save(sweep_figure("w", WEIGHTS, lines(5), "x"), tmp_path / "2" / name).read_bytes() == first


def test_no_line_and_wrong_lengths_raise() -> None:
    with pytest.raises(UsageError, match="vireid evaluate"):
        sweep_figure("w", [], [], "x")
    with pytest.raises(ValueError, match="5 figures for 2 values"):
        sweep_figure("w", [0.1, 0.2], lines(5), "x")
    with pytest.raises(ValueError, match="expected"):
        SweepLine("a", np.zeros(2), np.zeros(3))
