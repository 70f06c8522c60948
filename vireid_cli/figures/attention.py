"""Attention maps over images of people in both modalities, one row per run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid_cli.figures import style
from vireid_cli.figures.pixels import checked_pixels
from vireid_cli.types import Modality

COLOURS = "plasma"  # lightness increases with the value: readable without distinguishing hues
SEEN = "trained on"
"""Label of people that a run was trained on."""

OPACITY = 0.8
"""Share of the heat colour at heat 1; the remainder is the grey image."""

_EDGE = 0.25
_NAMES = 1.75  # inches of the column with the run names
_CELL = (1.45, 0.76)  # the largest image
_INNER = 0.06  # between the two images of a person
_OUTER = 0.24  # between people
_ROW_GAP = 0.3
_TOP = 1.12
_BAR = 0.62
_NARROWEST = 6.8  # minimum width for title and note


@dataclass(frozen=True)
class PersonImages:
    """Visible and infrared image of one person.

    Attributes:
        heading: Name of the person.
        details: Second line of the visible and of the infrared image, such as the camera.
        images: Visible and infrared image, (H, W, 3) pixels in [0, 1] each.
    """

    heading: str
    details: tuple[str, str]
    images: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Look:
    """Attention maps of one run for one person.

    Attributes:
        images: Images at the input size of the run, (H, W, 3) pixels in [0, 1] each.
        heat: Attention maps, (H, W) in [0, 1] each.
        cosine: Cosine similarity of the two embeddings, in [−1, 1].
        seen: Whether the run was trained on this person; labelled in the figure.
    """

    images: tuple[np.ndarray, np.ndarray]
    heat: tuple[np.ndarray, np.ndarray]
    cosine: float
    seen: bool = False

    def __post_init__(self) -> None:
        for image, heat in zip(self.images, self.heat, strict=True):
            checked_pixels("image", image)
            if heat.shape != image.shape[:2]:
                raise ValueError(f"heat: expected {image.shape[:2]}, not {heat.shape}")
            if not (heat.min() >= 0 and heat.max() <= 1):  # NaN fails, too
                raise ValueError(f"heat: values outside of [0, 1]: {heat.min():.3g} to {heat.max():.3g}")


@dataclass(frozen=True)
class RunRow:
    """One row of the figure: the attention maps of one run.

    Attributes:
        name: Method of the run.
        detail: Folder of the run.
        looks: Attention maps, one entry per person.
    """

    name: str
    detail: str
    looks: tuple[Look, ...]


@style.styled()
def attention_figure(people: Sequence[PersonImages], runs: Sequence[RunRow], title: str, note: str) -> Figure:
    """Draw people in columns of two images, visible and infrared, and one row of attention maps per run.

    Each map has its own scale from 0 to its maximum; the cosine of the embeddings is below each pair.

    Raises:
        ValueError: No person, no run, or a run without one look per person.
    """
    if not people or not runs or any(len(run.looks) != len(people) for run in runs):
        raise ValueError(f"{len(people)} people, looks: {[len(run.looks) for run in runs]}")
    height, width = people[0].images[0].shape[:2]
    cell = style.fit(height, width, _CELL[0], _CELL[1])
    right = _left(len(people), 0, cell[1])
    page_width = max(right + _BAR, _NARROWEST)
    foot = 0.24 + 0.13 * (note.count("\n") + 1)
    page_height = _row(len(runs) + 1, cell[0]) + foot
    figure, axes = style.page(page_width, page_height)
    style.write(
        axes,
        _EDGE,
        0.18,
        style.shortened(title, int(9 * (page_width - 2 * _EDGE))),
        style.TITLE_SIZE,
        weight="bold",
        gid=style.HEADING,
    )
    style.write(axes, _EDGE, _row(0, cell[0]), "image", weight="bold")
    for i, person in enumerate(people):
        _heading(axes, person, i, cell)
        for side in (0, 1):
            box = (_left(i, side, cell[1]), _row(0, cell[0]), cell[1], cell[0])
            style.place(axes, person.images[side], box)
    for j, run in enumerate(runs, start=1):
        top = _row(j, cell[0])
        style.write(axes, _EDGE, top, style.shortened(run.name, 20), weight="bold")
        style.write(axes, _EDGE, top + 0.2, _wrapped(run.detail), style.SMALL_SIZE, color=style.FAINT)
        for i, look in enumerate(run.looks):
            for side in (0, 1):
                box = (_left(i, side, cell[1]), top, cell[1], cell[0])
                style.place(axes, overlaid(look.images[side], look.heat[side]), box)
            middle = _left(i, 1, cell[1]) - _INNER / 2
            text = f"cosine of both {look.cosine:.2f}".replace("-", "−") + (f" · {SEEN}" if look.seen else "")
            colour = style.WRONG if look.seen else style.INK
            style.write(axes, middle, top + cell[0] + 0.05, text, style.SMALL_SIZE, ha="center", color=colour)
    _bar(axes, right, _row(1, cell[0]), cell[0])
    style.write(axes, _EDGE, page_height - foot, note, style.SMALL_SIZE, color=style.FAINT, linespacing=1.35)
    return figure


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend heat over a grey image, (H, W, 3); the opacity grows with the heat.

    Args:
        image: (H, W, 3) in [0, 1].
        heat: (H, W) in [0, 1].
    """
    grey = image.mean(axis=2, keepdims=True)
    share = OPACITY * heat[..., None]
    return (1 - share) * grey + share * style.coloured(heat, COLOURS, 0.0, 1.0)


def _left(person: int, side: int, width: float) -> float:
    """Distance in inches from the left edge of the page to an image; side 0 is visible, 1 infrared."""
    return _EDGE + _NAMES + person * (2 * width + _INNER + _OUTER) + side * (width + _INNER)


def _row(row: int, height: float) -> float:
    """Distance in inches from the top of the page to a row; row 0 contains the images."""
    return _TOP + row * (height + _ROW_GAP) - (0.14 if row else 0.0)


def _heading(axes: Axes, person: PersonImages, column: int, cell: tuple[float, float]) -> None:
    middle = _left(column, 1, cell[1]) - _INNER / 2
    style.write(axes, middle, _TOP - 0.56, person.heading, ha="center", weight="bold")
    for side, modality in enumerate(Modality):
        x = _left(column, side, cell[1]) + cell[1] / 2
        colour = style.MODALITY_COLOUR[modality]
        style.write(axes, x, _TOP - 0.37, modality.value, style.SMALL_SIZE, ha="center", color=colour)
        style.write(
            axes, x, _TOP - 0.21, person.details[side], style.SMALL_SIZE, ha="center", color=style.FAINT
        )


def _bar(axes: Axes, left: float, top: float, height: float) -> None:
    """Draw the colour bar of heat over a grey image."""
    ramp = overlaid(np.full((128, 1, 3), 0.6), np.linspace(1.0, 0.0, 128)[:, None])
    style.place(axes, ramp, (left, top, 0.11, height))
    style.write(axes, left + 0.16, top, "most", style.SMALL_SIZE)
    style.write(axes, left + 0.16, top + height, "none", style.SMALL_SIZE, va="bottom")


def _wrapped(text: str) -> str:
    """Wrap a run name to the width of its column, preferably after hyphens."""
    return "\n".join(textwrap.wrap(text, 24))
