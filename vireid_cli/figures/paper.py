"""Figures in print: a given width, no title, and text of a readable size."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vireid_cli.figures import style

MARGIN = 0.06
"""Inches above a figure without a title."""

_SIDES, _LETTER, _LINE = 0.4, 0.062, 0.14
"""Inches beside the lines below a title, of their letters, and of a line."""

READABLE = 5.0
"""Smallest readable size of text in print, in points."""

_width: ContextVar[float | None] = ContextVar("width", default=None)


def remove_heading(figure: Figure) -> float:
    """Remove the title and the lines below it; returns the empty height at the top, in inches."""
    for text in figure.findobj(lambda artist: artist.get_gid() == style.HEADING):
        text.remove()
    dpi = 100
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = (np.asarray(canvas.buffer_rgba())[..., :3] < 255).any(axis=(1, 2))  # (rows,)
    return max(0.0, int(drawn.argmax()) / dpi - MARGIN) if drawn.any() else 0.0


def smallest_text(figure: Figure) -> float:
    """Return the size of the smallest text with letters, in points."""
    sizes = [float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text().strip()]
    return min(sizes, default=style.TEXT_SIZE)


@contextmanager
def print_width(inches: float | None) -> Iterator[None]:
    """Set the width of the charts that are drawn meanwhile; None: their own."""
    token = _width.set(inches)
    try:
        yield
    finally:
        _width.reset(token)


def width_or(inches: float) -> float:
    """Return the width of ``print_width``, or a chart's own width."""
    return _width.get() or inches


def wrapped(text: str, width: float) -> tuple[str, float]:
    """Break the lines below a title to fit a chart, if ``print_width`` is set.

    Args:
        text: The lines, in small letters.
        width: Width of the chart in inches.

    Returns:
        The text, and the height of the additional lines in inches.
    """
    if _width.get() is None:
        return text, 0.0
    most = max(10, int((width - _SIDES) / _LETTER))
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, most) or [""]]
    return "\n".join(lines), _LINE * (len(lines) - len(text.split("\n")))
