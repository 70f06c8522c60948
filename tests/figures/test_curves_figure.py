"""Training curves: one panel a quantity, gaps where a term was off."""

from __future__ import annotations

import numpy as np
import pytest

from vireid_cli.errors import UsageError
from vireid_cli.figures import style
from vireid_cli.figures.curves import curves_figure, running_mean


def step(i: int, **losses: float) -> dict:
    total = sum(losses.values())
    return {
        "kind": "step",
        "epoch": i // 10,
        "step": i % 10,
        "global_step": i,
        "lr": 0.1,
        "loss": total,
        "losses": losses,
    }


@pytest.fixture
def steps() -> list[dict]:
    return [step(i, identity=5.0 / (i + 1), **({"triplet": 0.5} if i >= 6 else {})) for i in range(20)]


def drawn(figure) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {a.get_title(loc="left"): a.lines[0].get_data() for a in figure.axes}


def test_each_quantity_has_its_panel_and_its_values(steps):
    panels = drawn(curves_figure(steps))
    assert list(panels) == ["loss", "loss: identity", "loss: triplet", "learning rate"]
    np.testing.assert_array_equal(panels["loss"][0], np.arange(20))  # since the beginning, not of the epoch
    np.testing.assert_allclose(panels["loss"][1], [row["loss"] for row in steps])
    np.testing.assert_array_equal(np.isnan(panels["loss: triplet"][1]), np.arange(20) < 6)


def test_speed_and_validation_get_panels_where_rows_have_them(steps):
    steps = [{**row, "images_per_second": 100.0 + i} for i, row in enumerate(steps)]
    epochs = [{"epoch": e, "global_step": 10 * (e + 1), "validation": {"mAP": 0.25 * e}} for e in range(2)]
    figure = curves_figure(steps, epochs, "Training", "a run")
    panels = drawn(figure)
    np.testing.assert_array_equal(panels["images/s"][1], 100.0 + np.arange(20))
    np.testing.assert_array_equal(panels["validation mAP (%)"], ([10, 20], [0, 25]))
    assert [text.get_text() for text in figure.texts] == ["Training", "a run"]
    ends = [line.get_xdata()[0] for line in figure.axes[0].lines[1:]]
    assert ends == [10, 20]


def test_scales_are_linear_and_begin_at_zero(steps):
    for axes in curves_figure(steps).axes:
        assert axes.get_yscale() == "linear"
        assert axes.get_ylim()[0] == 0.0


def test_many_rows_are_smoothed_over_pale_values():
    rows = [step(i, identity=float(i % 2)) for i in range(100)]
    pale, smooth = curves_figure(rows).axes[0].lines
    assert pale.get_alpha() < 0.5
    assert np.ptp(pale.get_ydata()) == 1.0
    assert np.ptp(smooth.get_ydata()) == pytest.approx(1 / 3)  # the ends: 0, 1, 0 and 1, 0, 1


def test_running_mean_against_a_plain_loop():
    values = np.random.default_rng(0).normal(size=30)
    values[[0, 7, 8]] = np.nan
    expected = [
        np.nan if np.isnan(values[i]) else np.nanmean(values[max(0, i - 2) : i + 3])
        for i in range(len(values))
    ]
    np.testing.assert_allclose(running_mean(values, 5), expected)
    np.testing.assert_allclose(running_mean(values, 4), expected)


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_rows_same_bytes(steps, tmp_path, name):
    first = style.save(curves_figure(steps), tmp_path / "1" / name).read_bytes()
    assert style.save(curves_figure(steps), tmp_path / "2" / name).read_bytes() == first


def test_a_single_step_is_drawn_as_a_point_and_none_is_refused(steps):
    assert curves_figure(steps[:1]).axes[0].lines[0].get_marker() == "o"
    with pytest.raises(UsageError, match="vireid train"):
        curves_figure([])
