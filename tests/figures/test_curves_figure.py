"""Training curves: one panel per quantity, gaps for inactive terms, shared by all runs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from vireid_cli.errors import UsageError
from vireid_cli.figures import saving
from vireid_cli.figures.curves import Log, curves_figure, running_mean
from vireid_cli.results.training_schema import EpochRow, StepRow


def step(i: int, **losses: float) -> StepRow:
    return StepRow(
        kind="step",
        epoch=i // 10,
        step=i % 10,
        global_step=i,
        lr=0.1,
        loss=sum(losses.values()),
        losses=losses,
    )


def epoch(i: int, **val: float) -> EpochRow:
    row = EpochRow(kind="epoch", epoch=i, steps=10, global_step=10 * i + 10, lr=0.1, loss=1.0, losses={})
    if val:
        row["val"] = val
    return row


@pytest.fixture
def steps() -> list[StepRow]:
    return [step(i, identity=5.0 / (i + 1), **({"triplet": 0.5} if i >= 6 else {})) for i in range(20)]


def drawn(figure: Figure) -> dict[str, np.ndarray]:
    return {a.get_title(loc="left"): np.asarray(a.lines[0].get_data()) for a in figure.axes}


def test_each_quantity_has_its_panel_and_its_values(steps: list[StepRow]) -> None:
    panels = drawn(curves_figure([Log("a", steps)]))
    assert list(panels) == ["loss", "loss: identity", "loss: triplet", "learning rate"]
    np.testing.assert_array_equal(panels["loss"][0], np.arange(20))  # counted over the whole training
    np.testing.assert_allclose(panels["loss"][1], np.array([row["loss"] for row in steps]))
    np.testing.assert_array_equal(np.isnan(panels["loss: triplet"][1]), np.arange(20) < 6)


def test_quantities_without_a_value_have_no_panel(steps: list[StepRow]) -> None:
    nothing: list[StepRow] = [{**row, "loss": None, "losses": {"identity": None}} for row in steps]
    assert list(drawn(curves_figure([Log("a", nothing)]))) == ["learning rate"]
    both = drawn(curves_figure([Log("a", nothing), Log("b", steps)]))
    assert list(both) == ["loss", "loss: identity", "loss: triplet", "learning rate"]


def test_validation_is_drawn_over_logged_epochs(steps: list[StepRow]) -> None:
    epochs = [epoch(0, rank1=0.5, mAP=0.25), epoch(1, rank1=0.5, mAP=0.75), epoch(2, rank1=0.75, mAP=0.5)]
    figure = curves_figure([Log("a", steps, epochs)], "Training", "a run")
    panels = drawn(figure)
    np.testing.assert_array_equal(panels["validation rank1 (%)"], ([1, 2, 3], [50, 50, 75]))
    np.testing.assert_array_equal(panels["validation mAP (%)"], ([1, 2, 3], [25, 75, 50]))
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["step"] * 4 + ["epoch", "epoch (★ best: 75.0 % after 2)"]
    star = figure.axes[-1].lines[1]
    assert (star.get_marker(), *np.asarray(star.get_xydata())[0]) == ("*", 2, 75)
    assert [text.get_text() for text in figure.texts] == ["Training", "a run"]
    assert "validation" not in " ".join(drawn(curves_figure([Log("a", steps, [epoch(0)])])))


def test_runs_share_panels_with_distinct_styles(steps: list[StepRow]) -> None:
    short = [step(i, identity=1.0, center=0.5) for i in range(7)]
    logs = [Log("FDNM", steps), Log("AGW", short), Log("DEEN", steps, [epoch(0, mAP=0.5)])]
    figure = curves_figure(logs)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == [
        "loss",
        "loss: identity",
        "loss: triplet",
        "loss: center",
        "learning rate",
        "validation mAP (%)",
    ]
    assert [len(np.asarray(line.get_xdata())) for line in panels["loss"].lines] == [20, 7, 20]
    assert len(panels["loss: triplet"].lines) == 2
    (only,) = panels["loss: center"].lines
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["FDNM", "AGW", "DEEN"]
    looks = [(line.get_color(), line.get_linestyle()) for line in legend.get_lines()]
    assert looks == [(line.get_color(), line.get_linestyle()) for line in panels["loss"].lines]
    assert (only.get_color(), only.get_linestyle()) == looks[1]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.combinations(looks, 2))


def test_monitors_have_panels_between_losses_and_learning_rate(steps: list[StepRow]) -> None:
    watched = [{**row, "monitors": {"agp.layer1": 0.1 * i}} for i, row in enumerate(steps)]
    panels = {axes.get_title(loc="left"): axes for axes in curves_figure([Log("a", watched)]).axes}
    assert list(panels)[-2:] == ["monitor: agp.layer1", "learning rate"]
    np.testing.assert_allclose(
        np.asarray(panels["monitor: agp.layer1"].lines[0].get_ydata()), 0.1 * np.arange(len(steps))
    )


def test_scales_are_linear_and_start_at_zero(steps: list[StepRow]) -> None:
    for axes in curves_figure([Log("a", steps, [epoch(0, mAP=0.5)])]).axes:
        assert axes.get_yscale() == "linear"
        assert axes.get_ylim()[0] == 0.0


def test_numbers_beside_the_axes_are_plain(steps: list[StepRow]) -> None:
    figure = curves_figure([Log("a", [{**row, "lr": 2e-5} for row in steps])])
    figure.canvas.draw()
    words = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    words += [axes.yaxis.get_offset_text().get_text() for axes in figure.axes]
    assert "1e−5" in words
    assert "$" not in "".join(words)


def test_many_rows_are_smoothed_and_the_subtitle_states_it() -> None:
    rows = [step(i, identity=float(i % 2)) for i in range(100)]
    figure = curves_figure([Log("a", rows)], subtitle="x")
    pale, smooth = figure.axes[0].lines
    assert pale.get_alpha() < 0.5
    assert np.ptp(np.asarray(pale.get_ydata())) == 1.0
    assert np.ptp(np.asarray(smooth.get_ydata())) == pytest.approx(1 / 3)  # the ends: 0, 1, 0 and 1, 0, 1
    assert figure.texts[1].get_text() == "x; bold: mean of 5 logged values around each; pale: as logged"
    assert len(figure.axes[-1].lines) == 1  # the learning rate is not smoothed


def test_subtitle_states_that_a_short_run_is_not_smoothed() -> None:
    long, short = ([step(i, identity=float(i % 2)) for i in range(n)] for n in (100, 30))
    figure = curves_figure([Log("a", long), Log("b", short)])
    assert len(figure.axes[0].lines) == 3
    assert figure.texts[1].get_text().endswith("; runs of fewer than 60 values have no pale line: as logged")
    assert figure.texts[1].get_text().startswith("bold: mean of 5 logged values")
    figure.draw_without_rendering()
    assert figure.texts[1].get_window_extent().x1 < figure.bbox.x1
    assert curves_figure([Log("b", short)]).texts[1].get_text() == ""


def test_a_term_that_is_always_zero_has_a_plain_axis() -> None:
    figure = curves_figure([Log("a", [step(i, identity=1.0, cnm=0.0) for i in range(5)])])
    figure.draw_without_rendering()
    [axes] = [axes for axes in figure.axes if axes.get_title(loc="left") == "loss: cnm"]
    assert axes.get_ylim() == (-0.05, 1.0)
    assert axes.yaxis.get_offset_text().get_text() == ""


def test_running_mean_against_a_plain_loop() -> None:
    values = np.random.default_rng(0).normal(size=30)
    values[[0, 7, 8]] = np.nan
    expected = [
        np.nan if np.isnan(values[i]) else np.nanmean(values[max(0, i - 2) : i + 3])
        for i in range(len(values))
    ]
    np.testing.assert_allclose(running_mean(values, 5), np.array(expected))
    np.testing.assert_allclose(running_mean(values, 4), np.array(expected))


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_rows_same_bytes(steps: list[StepRow], tmp_path: Path, name: str) -> None:
    logs = [Log("a", steps), Log("b", steps[:5], [epoch(0, mAP=0.5)])]
    first = saving.save(curves_figure(logs), tmp_path / "1" / name).read_bytes()
    assert saving.save(curves_figure(logs), tmp_path / "2" / name).read_bytes() == first


def test_single_step_is_a_point_and_no_step_raises(steps: list[StepRow]) -> None:
    assert curves_figure([Log("a", steps[:1])]).axes[0].lines[0].get_marker() == "o"
    with pytest.raises(UsageError, match=r"b: the log contains no(.|\n)*vireid train"):
        curves_figure([Log("a", steps), Log("b", [])])
    with pytest.raises(UsageError, match="vireid train"):
        curves_figure([])
