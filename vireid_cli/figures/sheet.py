"""Contact sheet: a labelled grid of images of a dataset or a transformation."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vireid_cli.errors import UsageError
from vireid_cli.figures import style
from vireid_cli.figures.pixels import checked_pixels

_CELL = (1.5, 0.8)  # inches: largest image
_GAP = 0.1
_LINE = 0.135
_LEFT = 0.2
_LETTER = 0.102  # inches per letter of the title
_SMALL_LETTER = 0.063  # inches per letter of the subtitle
_TITLE_LINE = 0.21
_NARROW = 3.4  # inches: longer titles are wrapped


@style.styled()
def contact_sheet(
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    columns: int,
    title: str = "",
    frames: Sequence[str | None] | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw images row by row, each as large as its cell allows, with a label below.

    Args:
        images: (H, W, 3) pixels, uint8 or in [0, 1], each; sizes may differ.
        labels: One label per image, with one or more lines; no space is reserved if all are empty.
        columns: Images per row, 1 or more.
        title: Text above the grid, wrapped to its width; empty draws no title.
        frames: Frame colour of each image (``style.MODALITY_COLOUR``), or None.
        subtitle: Smaller text below the title, wrapped likewise.

    Raises:
        ValueError: Numbers of images, labels and frames differ, or ``columns`` is below 1.
        UsageError: No image.
    """
    if not images:
        raise UsageError("No image to draw.", "Choose other people or cameras.")
    if len(labels) != len(images) or (frames is not None and len(frames) != len(images)):
        raise ValueError(f"{len(images)} images, {len(labels)} labels, {frames and len(frames)} frames")
    if columns < 1:
        raise ValueError(f"{columns} columns")
    for i, image in enumerate(images):
        checked_pixels(f"image {i}", image)
    columns = min(columns, len(images))
    lines = max(label.count("\n") + 1 if label else 0 for label in labels)
    cell = _cell(images)
    row_height = cell[0] + lines * _LINE + (0.14 if lines else _GAP)
    rows = -(-len(images) // columns)
    wide = max(columns * (cell[1] + _GAP) - _GAP, min(_LETTER * len(title), _NARROW))
    heads = textwrap.wrap(title, int(wide / _LETTER)) if title else []
    about = textwrap.wrap(subtitle, int(wide / _SMALL_LETTER)) if subtitle else []
    below_title = 0.16 + _TITLE_LINE * len(heads)
    top = below_title + 0.05 + _LINE * len(about) + 0.13 if heads or about else _LEFT
    figure, axes = style.page(2 * _LEFT + wide, top + rows * row_height + 0.1)
    style.write(axes, _LEFT, 0.16, "\n".join(heads), style.TITLE_SIZE, weight="bold", gid=style.HEADING)
    if about:
        look = {"color": style.FAINT, "linespacing": 1.25, "gid": style.HEADING}
        style.write(axes, _LEFT, below_title + 0.02, "\n".join(about), style.SMALL_SIZE, **look)
    boxes = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, upper = _LEFT + (i % columns) * (cell[1] + _GAP), top + (i // columns) * row_height
        height, width = style.fit(image.shape[0], image.shape[1], *cell)
        # align bottoms, so that feet are at one height
        boxes.append((left + (cell[1] - width) / 2, upper + cell[0] - height, width, height))
        style.place(axes, image, boxes[-1])
        style.write(
            axes, left + cell[1] / 2, upper + cell[0] + 0.07, label, style.SMALL_SIZE - 0.5, ha="center"
        )
    framed = [i for i, colour in enumerate(frames or ()) if colour is not None]
    if framed:
        style.frames(axes, [boxes[i] for i in framed], [str(frames[i]) for i in framed])  # type: ignore[index]
    return figure


def _cell(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Compute the cell (height, width) in inches that fits every image, no larger than ``_CELL``."""
    fitted = [style.fit(image.shape[0], image.shape[1], *_CELL) for image in images]
    return max(height for height, _ in fitted), max(_CELL[1], max(width for _, width in fitted))
