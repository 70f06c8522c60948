"""Figures of tuning studies: every trial is drawn, at its value, with plain numbers on the axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vireid_cli.errors import UsageError
from vireid_cli.figures.saving import save
from vireid_cli.figures.tuning import TrialPoint, history_figure, importance_figure, slices_figure

TRIALS = [
    TrialPoint(0, "complete", 0.4, {"lr": 1e-5, "name": "sgd", "pad": 0.0}),
    TrialPoint(1, "pruned", 0.2, {"lr": 1e-3, "name": "adamw", "pad": 4.0}),
    TrialPoint(2, "failed", float("nan"), {"lr": 1e-1, "name": "adamw", "pad": 8.0}),
    TrialPoint(3, "complete", 0.3, {"lr": 1e-2, "name": "sgd", "pad": 8.0}),
    TrialPoint(4, "complete", 0.6, {"lr": 2e-2, "name": "sgd", "pad": 8.0}),
]
KEYS = {"lr": True, "name": False, "pad": False}


def line(axes: Any, label: str) -> list[tuple[float, float]]:
    (drawn,) = (drawn for drawn in axes.get_lines() if drawn.get_label() == label)
    return [(float(x), float(y)) for x, y in zip(*drawn.get_data(), strict=True)]


def test_history_has_every_trial_and_the_best_so_far() -> None:
    figure = history_figure(TRIALS, "mAP", "title")
    axes = figure.axes[0]
    assert line(axes, "complete") == [(0, 40), (3, 30), (4, 60)]
    assert line(axes, "pruned: last validation") == [(1, 20)]
    assert line(axes, "failed") == [(2, 20)], "at the lowest value"
    assert line(axes, "best so far") == [(0, 40), (3, 40), (4, 60), (4, 60)]


def test_slices_have_a_panel_per_key_and_plain_numbers(tmp_path: Path) -> None:
    figure = slices_figure(TRIALS, KEYS, "rank1", "title")
    assert [axes.get_xlabel() for axes in figure.axes] == list(KEYS)
    rates, names, pads = figure.axes
    shown = np.concatenate([drawn.get_xdata() for drawn in rates.get_lines()])
    assert sorted(shown) == [1e-5, 1e-3, 1e-2, 2e-2]
    assert rates.get_xscale() == "log"
    assert [text.get_text() for text in rates.get_xticklabels()] == ["1e-05", "0.0001", "0.001", "0.01"]
    assert [text.get_text() for text in names.get_xticklabels()] == ["adamw", "sgd"]
    assert [text.get_text() for text in pads.get_xticklabels()] == ["0", "4", "8"]
    near = slices_figure(TRIALS[3:], {"lr": True}, "mAP", "title").axes[0]
    assert [text.get_text() for text in near.get_xticklabels()] == ["0.01", "0.02"]
    assert b"mathdefault" not in save(figure, tmp_path / "a.svg").read_bytes()


def test_importance_has_the_largest_at_the_top() -> None:
    axes = importance_figure({"a": 0.2, "b": 0.7, "c": 0.1}, "title").axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "a", "b"]
    widths = [patch.get_extents().width for patch in axes.patches]
    assert [70 * width / max(widths) for width in widths] == pytest.approx([10, 20, 70])


def test_one_trial_and_none(tmp_path: Path) -> None:
    one = TRIALS[:1]
    for name, figure in {
        "history": history_figure(one, "mAP", "t"),
        "slices": slices_figure(one, KEYS, "mAP", "t"),
    }.items():
        assert save(figure, tmp_path / name).stat().st_size > 1000
    for trials in ([], [TRIALS[2]]):
        with pytest.raises(UsageError, match="No trial has a result"):
            history_figure(trials, "mAP", "t")
        with pytest.raises(UsageError, match="No trial has a result"):
            slices_figure(trials, KEYS, "mAP", "t")
    with pytest.raises(UsageError, match="No importance"):
        importance_figure({}, "t")
