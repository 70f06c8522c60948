"""The figure of differences: positions, filled markers, errors."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from vireid_cli.errors import UsageError
from vireid_cli.figures.differences import DifferenceLine, difference_figure

LINES = [
    DifferenceLine("b", "a", {"rank1": (0.02, 0.01, 0.03), "mAP": (0.01, -0.01, 0.03)}),
    DifferenceLine("c", "a", {"rank1": (-0.04, -0.06, -0.02), "mAP": (0.0, -0.02, 0.02)}),
]


def test_points_and_intervals_in_percentage_points() -> None:
    figure = difference_figure(LINES, ("rank1", "mAP"), "title", "subtitle")
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["b − a", "c − a"]
    lines = first.collections[0]
    assert isinstance(lines, LineCollection)
    bars = np.array(lines.get_segments())
    np.testing.assert_allclose(bars[:, :, 0], [[1, 3], [-6, -2]])
    assert first.get_ylim()[0] > first.get_ylim()[1], "the first row is on top"
    assert second.get_title(loc="left") == "mAP"


def test_intervals_without_zero_are_filled() -> None:
    for axes, filled in zip(difference_figure(LINES, ("rank1", "mAP"), "t").axes, (2, 0), strict=True):
        points = [line for line in axes.lines if line.get_marker() not in ("", "None", None)]
        solid = [line for line in points if line.get_markerfacecolor() != "white"]
        assert sum(len(np.atleast_1d(line.get_xdata())) for line in solid) == filled


def test_nothing_to_draw() -> None:
    with pytest.raises(UsageError, match="No difference"):
        difference_figure([], ("rank1",), "t")
