"""Charts of a report as plain values: CMC with intervals, distances, training curves, t-SNE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_cli.figures.report.parts import Chart
from vireid_cli.types import Modality

MOST_POINTS = 240
"""Maximum number of points of a training curve; longer curves are averaged over equal intervals."""


def cmc_chart(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray | None, np.ndarray | None]],
    chance: np.ndarray | None,
) -> Chart:
    """Build the CMC chart of all runs, with intervals and chance level.

    Args:
        curves: (name, values, low, high) with (K,) arrays in [0, 1]; bounds may be None.
        chance: (K,) chance level, or None.
    """
    series = []
    for run, (name, values, low, high) in enumerate(curves):
        one = _series(name, f"run{run}", np.arange(1, len(values) + 1), 100 * values, 2)
        if low is not None and high is not None:
            one |= {"low": _numbers(100 * low, 2), "high": _numbers(100 * high, 2)}
        series.append(one)
    if chance is not None:
        series.append(_series("chance", "chancel", np.arange(1, len(chance) + 1), 100 * chance, 2))
    ranks = max(len(values) for _, values, *_ in curves)
    ticks = [rank for rank in (1, 5, 10, 15, 20, 30, 40, 50) if rank <= ranks]
    spec = {
        "kind": "lines",
        "x": {"label": "rank", "min": 1, "max": ranks, "ticks": ticks},
        "y": {"min": _floor(series), "max": 100, "unit": " %"},
        "series": series,
        "legend": ["band: 95 %"],
    }
    summary = "; ".join(f"{name} Rank-1 {100 * values[0]:.1f} %" for name, values, *_ in curves)
    return Chart("Cumulative matching characteristic, %", f"CMC over ranks. {summary}.", spec)


def _floor(series: Sequence[Mapping[str, Any]]) -> float:
    """Return the start of the axis: 0, or 50 if all values exceed 55."""
    lowest = min(min(one.get("low", one["y"])) for one in series)
    return 50.0 if lowest > 55 else 0.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """Histograms of visible–infrared distances within one identity and between two.

    Attributes:
        name: Name of the run; empty for a single run.
        intra, inter: (B,) numbers of pairs per bin.
        means: Mean distance within one identity and between two.
    """

    name: str
    intra: np.ndarray
    inter: np.ndarray
    means: tuple[float, float]


def distance_charts(edges: np.ndarray, runs: Sequence[Histogram]) -> list[Chart]:
    """Build one chart per run, all with the same scale.

    Args:
        edges: (B + 1,) edges of the bins.
        runs: Histograms of one or more runs.
    """
    occupied = np.flatnonzero(sum(run.intra + run.inter for run in runs))
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    starts = np.arange(first, last, max(1, (last - first) // 50))
    charts = [_distance_chart(edges, run, starts, last) for run in runs]
    top = max(max(one["y"]) for chart in charts for one in chart.spec["series"])
    for chart in charts:
        chart.spec["y"]["max"] = 1.08 * top
    return charts


def _distance_chart(edges: np.ndarray, run: Histogram, starts: np.ndarray, last: int) -> Chart:
    """Build the chart of one run; bins span from each of ``starts`` to the next, the last to ``last``."""
    means = run.means
    series = []
    for label, css, counts in (("one person", "intra", run.intra), ("two people", "inter", run.inter)):
        shares = 100 * np.add.reduceat(counts[:last], starts) / counts.sum()
        x = np.append(edges[starts], edges[last])
        series.append(_series(label, css, x, np.append(shares, shares[-1]), 3) | {"area": True, "step": True})
    delta = means[1] - means[0]
    spec = {
        "kind": "lines",
        "x": {"label": "cosine distance", "min": float(edges[starts[0]]), "max": float(edges[last])},
        "y": {"min": 0, "unit": " %"},
        "series": series,
        "marks": [{"x": round(m, 4), "css": css} for m, css in zip(means, ("intra", "inter"), strict=True)],
        "legend": [f"means {means[0]:.3f} and {means[1]:.3f}", f"δ = {delta:.3f}"],
    }
    summary = f"Mean distance of one person's images {means[0]:.3f}, of two people's {means[1]:.3f}."
    return Chart(f"{run.name}, share of pairs, %" if run.name else "Share of pairs, %", summary, spec)


def training_charts(logs: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[Chart]:
    """Build charts of loss, loss terms, learning rate and validation over steps, one line per run.

    Args:
        logs: (name, rows of ``train.jsonl``).
    """
    panels: dict[str, list[dict[str, Any]]] = {}
    for run, (name, rows) in enumerate(logs):
        for title, steps, values in _quantities(rows):
            x, y = _thinned(steps, values)
            panels.setdefault(title, []).append(_series(name, f"run{run}", x, y, None))
    kinds = ("loss", "monitor", "learning rate", "validation")
    order = sorted(
        panels, key=lambda title: next(i for i, kind in enumerate(kinds) if title.startswith(kind))
    )
    return [_panel(title, panels[title]) for title in order]


def _quantities(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Collect (title, steps, values) of all quantities in a log; NaN marks inactive terms."""
    steps = [row for row in rows if row.get("kind") == "step"]
    epochs = [row for row in rows if row.get("kind") == "epoch" and row.get("val")]
    quantities = []
    x = np.array([row["global_step"] for row in steps], dtype=np.float64)
    terms = list(dict.fromkeys(term for row in steps for term in row["losses"]))
    if steps:
        quantities.append(("loss", x, _column([row["loss"] for row in steps])))
    if len(terms) > 1:
        quantities += [(f"loss: {t}", x, _column([row["losses"].get(t) for row in steps])) for t in terms]
    for name in dict.fromkeys(name for row in steps for name in row.get("monitors", ())):
        values = _column([row.get("monitors", {}).get(name) for row in steps])
        quantities.append((f"monitor: {name}", x, values))
    if steps:
        quantities.append(("learning rate", x, _column([row["lr"] for row in steps])))
    ends = np.array([row["global_step"] for row in epochs], dtype=np.float64)
    for name in dict.fromkeys(name for row in epochs for name in row["val"]):
        quantities.append(
            (f"validation {name}, %", ends, 100 * _column([row["val"].get(name) for row in epochs]))
        )
    return quantities


def _panel(title: str, series: list[dict[str, Any]]) -> Chart:
    values = [y for one in series for y in one["y"] if y is not None]
    top = max(values, default=1.0)
    low = min(0.0, min(values, default=0.0))
    spec = {
        "kind": "lines",
        "x": {"label": "step", "min": 0, "max": max(max(one["x"]) for one in series)},
        "y": {"min": low, "max": low + 1.08 * (top - low) or 1.0},
        "series": series,
    }
    ends = ", ".join(f"{one['name']} ends at {_last(one['y'])}" for one in series)
    return Chart(title, f"Over training steps; {ends}.", spec)


def _last(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[-1]:.4g}" if known else "nothing"


def _column(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a curve to at most ``MOST_POINTS`` points: means over equal intervals, without gaps."""
    if len(x) <= MOST_POINTS:
        return x, y
    slot = np.arange(len(x)) * MOST_POINTS // len(x)
    known = np.isfinite(y)
    counts = np.bincount(slot[known], minlength=MOST_POINTS)
    sums = np.bincount(slot[known], y[known], MOST_POINTS)
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
    return np.bincount(slot, x) / np.bincount(slot), means


def tsne_chart(
    name: str,
    points: np.ndarray,
    pids: np.ndarray,
    camids: np.ndarray | None,
    modalities: np.ndarray,
    images: np.ndarray,
) -> Chart:
    """Build the t-SNE chart of embeddings.

    Args:
        name: Name of the run.
        points: (N, 2) points of ``figures.tsne.tsne_points``.
        pids: (N,) identity labels.
        camids: (N,) camera numbers; None for datasets without camera labels.
        modalities: (N,) ``Modality.code``.
        images: (N,) index into the report's images; -1 without an image.
    """
    reach = float(np.ptp(points, axis=0).max()) or 1.0
    # one scale for both axes; the wider one is horizontal, since a page is wider than high
    turned = points[:, ::-1] if np.ptp(points[:, 1]) > np.ptp(points[:, 0]) else points
    places = np.round(1000 * (turned - turned.min(axis=0)) / reach).astype(int)  # (N, 2)
    people = np.unique(pids)
    spec = {
        "kind": "points",
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "height": int(places[:, 1].max()),
        "pid": pids.tolist(),
        "camera": None if camids is None else camids.tolist(),
        "modality": modalities.astype(int).tolist(),
        "image": images.tolist(),
        "people": people.tolist(),
    }
    counts = [int((modalities == m.code).sum()) for m in Modality]
    summary = f"{len(people)} people, {counts[0]} visible and {counts[1]} infrared images."
    return Chart(name, f"t-SNE of embeddings: {summary}", spec)


def _series(name: str, css: str, x: np.ndarray, y: np.ndarray, digits: int | None) -> dict[str, Any]:
    return {"name": name, "css": css, "x": _numbers(x, 4), "y": _numbers(y, digits)}


def _numbers(values: np.ndarray, digits: int | None) -> list[float | int | None]:
    """Convert to short JSON numbers: rounded (None: 5 significant digits), integers if whole, NaN as null."""
    numbers: list[float | int | None] = []
    for value in np.asarray(values, dtype=np.float64).tolist():
        if value != value:
            numbers.append(None)
            continue
        short = float(f"{value:.5g}") if digits is None else round(value, digits)
        numbers.append(int(short) if short == int(short) else short)
    return numbers
