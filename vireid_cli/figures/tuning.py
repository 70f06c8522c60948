"""Figures of a tuning study: values over trials, values over each key, and the importance of the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, style

Outcome = Literal["complete", "pruned", "failed"]

COLUMNS = 3
MOST_WORDS = 12
"""Largest number of categories with labels of their own."""

FEW_VALUES = 6
"""Largest number of different values that are all marked on the axis."""

_MARKERS: dict[str, tuple[str, str, str]] = {
    "complete": (style.PALETTE[0], "o", "complete"),
    "pruned": (style.PALETTE[1], "v", "pruned: last validation"),
    "failed": (style.FAINT, "x", "failed"),
}
_TOP = 0.85
_PANEL = (2.35, 3.1)  # inches, height and width with labels


@dataclass(frozen=True)
class TrialPoint:
    """One trial.

    Attributes:
        number: Its number.
        outcome: Its end.
        value: Objective in [0, 1]; of a pruned trial the last validation; NaN: it has none.
        settings: Values by key.
    """

    number: int
    outcome: Outcome
    value: float
    settings: Mapping[str, float | str]


@style.styled()
def history_figure(trials: Sequence[TrialPoint], objective: str, title: str, subtitle: str = "") -> Figure:
    """Draw the objective of each trial in percent, and the best value so far.

    Args:
        trials: At least one trial.
        objective: Name of the metric, beside the axis.
        title, subtitle: Text above the figure.

    Raises:
        UsageError: No trial has a value.
    """
    _check(trials)
    width = paper.width_or(6.4)
    height = _TOP + 2.9 + 0.95
    figure = style.blank(width, height)
    style.add_heading(figure, title, paper.wrapped(subtitle, width)[0], left=0.25, down=(0.16, 0.42))
    axes = figure.add_axes((0.75 / width, 0.95 / height, (width - 1.05) / width, 2.9 / height))
    complete = [trial for trial in trials if trial.outcome == "complete"]
    if complete:
        values = [trial.value for trial in complete]
        best = 100 * np.maximum.accumulate([*values, values[-1]])
        numbers = [*(trial.number for trial in complete), max(trial.number for trial in trials)]
        axes.step(numbers, best, where="post", color=style.INK, linewidth=1.4, label="best so far")
    low = 100 * min(trial.value for trial in trials if np.isfinite(trial.value))
    for outcome, (colour, marker, label) in _MARKERS.items():
        own = [trial for trial in trials if trial.outcome == outcome]
        y = [100 * trial.value if np.isfinite(trial.value) else low for trial in own]
        if own:
            axes.plot(
                [trial.number for trial in own], y, linestyle="", marker=marker, color=colour, label=label
            )
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{_metric(objective)} on validation identities, %")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.margins(x=0.04, y=0.1)
    axes.grid(True, axis="y")
    at = (0.7 / width, 0.1 / height)
    figure.legend(loc="lower left", bbox_to_anchor=at, borderaxespad=0.0, ncols=2 if width < 6 else 4)
    return figure


@style.styled()
def slices_figure(
    trials: Sequence[TrialPoint], keys: Mapping[str, bool], objective: str, title: str, subtitle: str = ""
) -> Figure:
    """Draw one panel per key: the objective of the trials in percent over the key's values.

    Args:
        trials: Trials; those without a value are left out.
        keys: Whether the axis of a key is logarithmic, by key. Words are categories.
        objective: Name of the metric, beside the axes.
        title, subtitle: Text above the figure.

    Raises:
        UsageError: No trial has a value.
    """
    _check(trials)
    shown = [trial for trial in trials if np.isfinite(trial.value)]
    natural = 0.4 + min(COLUMNS, len(keys)) * _PANEL[1]
    width = paper.width_or(max(natural, 4.6))
    columns = min(COLUMNS, len(keys), max(1, int(width / 2.2)))
    rows, panel = -(-len(keys) // columns), (width - 0.4) / columns
    height = _TOP + rows * _PANEL[0] + 0.4
    figure = style.blank(width, height)
    style.add_heading(figure, title, paper.wrapped(subtitle, width)[0], left=0.25, down=(0.16, 0.42))
    for i, (key, logarithmic) in enumerate(keys.items()):
        left = 0.75 + (i % columns) * panel
        bottom = height - _TOP - (i // columns + 1) * _PANEL[0] + 0.65
        box = (left / width, bottom / height, (panel - 0.75) / width, (_PANEL[0] - 0.85) / height)
        axes = figure.add_axes(box)
        _slice(axes, shown, key, logarithmic)
        axes.set_ylabel(f"{_metric(objective)}, %" if i % columns == 0 else "")
    handles = [
        axes.plot([], [], linestyle="", marker=marker, color=colour, label=label)[0]
        for outcome, (colour, marker, label) in _MARKERS.items()
        if any(trial.outcome == outcome for trial in shown)
    ]
    at = (0.7 / width, 0.1 / height)
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=at, borderaxespad=0.0, ncols=3)
    return figure


@style.styled()
def importance_figure(importance: Mapping[str, float], title: str, subtitle: str = "") -> Figure:
    """Draw the importance of each key as a bar, the largest at the top.

    Args:
        importance: Share in [0, 1] by key.
        title, subtitle: Text above the figure.

    Raises:
        UsageError: There is no key.
    """
    if not importance:
        raise UsageError("No importance to draw.", "The study needs more trials with results.")
    ordered = sorted(importance.items(), key=lambda item: item[1])
    labels = [style.shortened(key, 38) for key, _ in ordered]
    width = paper.width_or(6.4)
    left = min(0.35 * width + 0.4, 0.4 + 0.075 * max(map(len, labels)))
    height = _TOP + 0.32 * len(ordered) + 0.75
    figure = style.blank(width, height)
    style.add_heading(figure, title, paper.wrapped(subtitle, width)[0], left=0.25, down=(0.16, 0.42))
    box = (left / width, 0.6 / height, (width - left - 0.6) / width, 0.32 * len(ordered) / height)
    axes = figure.add_axes(box)
    shares = [100 * value for _, value in ordered]
    bars = axes.barh(np.arange(len(ordered)), shares, color=style.PALETTE[0], height=0.6)
    axes.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=3, fontsize=style.SMALL_SIZE)
    axes.set_yticks(np.arange(len(ordered)).tolist(), labels)
    axes.set_xlabel("share of the importance, %")
    axes.set_xlim(0.0, max(1.0, 1.1 * max(shares)))
    return figure


def _check(trials: Sequence[TrialPoint]) -> None:
    if not any(np.isfinite(trial.value) for trial in trials):
        raise UsageError("No trial has a result to draw.", "Continue the study: vireid tune STUDY")


def _metric(name: str) -> str:
    return name.replace("rank", "Rank-")


def _slice(axes: Axes, trials: Sequence[TrialPoint], key: str, logarithmic: bool) -> None:
    """Draw the trials over one key."""
    values = [trial.settings[key] for trial in trials]
    words = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    places = {word: float(i) for i, word in enumerate(sorted(words))}
    x = np.array([places[value] if isinstance(value, str) else float(value) for value in values])
    for outcome, (colour, marker, _) in _MARKERS.items():
        own = np.array([trial.outcome == outcome for trial in trials])
        y = np.array([100 * trial.value for trial in trials])[own]
        axes.plot(x[own], y, linestyle="", marker=marker, markersize=4.5, color=colour, alpha=0.85)
    if words:
        labels = [style.shortened(word, 12) for word in places]
        every = max(1, -(-len(labels) // MOST_WORDS))
        axes.set_xticks(list(places.values())[::every], labels[::every])
        axes.set_xlim(-0.6, len(places) - 0.4)
        if sum(map(len, labels)) > 20:
            for label in axes.get_xticklabels():
                label.set(rotation=30, ha="right", rotation_mode="anchor")
    elif logarithmic:
        _logarithmic_axis(axes, x)
    elif len(set(x)) <= FEW_VALUES:
        ticks = sorted(set(x.tolist()))
        span = max(ticks[-1] - ticks[0], 1e-12)
        apart = [i == 0 or tick - ticks[i - 1] > 0.14 * span for i, tick in enumerate(ticks)]
        labels = [f"{tick:g}" if shown else "" for tick, shown in zip(ticks, apart, strict=True)]
        axes.set_xticks(ticks, labels)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.set_xlabel(style.shortened(key, 34))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.margins(y=0.12)
    axes.grid(True, axis="y")


def _logarithmic_axis(axes: Axes, x: np.ndarray) -> None:
    """Set a logarithmic axis with plain numbers: powers of ten, or the ends within a factor of ten."""
    axes.set_xscale("log")
    low, high = float(x.min()), float(x.max())
    first, last = int(np.ceil(np.log10(low))), int(np.floor(np.log10(high)))
    powers = [10.0**power for power in range(first, last + 1)]
    every = max(1, -(-len(powers) // 4))
    ticks = powers[::every] if len(powers) > 1 else sorted({low, high})
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
