"""Training curves: loss terms and learning rate over steps, validation metrics over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, style

Row = Mapping[str, Any]
"""One line of ``train.jsonl`` (``results.training_schema``: ``StepRow``, ``EpochRow``)."""

SMOOTH_FROM = 60
"""Minimum number of logged values for smoothing a loss curve."""

COLUMNS = 3
_PANEL = (2.3, 3.25)  # inches, including title and labels
_LEAST = 2.1  # inches of a panel of a given width
_TOP = 0.66
_LINE = 0.17  # inches of a legend line
_PALE = 0.3


@dataclass(frozen=True)
class Log:
    """Log of one training.

    Attributes:
        label: Unique label of the run.
        steps: Rows with ``global_step``, ``lr``, ``loss``, ``losses``.
        epochs: Rows with ``epoch``, ``global_step`` and, for validated epochs, ``val``.
    """

    label: str
    steps: Sequence[Row]
    epochs: Sequence[Row] = ()


@dataclass(frozen=True)
class Series:
    """One quantity of one training.

    Attributes:
        run: Number of the run, from 0.
        x, y: (n,) coordinates; NaN in ``y`` marks a gap.
        best: Index of the best value, or None for quantities that select no epoch.
    """

    run: int
    x: np.ndarray
    y: np.ndarray
    best: int | None = None


@style.styled()
def curves_figure(logs: Sequence[Log], title: str = "Training", subtitle: str = "") -> Figure:
    """Draw one panel per quantity with linear scales; runs share the panels.

    Total loss, loss terms and learning rate are drawn over steps; a term that is missing from a row (weight
    0) leaves a gap. With 60 or more logged values, a centred running mean is drawn over the pale logged
    values; the subtitle states its width. Each validation metric has a panel over epochs, with the best mAP
    marked.

    Args:
        logs: One log per run.
        title, subtitle: Text above the figure.

    Raises:
        UsageError: No run, or a run without logged steps.
    """
    if not logs:
        raise UsageError("No training to draw.", "Train longer, or resume the run: vireid train --resume RUN")
    for log in logs:
        if not log.steps:
            raise UsageError(
                f"{log.label}: the log contains no training step.",
                "Train first: vireid train. Imported runs have no log.",
            )
    panels = _panels(logs)
    natural = max(0.3 + min(COLUMNS, len(panels)) * _PANEL[1], 5.0)
    width = paper.width_or(natural)
    columns = min(COLUMNS, len(panels), max(1, int((width - 0.3) / _LEAST)))
    rows, panel = -(-len(panels) // columns), (width - 0.3) / columns if width != natural else _PANEL[1]
    legend = 0.12 + _LINE * len(logs) if len(logs) > 1 else 0.0
    words, more = paper.wrapped("; ".join(part for part in (subtitle, _smoothing(logs)) if part), width)
    top = _TOP + more
    height = top + 0.1 + rows * _PANEL[0] + legend
    figure = style.blank(width, height)
    figure.text(
        0.25 / width,
        1 - 0.16 / height,
        title,
        fontsize=style.TITLE_SIZE,
        weight="bold",
        va="top",
        gid=style.HEADING,
    )
    look = {"fontsize": style.SMALL_SIZE, "color": style.FAINT, "va": "top"}
    figure.text(0.25 / width, 1 - 0.42 / height, words, gid=style.HEADING, **look)  # type: ignore[arg-type]
    for i, (name, series) in enumerate(panels.items()):
        left = 0.2 + (i % columns) * panel + 0.5
        bottom = height - top - (i // columns + 1) * _PANEL[0] + 0.52
        box = (left / width, bottom / height, (panel - 0.7) / width, (_PANEL[0] - 0.92) / height)
        axes = figure.add_axes(box)
        _draw(axes, name, series, i if len(logs) == 1 else None)
    if len(logs) > 1:
        lines = [_line(number, log.label) for number, log in enumerate(logs)]
        at = (0.2 / width, 0.06 / height)
        figure.legend(handles=lines, loc="lower left", bbox_to_anchor=at, borderaxespad=0.0, handlelength=3.2)
    return figure


def _panels(logs: Sequence[Log]) -> dict[str, list[Series]]:
    """Collect the series of all runs, keyed by panel title; quantities without a finite value have none."""
    terms = dict.fromkeys(name for log in logs for row in log.steps for name in row["losses"])
    monitors = dict.fromkeys(name for log in logs for row in log.steps for name in row.get("monitors", ()))
    metrics = dict.fromkeys(name for log in logs for row in log.epochs for name in row.get("val", ()))
    panels: dict[str, list[Series]] = {}
    for number, log in enumerate(logs):
        steps = _column([row["global_step"] for row in log.steps])
        columns = {"loss": _column([row["loss"] for row in log.steps])}
        for name in terms:
            columns[f"loss: {name}"] = _column([row["losses"].get(name) for row in log.steps])
        for name in monitors:
            values = [row.get("monitors", {}).get(name) for row in log.steps]
            columns[f"monitor: {name}"] = _column(values)
        columns["learning rate"] = _column([row["lr"] for row in log.steps])
        for name, y in columns.items():
            panels.setdefault(name, [])
            if np.isfinite(y).any():
                panels[name].append(Series(number, steps, y))
    for number, log in enumerate(logs):
        measured = [row for row in log.epochs if row.get("val")]
        epochs = _column([row["epoch"] + 1 for row in measured])
        for name in metrics:
            y = 100.0 * _column([row["val"].get(name) for row in measured])
            if np.isfinite(y).any():
                best = int(np.nanargmax(y)) if name == "mAP" else None
                panels.setdefault(f"validation {name} (%)", []).append(Series(number, epochs, y, best))
    return {name: series for name, series in panels.items() if series}


def _column(values: Sequence[float | None]) -> np.ndarray:
    """Convert values to floats; None becomes NaN, a gap in the line."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _smoothing(logs: Sequence[Log]) -> str:
    """Describe the smoothing, or return an empty string if no line is smoothed."""
    widths = sorted({_width(len(log.steps)) for log in logs if len(log.steps) >= SMOOTH_FROM})
    if not widths:
        return ""
    text = f"bold: mean of {' or '.join(map(str, widths))} logged values around each; pale: as logged"
    if any(len(log.steps) < SMOOTH_FROM for log in logs):
        text += f"; runs of fewer than {SMOOTH_FROM} values have no pale line: as logged"
    return text


def _width(values: int) -> int:
    """Compute the odd width of the running mean, in logged values."""
    width = max(5, values // 25)
    return width + 1 - width % 2


def _draw(axes: Axes, name: str, series: Sequence[Series], term: int | None) -> None:
    """Draw one quantity: a single run in the ``term``-th colour, several runs in their own styles."""
    axes.set_title(name)
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.set_xlabel("epoch" if name.startswith("validation") else "step")
    for line in series:
        _draw_series(axes, line, name.startswith("loss"), term)
    values = np.concatenate([line.y for line in series])
    if np.nanmin(values) >= 0:
        top = float(np.nanmax(values))
        # start at 0 to make heights comparable; a constant 0 would be hidden by the axis
        axes.set_ylim(*((0.0, 1.08 * top) if top > 0 else (-0.05, 1.0)))


def _draw_series(axes: Axes, series_of_run: Series, noisy: bool, term: int | None) -> None:
    """Draw the line of one run; noisy lines with many values are smoothed over the pale logged values."""
    colour, dashes, marker = style.series(series_of_run.run)
    if term is not None:
        colours = [style.INK, *(c for c in style.PALETTE if c != "#000000")]
        colour = colours[term % len(colours)]
    smooth = noisy and len(series_of_run.x) >= SMOOTH_FROM
    dot = marker if len(series_of_run.x) == 1 else ""
    if smooth:
        axes.plot(series_of_run.x, series_of_run.y, color=colour, linewidth=0.8, alpha=_PALE)
    y = running_mean(series_of_run.y, _width(len(series_of_run.y))) if smooth else series_of_run.y
    axes.plot(series_of_run.x, y, color=colour, linestyle=dashes, linewidth=1.6, marker=dot)
    if series_of_run.best is not None:
        x, y = series_of_run.x[series_of_run.best], series_of_run.y[series_of_run.best]
        axes.plot([x], [y], color=colour, marker="*", markersize=8, linestyle="")
        if term is not None:
            axes.set_xlabel(f"epoch (★ best: {y:.1f} % after {x:.0f})")


def _line(number: int, label: str) -> Line2D:
    """Create the legend entry of a run."""
    colour, dashes, _ = style.series(number)
    return Line2D([], [], color=colour, linestyle=dashes, linewidth=1.6, label=label)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Compute the centred running mean (n,) over ``width`` values; fewer at the ends; skips gaps.

    Args:
        values: (n,) values; NaN marks a gap.
        width: Width of the window; even values are increased by one.
    """
    window = np.ones(width + 1 - width % 2)
    known = np.isfinite(values)
    sums = np.convolve(np.where(known, values, 0.0), window, mode="full")
    counts = np.convolve(known.astype(np.float64), window, mode="full")
    side = len(window) // 2
    centred = slice(side, side + len(values))
    with np.errstate(invalid="ignore"):
        return np.where(known, sums[centred] / counts[centred], np.nan)
