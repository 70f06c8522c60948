"""The figure of a dial: points, bars, ticks and errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.figures.drawn import segments
from vireid_cli.errors import UsageError
from vireid_cli.figures.dials import DialCurve, dial_figure

VALUES = np.array([0.0, 0.5, 1.0])


def curve(label: str, level: float) -> DialCurve:
    means = np.array([level, level - 0.1, level - 0.2])
    return DialCurve(label, means, means - 0.03, means + 0.02)


def test_points_and_bars_in_percent_beside_each_other() -> None:
    panels = {"rank1": [curve("a", 0.5), curve("b", 0.6)], "mAP": [curve("a", 0.4), curve("b", 0.5)]}
    figure = dial_figure("gap", VALUES, panels, "title", "subtitle")
    first, second = figure.axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("Rank-1", "mAP")
    assert [label.get_text() for label in first.get_xticklabels()] == ["0", "0.5", "1"]
    lines = [line for line in first.lines if line.get_label() in ("a", "b")]
    np.testing.assert_allclose(np.asarray(lines[0].get_ydata()), [50, 40, 30])
    moved = np.asarray(lines[1].get_xdata()) - np.asarray(lines[0].get_xdata())
    assert (moved > 0).all(), "bars of two methods do not overlap"
    np.testing.assert_allclose(
        (np.asarray(lines[0].get_xdata()) + np.asarray(lines[1].get_xdata())) / 2, VALUES
    )
    bars = np.array(segments(first)[0])
    np.testing.assert_allclose(bars[:, :, 1], [[47, 52], [37, 42], [27, 32]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert first.get_xlabel() == "gap"


def test_errors() -> None:
    with pytest.raises(UsageError, match="No result"):
        dial_figure("gap", VALUES, {"rank1": []}, "title")
    with pytest.raises(ValueError, match="3 means for 2 values"):
        dial_figure("gap", VALUES[:2], {"rank1": [curve("a", 0.5)]}, "title")
    with pytest.raises(ValueError, match="one shape"):
        DialCurve("a", VALUES, VALUES, VALUES[:2])
