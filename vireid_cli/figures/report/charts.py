"""Charts of a report as plain values: CMC with bands, distances, training curves, t-SNE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_cli.figures.report.parts import Chart
from vireid_cli.types import Modality

MOST_POINTS = 240
"""Points of a training curve; more are averaged in equal stretches."""


def cmc_chart(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray | None, np.ndarray | None]],
    chance: np.ndarray | None,
) -> Chart:
    """CMC of each run, its band, and the chance level.

    Args:
        curves: (name, values, low, high), (K,) each in [0, 1]; bounds None: no band.
        chance: (K,) or None.
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
    said = "; ".join(f"{name} Rank-1 {100 * values[0]:.1f} %" for name, values, *_ in curves)
    return Chart("Cumulative matching characteristic, %", f"CMC over ranks. {said}.", spec)


def _floor(series: Sequence[Mapping[str, Any]]) -> float:
    """Where the axis begins: 0 unless everything lies in the upper half."""
    lowest = min(min(one.get("low", one["y"])) for one in series)
    return 50.0 if lowest > 55 else 0.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """Distances of one person's images and of two people's, across modality, counted.

    Attributes:
        name: Of the run; empty: there is one only.
        intra, inter: (B,) pairs in each bin.
        means: Of the distances of one person's images, and of two people's.
    """

    name: str
    intra: np.ndarray
    inter: np.ndarray
    means: tuple[float, float]


def distance_charts(edges: np.ndarray, runs: Sequence[Histogram]) -> list[Chart]:
    """A chart a run, all on one scale.

    Args:
        edges: (B + 1,) of the bins.
        runs: One or more.
    """
    some = np.flatnonzero(sum(run.intra + run.inter for run in runs))
    first, last = int(some[0]), int(some[-1]) + 1
    starts = np.arange(first, last, max(1, (last - first) // 50))
    found = [_distance_chart(edges, run, starts, last) for run in runs]
    top = max(max(one["y"]) for chart in found for one in chart.spec["series"])
    for chart in found:
        chart.spec["y"]["max"] = 1.08 * top
    return found


def _distance_chart(edges: np.ndarray, run: Histogram, starts: np.ndarray, last: int) -> Chart:
    """One run's histograms, bins from each of ``starts`` to the next, the last one up to ``last``."""
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
    said = f"Mean distance of one person's images {means[0]:.3f}, of two people's {means[1]:.3f}."
    return Chart(f"{run.name}, share of pairs, %" if run.name else "Share of pairs, %", said, spec)


def training_charts(logs: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[Chart]:
    """Loss, its terms, learning rate and validation over steps, a chart each, a line a run.

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
    """(title, steps, values) of everything a log holds; NaN where a term was off."""
    steps = [row for row in rows if row.get("kind") == "step"]
    epochs = [row for row in rows if row.get("kind") == "epoch" and row.get("val")]
    found = []
    x = np.array([row["global_step"] for row in steps], dtype=np.float64)
    terms = list(dict.fromkeys(term for row in steps for term in row["losses"]))
    if steps:
        found.append(("loss", x, _column([row["loss"] for row in steps])))
    if len(terms) > 1:
        found += [(f"loss: {t}", x, _column([row["losses"].get(t) for row in steps])) for t in terms]
    for name in dict.fromkeys(name for row in steps for name in row.get("monitors", ())):
        values = _column([row.get("monitors", {}).get(name) for row in steps])
        found.append((f"monitor: {name}", x, values))
    if steps:
        found.append(("learning rate", x, _column([row["lr"] for row in steps])))
    ends = np.array([row["global_step"] for row in epochs], dtype=np.float64)
    for name in dict.fromkeys(name for row in epochs for name in row["val"]):
        found.append((f"validation {name}, %", ends, 100 * _column([row["val"].get(name) for row in epochs])))
    return found


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
    """At most ``MOST_POINTS`` points: means over equal stretches, gaps left out of them."""
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
    """Embeddings on a plane.

    Args:
        name: Of the run.
        points: (N, 2) of ``figures.tsne.tsne_points``.
        pids: (N,).
        camids: (N,); None: the dataset has no cameras to tell apart.
        modalities: (N,) ``Modality.code``.
        images: (N,) which of the report's images each is, -1: none.
    """
    reach = float(np.ptp(points, axis=0).max()) or 1.0
    # one scale for both axes; the wider one lies, for a page is wider than it is high
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
    said = f"{len(people)} people, {counts[0]} visible and {counts[1]} infrared images."
    return Chart(name, f"t-SNE of embeddings: {said}", spec)


def _series(name: str, css: str, x: np.ndarray, y: np.ndarray, digits: int | None) -> dict[str, Any]:
    return {"name": name, "css": css, "x": _numbers(x, 4), "y": _numbers(y, digits)}


def _numbers(values: np.ndarray, digits: int | None) -> list[float | int | None]:
    """Short numbers for JSON: rounded (None: 5 significant digits), whole ones as integers, NaN null."""
    found: list[float | int | None] = []
    for value in np.asarray(values, dtype=np.float64).tolist():
        if value != value:
            found.append(None)
            continue
        short = float(f"{value:.5g}") if digits is None else round(value, digits)
        found.append(int(short) if short == int(short) else short)
    return found
