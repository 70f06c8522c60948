"""Embeddings as points on a plane: do the modalities mix, do the people separate?

Needs scikit-learn, the extra ``figures``.
"""

from __future__ import annotations

import importlib
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.figures import style
from vireid_cli.types import Modality

FEWEST_POINTS = 10
PRINCIPAL = 50
"""Principal components that are kept before t-SNE."""

MOST_NAMED = 60
"""Identities up to which each is named beside its points."""

By = Literal["both", "modality", "identity"]

_PANEL = 5.6  # inches


def tsne_points(features: np.ndarray, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Lay embeddings out on a plane, (N, 2): the same points for the same arguments, on any number of cores.

    Principal components first (at most 50), then t-SNE with cosine distances, started from the first
    two components.

    Args:
        features: (N, D), N ≥ 10.
        seed: Disturbs the start by a tenth: what another seed lays out differently is chance.
        perplexity: About the number of neighbours that count; taken down to (N − 1) / 3 where there
            are fewer points than that needs.

    Raises:
        MissingExtra: scikit-learn is not installed.
        ValueError: ``features`` is not (N, D), or holds numbers that are not finite.
        UsageError: Fewer than ten points.
    """
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features: expected (N, D) of finite numbers, not {features.shape}")
    if len(features) < FEWEST_POINTS:
        raise UsageError(
            f"{len(features)} images are too few for t-SNE; it needs {FEWEST_POINTS} or more.",
            "Choose more identities, e.g. --ids 24.",
        )
    try:
        threads = importlib.import_module("threadpoolctl")  # comes with scikit-learn
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtra("scikit-learn", "figures", "The t-SNE figure") from error
    data = features.astype(np.float64)
    nowhere = UsageError(
        "The embeddings lie on a line or a point: nothing to lay out.", "Train first: vireid train"
    )
    if not np.ptp(data, axis=0).any():
        raise nowhere
    kept = min(PRINCIPAL, *data.shape)
    with threads.threadpool_limits(limits=1):  # sums over several threads come out in another order each time
        data = PCA(n_components=kept, svd_solver="full").fit_transform(data)  # (N, kept)
        # rounding noise in place of a coordinate would become a direction of its own under the cosine
        data = data[:, data.std(axis=0) > 1e-9 * max(float(data.std()), 1e-30)]
        if data.shape[1] < 2:
            raise nowhere
        tsne = TSNE(
            n_components=2,
            perplexity=min(perplexity, (len(data) - 1) / 3),
            metric="cosine",
            init=_start(data, seed),
            learning_rate="auto",
            random_state=seed,
        )
        return np.asarray(tsne.fit_transform(data), dtype=np.float64)


def _start(components: np.ndarray, seed: int) -> np.ndarray:
    """Starting points, (N, 2) float32: the first two components at t-SNE's small scale, disturbed.

    From the components alone t-SNE draws nothing at random, and a seed would change nothing.
    """
    start = 1e-4 * components[:, :2] / components[:, 0].std()
    noise = np.random.default_rng(seed).normal(scale=1e-5, size=start.shape)
    return (start + noise).astype(np.float32)


@style.styled()
def tsne_figure(
    points: np.ndarray,
    pids: np.ndarray,
    modalities: np.ndarray,
    by: By = "both",
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw the plane coloured by modality, by identity, or both side by side.

    Circles are visible, triangles infrared, in every panel.

    Args:
        points: (N, 2), of ``tsne_points``.
        pids: (N,) integers.
        modalities: (N,) ``Modality.code``.
        by: Which panels.
        title, subtitle: Over the figure; what was embedded, which run.

    Raises:
        ValueError: Lengths differ, or ``by`` is unknown.
        UsageError: A single identity, or one modality is missing.
    """
    _check(points, pids, modalities, by)
    panels = ("modality", "identity") if by == "both" else (by,)
    width, height = 0.3 + len(panels) * (_PANEL + 0.3), _PANEL + 1.55
    figure = style.blank(width, height)
    figure.text(0.3 / width, 1 - 0.18 / height, title, fontsize=style.TITLE_SIZE, weight="bold", va="top")
    figure.text(
        0.3 / width, 1 - 0.45 / height, subtitle, fontsize=style.SMALL_SIZE, color=style.FAINT, va="top"
    )
    for i, panel in enumerate(panels):
        left = 0.3 + i * (_PANEL + 0.3)
        axes = figure.add_axes((left / width, 0.55 / height, _PANEL / width, _PANEL / height))
        _frame(axes, points)
        draw = _by_modality if panel == "modality" else _by_identity
        draw(axes, points, pids, modalities)
    _legend(figure, by != "identity")
    return figure


def _check(points: np.ndarray, pids: np.ndarray, modalities: np.ndarray, by: str) -> None:
    """Refuse what can't be drawn."""
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) == len(pids) == len(modalities):
        raise ValueError(f"points {points.shape}, pids {pids.shape}, modalities {modalities.shape}")
    if by not in ("both", "modality", "identity"):
        raise ValueError(f"by: '{by}'")
    if len(np.unique(pids)) < 2:
        raise UsageError("t-SNE of a single person shows nothing.", "Choose two or more: --ids 24.")
    for modality in Modality:
        if not (modalities == modality.code).any():
            raise UsageError(
                f"There is no {modality.value} image among the {len(points)}.",
                "Choose people who were seen in both modalities.",
            )


def _frame(axes: Axes, points: np.ndarray) -> None:
    """Equal scales, a thin frame, no ticks: t-SNE's axes have no unit."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.GRID)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, max(float((high - low).max()) * 0.54, 1e-6)
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)


def _size(count: int) -> float:
    """Area of a marker in square points: smaller where there are many."""
    return float(np.clip(9000.0 / count, 8.0, 46.0))


def _by_modality(axes: Axes, points: np.ndarray, pids: np.ndarray, modalities: np.ndarray) -> None:
    axes.set_title("by modality")
    for modality in Modality:
        mine = points[modalities == modality.code]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=_size(len(points)),
            marker=style.MODALITY_MARKER[modality],
            facecolor=style.MODALITY_COLOUR[modality],
            edgecolor="white",
            linewidth=0.4,
            alpha=0.85,
        )


def _by_identity(axes: Axes, points: np.ndarray, pids: np.ndarray, modalities: np.ndarray) -> None:
    people = np.unique(pids)
    axes.set_title(f"by identity ({len(people)})")
    table = np.array(style.colours(len(people)))[np.searchsorted(people, pids)]  # (N, 3)
    for modality in Modality:
        mine = modalities == modality.code
        axes.scatter(
            points[mine, 0],
            points[mine, 1],
            s=_size(len(points)),
            marker=style.MODALITY_MARKER[modality],
            facecolor=table[mine],
            edgecolor="white",
            linewidth=0.4,
            alpha=0.9,
        )
    if len(people) <= MOST_NAMED:
        _name(axes, points, pids)


def _name(axes: Axes, points: np.ndarray, pids: np.ndarray) -> None:
    """Write each pid above the middle of its points, moved apart where two would overlap."""
    people = np.unique(pids)
    reach = axes.get_xlim()[1] - axes.get_xlim()[0]
    inches = points * _PANEL / reach
    above = np.array([_above(inches[pids == pid]) for pid in people])
    places = _apart(above, (0.3, 0.16)) * reach / _PANEL
    colours = style.colours(len(people))
    for pid, place, colour in zip(people, places, colours, strict=True):
        axes.annotate(
            str(pid),
            (float(place[0]), float(place[1])),
            ha="center",
            va="center",
            fontsize=style.SMALL_SIZE,
            weight="bold",
            color=_readable(colour),
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _above(points: np.ndarray) -> np.ndarray:
    """Where a name goes: over those points that lie within 0.4 inches of the median, (2,)."""
    middle = np.median(points, axis=0)
    near = points[np.abs(points - middle).max(axis=1) < 0.4]
    top = near[:, 1].max() if len(near) else middle[1]
    return np.array([middle[0], top + 0.13])


def _readable(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """A colour darkened until letters in it stand out from white."""
    light = 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]
    share = min(1.0, 0.38 / max(light, 1e-6))
    return (colour[0] * share, colour[1] * share, colour[2] * share)


def _apart(centres: np.ndarray, box: tuple[float, float], rounds: int = 200) -> np.ndarray:
    """Push boxes of (width, height) apart until none overlap, or the rounds are over.

    Args:
        centres: (n, 2), in the unit of ``box``.
    """
    places = centres.astype(np.float64).copy()
    # a fixed nudge parts those that lie on one another
    places += 1e-3 * np.stack([np.cos(np.arange(len(places))), np.sin(np.arange(len(places)))], axis=1)
    for _ in range(rounds):
        gap = places[:, None] - places[None]  # (n, n, 2)
        overlap = np.array(box) - np.abs(gap)
        overlap[np.arange(len(places)), np.arange(len(places))] = 0.0
        hit: np.ndarray = np.all(overlap > 0, axis=2)
        if not hit.any():
            break
        short = overlap.argmin(axis=2)  # part along the axis that takes the smaller step
        step = np.zeros_like(gap)
        np.put_along_axis(step, short[..., None], overlap.min(axis=2)[..., None], axis=2)
        places += (np.sign(gap) * step * hit[..., None]).sum(axis=1) * 0.3
    return places


def _legend(figure: Figure, coloured: bool) -> None:
    """Say which shape is which modality; in its colour where a panel uses that."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=style.MODALITY_MARKER[modality],
            markersize=7,
            markerfacecolor=style.MODALITY_COLOUR[modality] if coloured else "#80868B",
            markeredgecolor="white",
            label=modality.value,
        )
        for modality in Modality
    ]
    figure.legend(handles=handles, loc="lower left", ncols=2, bbox_to_anchor=(0.01, 0.01), handletextpad=0.1)
