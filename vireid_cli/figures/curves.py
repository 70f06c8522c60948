"""How trainings went: each loss term and the learning rate over steps, validation over epochs."""

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
from vireid_cli.figures import style

Row = Mapping[str, Any]
"""One line of ``train.jsonl`` (``results.schema``: ``StepRow``, ``EpochRow``)."""

SMOOTH_FROM = 60
"""Logged values from which on a loss is smoothed over its pale values."""

COLUMNS = 3
_PANEL = (2.3, 3.25)  # inches, with what belongs to it
_TOP = 0.66
_LINE = 0.17  # of the legend
_PALE = 0.3


@dataclass(frozen=True)
class Log:
    """The log of one training.

    Attributes:
        label: What tells it from the others.
        steps: Rows with ``global_step``, ``lr``, ``loss``, ``losses``.
        epochs: Rows with ``epoch`` and ``global_step``, and ``val`` where validation was measured.
    """

    label: str
    steps: Sequence[Row]
    epochs: Sequence[Row] = ()


@dataclass(frozen=True)
class Series:
    """One quantity of one training.

    Attributes:
        run: Its number.
        x, y: (n,); NaN in ``y`` for a gap.
        best: Index of the best value, where one is chosen by it.
    """

    run: int
    x: np.ndarray
    y: np.ndarray
    best: int | None = None


@style.styled()
def curves_figure(logs: Sequence[Log], title: str = "Training", subtitle: str = "") -> Figure:
    """Draw one small panel a quantity, linear scales throughout, runs over each other.

    Total loss, each term and the learning rate over the steps since the beginning; a term that is missing
    from a row (its weight was 0 then) leaves a gap. From 60 logged values on, a centred running mean is
    drawn over the pale values as logged, and the subtitle says how wide. Validation metrics, where they
    were measured, get a panel each over epochs, with the best mAP marked.

    Args:
        logs: One a run.
        title, subtitle: Over the figure.

    Raises:
        UsageError: No run, or one without a row.
    """
    if not logs:
        raise UsageError(
            "There is no training to draw.", "Train longer, or resume the run: vireid train --resume RUN"
        )
    for log in logs:
        if not log.steps:
            raise UsageError(
                f"{log.label}: the log holds no training step.",
                "Train first: vireid train. An imported run was trained elsewhere and has no log.",
            )
    panels = _panels(logs)
    rows, columns = -(-len(panels) // COLUMNS), min(COLUMNS, len(panels))
    legend = 0.12 + _LINE * len(logs) if len(logs) > 1 else 0.0
    width, height = max(0.3 + columns * _PANEL[1], 5.0), _TOP + 0.1 + rows * _PANEL[0] + legend
    figure = style.blank(width, height)
    figure.text(0.25 / width, 1 - 0.16 / height, title, fontsize=style.TITLE_SIZE, weight="bold", va="top")
    words = "; ".join(part for part in (subtitle, _smoothing(logs)) if part)
    look = {"fontsize": style.SMALL_SIZE, "color": style.FAINT, "va": "top"}
    figure.text(0.25 / width, 1 - 0.42 / height, words, **look)  # type: ignore[arg-type]
    for i, (name, series) in enumerate(panels.items()):
        left = 0.2 + (i % COLUMNS) * _PANEL[1] + 0.5
        bottom = height - _TOP - (i // COLUMNS + 1) * _PANEL[0] + 0.52
        box = (left / width, bottom / height, (_PANEL[1] - 0.7) / width, (_PANEL[0] - 0.92) / height)
        axes = figure.add_axes(box)
        _draw(axes, name, series, i if len(logs) == 1 else None)
    if len(logs) > 1:
        lines = [_line(number, log.label) for number, log in enumerate(logs)]
        at = (0.2 / width, 0.06 / height)
        figure.legend(handles=lines, loc="lower left", bbox_to_anchor=at, borderaxespad=0.0, handlelength=3.2)
    return figure


def _panels(logs: Sequence[Log]) -> dict[str, list[Series]]:
    """Every quantity, by the panel's title, with the runs that have it."""
    terms = dict.fromkeys(name for log in logs for row in log.steps for name in row["losses"])
    monitors = dict.fromkeys(name for log in logs for row in log.steps for name in row.get("monitors", ()))
    metrics = dict.fromkeys(name for log in logs for row in log.epochs for name in row.get("val", ()))
    panels: dict[str, list[Series]] = {}
    for number, log in enumerate(logs):
        steps = _column([row["global_step"] for row in log.steps])
        found = {"loss": _column([row["loss"] for row in log.steps])}
        for name in terms:
            found[f"loss: {name}"] = _column([row["losses"].get(name) for row in log.steps])
        for name in monitors:
            values = [row.get("monitors", {}).get(name) for row in log.steps]
            found[f"monitor: {name}"] = _column(values)
        found["learning rate"] = _column([row["lr"] for row in log.steps])
        for name, y in found.items():
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
    return panels


def _column(values: Sequence[float | None]) -> np.ndarray:
    """Values as floats, NaN where there is none: a gap in the line."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _smoothing(logs: Sequence[Log]) -> str:
    """What the bold lines are, where any is smoothed."""
    widths = sorted({_width(len(log.steps)) for log in logs if len(log.steps) >= SMOOTH_FROM})
    if not widths:
        return ""
    text = f"bold: mean of {' or '.join(map(str, widths))} logged values around each; pale: as logged"
    if any(len(log.steps) < SMOOTH_FROM for log in logs):
        text += f"; runs of fewer than {SMOOTH_FROM} values have no pale line: as logged"
    return text


def _width(values: int) -> int:
    """Logged values that a running mean takes together, odd."""
    width = max(5, values // 25)
    return width + 1 - width % 2


def _draw(axes: Axes, name: str, series: Sequence[Series], term: int | None) -> None:
    """One quantity: of one run in the ``term``-th colour, of several in each one's look."""
    axes.set_title(name)
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.set_xlabel("epoch" if name.startswith("validation") else "step")
    for one in series:
        _draw_series(axes, one, name.startswith("loss"), term)
    values = np.concatenate([one.y for one in series])
    if np.nanmin(values) >= 0:
        top = float(np.nanmax(values))
        # from 0: heights can be compared; what is always 0 would lie beneath the axis
        axes.set_ylim(*((0.0, 1.08 * top) if top > 0 else (-0.05, 1.0)))


def _draw_series(axes: Axes, one: Series, noisy: bool, term: int | None) -> None:
    """One run's line; noisy ones with many values smoothed over the pale values as logged."""
    colour, dashes, marker = style.series(one.run)
    if term is not None:
        colours = [style.INK, *(c for c in style.PALETTE if c != "#000000")]
        colour = colours[term % len(colours)]
    smooth = noisy and len(one.x) >= SMOOTH_FROM
    dot = marker if len(one.x) == 1 else ""
    if smooth:
        axes.plot(one.x, one.y, color=colour, linewidth=0.8, alpha=_PALE)
    y = running_mean(one.y, _width(len(one.y))) if smooth else one.y
    axes.plot(one.x, y, color=colour, linestyle=dashes, linewidth=1.6, marker=dot)
    if one.best is not None:
        x, y = one.x[one.best], one.y[one.best]
        axes.plot([x], [y], color=colour, marker="*", markersize=8, linestyle="")
        if term is not None:
            axes.set_xlabel(f"epoch (★ best: {y:.1f} % after {x:.0f})")


def _line(number: int, label: str) -> Line2D:
    """A run's entry in the legend."""
    colour, dashes, _ = style.series(number)
    return Line2D([], [], color=colour, linestyle=dashes, linewidth=1.6, label=label)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over the ``width`` values around each one, (n,); fewer at the ends; gaps are left out.

    Args:
        values: (n,), NaN for a gap.
        width: Odd, or the next odd number is taken.
    """
    window = np.ones(width + 1 - width % 2)
    known = np.isfinite(values)
    sums = np.convolve(np.where(known, values, 0.0), window, mode="full")
    counts = np.convolve(known.astype(np.float64), window, mode="full")
    side = len(window) // 2
    centred = slice(side, side + len(values))
    with np.errstate(invalid="ignore"):
        return np.where(known, sums[centred] / counts[centred], np.nan)
