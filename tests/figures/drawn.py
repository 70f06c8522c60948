"""Drawn elements of a figure, with their types."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection


def segments(axes: Axes) -> list[list[np.ndarray]]:
    """The segments of each collection of lines."""
    return [list(lines.get_segments()) for lines in axes.collections if isinstance(lines, LineCollection)]
