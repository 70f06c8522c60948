"""t-SNE planes of runs and components, coloured by modality and by identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from vireid_cli.errors import UsageError
from vireid_cli.figures import style
from vireid_cli.types import Modality

MOST_NAMED = 60
"""Maximum number of identities that are labelled beside their points."""

By = Literal["both", "modality", "identity"]

_PANELS = (5.6, 5.6, 4.4, 3.7)
"""Width of a panel in inches by the number of columns; the last value applies to more columns."""

_GAP, _LOWER, _ABOVE = 0.3, 0.55, 0.32
"""Inches between columns, below the panels, and above each panel for its title."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Points of one component of one run; all planes of a figure show the same images.

    Attributes:
        run: Name of the run.
        component: Name of the component.
        points: (N, 2) points of ``tsne.tsne_points``.
    """

    run: str
    component: str
    points: np.ndarray


@style.styled()
def planes_figure(
    planes: Sequence[Plane],
    pids: np.ndarray,
    modalities: np.ndarray,
    by: By = "both",
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw planes coloured by modality, by identity, or both.

    Circles are visible, triangles infrared, in all panels. Columns are the runs if there are several, else
    the components, else the colourings; the other two are rows.

    Args:
        planes: One plane per run and component, all with the same N images in the same order.
        pids: (N,) integers.
        modalities: (N,) ``Modality.code``.
        by: Colouring: ``both``, ``modality`` or ``identity``.
        title, subtitle: Text above the figure.

    Raises:
        ValueError: Lengths differ, ``by`` is unknown, or a run lacks a component.
        UsageError: A single identity, or one modality is missing.
    """
    for plane in planes:
        _check(plane.points, pids, modalities, by)
    rows = _arranged(planes, by)
    several = len({plane.run for plane in planes}) > 1
    columns = len(rows[0])
    panel = _PANELS[min(columns, len(_PANELS)) - 1]
    top = 0.68 + (0.28 if several else 0.0)
    width = _GAP + columns * (panel + _GAP)
    height = top + len(rows) * (panel + _ABOVE) + _LOWER
    figure = style.blank(width, height)
    style.add_heading(figure, title, subtitle, left=0.3, down=(0.18, 0.45))
    for i, row in enumerate(rows):
        for j, (plane, way) in enumerate(row):
            left, under = _GAP + j * (panel + _GAP), height - top - (i + 1) * (panel + _ABOVE)
            axes = figure.add_axes((left / width, under / height, panel / width, panel / height))
            if several and i == 0:
                at = (left / width, 1 - (top - 0.04) / height)
                figure.text(
                    *at, style.without_middle(plane.run, panel), fontsize=style.TEXT_SIZE + 2, va="bottom"
                )
            _frame(axes, plane.points)
            draw = _by_modality if way == "modality" else _by_identity
            draw(axes, plane.points, pids, modalities, panel)
            if len(planes) > 1:
                axes.set_title(f"{plane.component}, {axes.get_title(loc='left')}")
    _legend(figure, by != "identity")
    return figure


def _arranged(planes: Sequence[Plane], by: By) -> list[list[tuple[Plane, str]]]:
    """Arrange the planes as rows of (plane, colouring)."""
    ways = ("modality", "identity") if by == "both" else (by,)
    runs = list(dict.fromkeys(plane.run for plane in planes))
    components = list(dict.fromkeys(plane.component for plane in planes))
    by_name = {(plane.run, plane.component): plane for plane in planes}
    if len(by_name) != len(planes) or len(by_name) != len(runs) * len(components) or not planes:
        raise ValueError(f"{len(planes)} planes of {len(runs)} runs and {len(components)} components")
    if len(runs) > 1:
        return [[(by_name[run, component], way) for run in runs] for component in components for way in ways]
    if len(components) > 1:
        return [[(by_name[runs[0], component], way) for component in components] for way in ways]
    return [[(planes[0], way) for way in ways]]


def _check(points: np.ndarray, pids: np.ndarray, modalities: np.ndarray, by: str) -> None:
    """Raise if the arrays cannot be drawn."""
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) == len(pids) == len(modalities):
        raise ValueError(f"points {points.shape}, pids {pids.shape}, modalities {modalities.shape}")
    if by not in ("both", "modality", "identity"):
        raise ValueError(f"by: '{by}'")
    if len(np.unique(pids)) < 2:
        raise UsageError("t-SNE needs at least two people.", "Choose two or more: --ids 24.")
    for modality in Modality:
        if not (modalities == modality.code).any():
            raise UsageError(
                f"None of the {len(points)} images is {modality.value}.",
                "Choose people with images in both modalities.",
            )


def _frame(axes: Axes, points: np.ndarray) -> None:
    """Set equal scales, a thin frame and no ticks, since t-SNE's axes have no unit."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.GRID)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, max(float((high - low).max()) * 0.54, 1e-6)
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)


def _size(count: int, panel: float) -> float:
    """Compute the area of a marker in square points: smaller for many points and on small panels."""
    return float(np.clip(9000.0 / count, 8.0, 46.0)) * (panel / _PANELS[0]) ** 1.5


def _by_modality(
    axes: Axes, points: np.ndarray, pids: np.ndarray, modalities: np.ndarray, panel: float
) -> None:
    axes.set_title("by modality")
    for modality in Modality:
        selected = points[modalities == modality.code]
        axes.scatter(
            selected[:, 0],
            selected[:, 1],
            s=_size(len(points), panel),
            marker=style.MODALITY_MARKER[modality],
            facecolor=style.MODALITY_COLOUR[modality],
            edgecolor="white",
            linewidth=0.4,
            alpha=0.85,
        )


def _by_identity(
    axes: Axes, points: np.ndarray, pids: np.ndarray, modalities: np.ndarray, panel: float
) -> None:
    people = np.unique(pids)
    repeat = f"; colours repeat after {style.COLOURS}" if len(people) > style.COLOURS else ""
    axes.set_title(f"by identity ({len(people)}{repeat})")
    table = np.array(style.colours(len(people)))[np.searchsorted(people, pids)]  # (N, 3)
    for modality in Modality:
        selected = modalities == modality.code
        axes.scatter(
            points[selected, 0],
            points[selected, 1],
            s=_size(len(points), panel),
            marker=style.MODALITY_MARKER[modality],
            facecolor=table[selected],
            edgecolor="white",
            linewidth=0.4,
            alpha=0.9,
        )
    if len(people) <= MOST_NAMED:
        _name(axes, points, pids, panel)


def _name(axes: Axes, points: np.ndarray, pids: np.ndarray, panel: float) -> None:
    """Write each pid above the densest part of its points, without overlaps."""
    people = np.unique(pids)
    reach = axes.get_xlim()[1] - axes.get_xlim()[0]
    inches = points * panel / reach
    above = np.array([_above(inches[pids == pid]) for pid in people])
    middle = np.array([sum(axes.get_xlim()), sum(axes.get_ylim())]) / 2 * panel / reach
    inside = panel / 2 - np.array([0.16, 0.09])
    places = np.clip(separate_boxes(above, (0.3, 0.16)), middle - inside, middle + inside) * reach / panel
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
    """Compute the position of a label (2,): above the point with the most neighbours within 0.4 inches."""
    near = np.abs(points[:, None] - points[None]).max(axis=2) < 0.4  # (n, n)
    spot = points[near[near.sum(axis=1).argmax()]]
    return np.array([np.median(spot[:, 0]), spot[:, 1].max() + 0.13])


def _readable(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """Darken a colour until letters are readable on white."""
    light = 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]
    share = min(1.0, 0.38 / max(light, 1e-6))
    return (colour[0] * share, colour[1] * share, colour[2] * share)


def separate_boxes(centres: np.ndarray, box: tuple[float, float], rounds: int = 200) -> np.ndarray:
    """Move boxes of (width, height) apart until none overlap, in at most ``rounds`` iterations.

    Args:
        centres: (n, 2) centres of the boxes.
        box: Width and height of all boxes, in the unit of ``centres``.
        rounds: Maximum number of iterations.
    """
    places = centres.astype(np.float64).copy()
    # a fixed offset separates identical centres
    places += 1e-3 * np.stack([np.cos(np.arange(len(places))), np.sin(np.arange(len(places)))], axis=1)
    for _ in range(rounds):
        gap = places[:, None] - places[None]  # (n, n, 2)
        overlap = np.array(box) - np.abs(gap)
        overlap[np.arange(len(places)), np.arange(len(places))] = 0.0
        hit: np.ndarray = np.all(overlap > 0, axis=2)
        if not hit.any():
            break
        short = overlap.argmin(axis=2)  # separate along the axis with the smaller overlap
        step = np.zeros_like(gap)
        np.put_along_axis(step, short[..., None], overlap.min(axis=2)[..., None], axis=2)
        places += (np.sign(gap) * step * hit[..., None]).sum(axis=1) * 0.3
    return places


def _legend(figure: Figure, coloured: bool) -> None:
    """Add a legend of the markers, in the modality's colour if a panel uses it."""
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
