"""How a training went: each loss term, the learning rate and the speed over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import style

Row = Mapping[str, Any]
"""One line of ``train.jsonl`` (``results.schema``: ``StepRow``, ``EpochRow``)."""

COLUMNS = 3
_PANEL = (2.15, 3.25)  # inches, with what belongs to it
_TOP = 0.62


@style.styled()
def curves_figure(
    steps: Sequence[Row], epochs: Sequence[Row] = (), title: str = "Training", subtitle: str = ""
) -> Figure:
    """Draw one small panel a quantity over the steps since the beginning, linear scales throughout.

    Total loss, each term, learning rate, and images/s where the rows have them; a term that is
    missing from a row (its weight was 0 then) leaves a gap. From 60 rows on a centred running mean
    is drawn over the pale values. Validation metrics, where epoch rows have them (``validation``:
    name → value), get a panel each.

    Args:
        steps: Rows with ``step`` or ``global_step``, ``lr``, ``loss``, ``losses``.
        epochs: Rows with ``epoch`` and ``global_step``; each ends at a thin line where they are few.
        title, subtitle: Over the figure.

    Raises:
        UsageError: No row.
    """
    if not steps:
        raise UsageError("The log holds no training step yet.", "Train first: vireid train")
    panels = [*_step_panels(steps), *_validation_panels(epochs)]
    rows = -(-len(panels) // COLUMNS)
    columns = min(COLUMNS, len(panels))
    width, height = max(0.3 + columns * _PANEL[1], 5.0), _TOP + 0.1 + rows * _PANEL[0]
    figure = style.blank(width, height)
    figure.text(0.25 / width, 1 - 0.16 / height, title, fontsize=style.TITLE_SIZE, weight="bold", va="top")
    figure.text(
        0.25 / width, 1 - 0.42 / height, subtitle, fontsize=style.SMALL_SIZE, color=style.FAINT, va="top"
    )
    ends = [int(row["global_step"]) for row in epochs if "global_step" in row]
    for i, (name, x, y, colour) in enumerate(panels):
        left = 0.2 + (i % COLUMNS) * _PANEL[1] + 0.5
        bottom = height - _TOP - (i // COLUMNS + 1) * _PANEL[0] + 0.45
        box = (left / width, bottom / height, (_PANEL[1] - 0.7) / width, (_PANEL[0] - 0.85) / height)
        axes = figure.add_axes(box)
        _draw(axes, name, x, y, colour)
        if len(ends) <= 20:
            for end in ends:
                axes.axvline(end, color=style.GRID, linewidth=0.7, zorder=0.5)
        if i // COLUMNS == rows - 1 or i + COLUMNS >= len(panels):
            axes.set_xlabel("step")
    return figure


Panel = tuple[str, np.ndarray, np.ndarray, str]


def _step_panels(steps: Sequence[Row]) -> list[Panel]:
    """Name, steps, values and colour of each quantity of the step rows."""
    x = np.array([row.get("global_step", row["step"]) for row in steps], dtype=np.float64)
    names = list(dict.fromkeys(name for row in steps for name in row["losses"]))
    panels: list[Panel] = [("loss", x, _column([row["loss"] for row in steps]), style.INK)]
    colours = [c for c in style.PALETTE if c != "#000000"]
    for i, name in enumerate(names):
        values = _column([row["losses"].get(name) for row in steps])
        panels.append((f"loss: {name}", x, values, colours[i % len(colours)]))
    panels.append(("learning rate", x, _column([row["lr"] for row in steps]), style.FAINT))
    if any("images_per_second" in row for row in steps):
        speed = _column([row.get("images_per_second") for row in steps])
        panels.append(("images/s", x, speed, style.FAINT))
    return panels


def _validation_panels(epochs: Sequence[Row]) -> list[Panel]:
    """The same of the validation metrics in epoch rows, in percent."""
    rows = [row for row in epochs if row.get("validation")]
    names = list(dict.fromkeys(name for row in rows for name in row["validation"]))
    x = np.array([row["global_step"] for row in rows], dtype=np.float64)
    return [
        (
            f"validation {name} (%)",
            x,
            100.0 * _column([row["validation"].get(name) for row in rows]),
            style.INK,
        )
        for name in names
    ]


def _column(values: Sequence[float | None]) -> np.ndarray:
    """Values as floats, NaN where there is none: a gap in the line."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _draw(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """One quantity over the steps."""
    axes.set_title(name)
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)
    single = len(x) == 1
    smooth = len(x) >= 60 and name.startswith(("loss", "images"))
    axes.plot(
        x,
        y,
        color=colour,
        linewidth=0.8 if smooth else 1.6,
        alpha=0.35 if smooth else 1.0,
        marker="o" if single else "",
    )
    if smooth:
        axes.plot(x, running_mean(y, max(5, len(y) // 25)), color=colour, linewidth=1.6)
    if np.isfinite(y).any() and np.nanmin(y) >= 0:
        axes.set_ylim(0.0, 1.08 * max(float(np.nanmax(y)), 1e-12))  # from 0: heights can be compared


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
