"""One look for every figure: colours, fonts, and a page measured in inches.

Colours are Okabe and Ito's, which stay apart for the common forms of colour blindness; wherever a
colour carries a meaning, a mark, a shape or a word carries it too. Only matplotlib's objects are
used, never pyplot's global state, and a user's own ``matplotlibrc`` changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.image import AxesImage
from matplotlib.text import Text

from vireid_cli.printable import escaped, printable, printable_block
from vireid_cli.types import Modality

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#B8A900")
"""Okabe and Ito's eight; their yellow is darkened from #F0E442 so that a thin line shows on white."""

MODALITY_COLOUR = {Modality.VISIBLE: "#0072B2", Modality.INFRARED: "#D55E00"}
MODALITY_MARKER = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}

RIGHT = "#009E73"
WRONG = "#E31A1C"
"""A right and a wrong match; always beside ``RIGHT_MARK`` or ``WRONG_MARK``."""
RIGHT_MARK = "✓"
WRONG_MARK = "✗"

INK = "#1A1A1A"
FAINT = "#5F6368"
GRID = "#DADCE0"

TITLE_SIZE = 12.0
TEXT_SIZE = 9.0
SMALL_SIZE = 7.5
"""Font sizes in points; at 150 dpi the smallest is 16 pixels high."""

CLIP = (1.0, 99.0)
"""Percentiles between which values without a scale of their own are stretched to black and white."""

AMPLITUDE_COLOURS = "magma"
PHASE_COLOURS = "twilight"  # cyclic: −π and π are the same angle and the same colour

FONT = "DejaVu Sans"
"""It comes with matplotlib, so the same glyphs everywhere, ✓ and ✗ too."""

_SETTINGS = {
    "font.family": FONT,
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE + 1,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT_SIZE,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a file name is one
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": SMALL_SIZE + 0.5,
    "ytick.labelsize": SMALL_SIZE + 0.5,
    "legend.fontsize": SMALL_SIZE + 0.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "image.composite_image": False,  # SVG keeps each image at its own resolution
    "svg.fonttype": "path",  # letters as outlines: no font is needed to read the file
    "svg.hashsalt": "vireid",  # element names that would otherwise be random
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this project's style and restore matplotlib's settings afterwards; a decorator, too."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings must not change a figure
        matplotlib.rcParams.update(_SETTINGS)
        yield


def blank(width: float, height: float) -> Figure:
    """An empty figure of ``width`` × ``height`` inches with its own canvas."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def page(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty page whose coordinates are inches from its top left corner."""
    figure = blank(width, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)
    axes.set_autoscale_on(False)  # a picture that is placed must not move the page
    return figure, axes


def place(axes: Axes, image: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Put an image on a page.

    Args:
        axes: Of ``page``.
        image: (H, W, 3) floats in [0, 1], or uint8.
        box: (left, top, width, height) in inches.
    """
    left, top, width, height = box
    # not ``imshow``, which does much more: a page may hold a thousand images
    placed = AxesImage(axes, extent=(left, left + width, top + height, top), zorder=2.0)
    placed.set_data(as_bytes(image))
    axes.add_artist(placed).set_clip_on(False)


def frames(
    axes: Axes,
    boxes: Sequence[tuple[float, float, float, float]],
    colours: Sequence[str],
    width: float = 0.035,
) -> None:
    """Draw frames around the outside of images on a page, all at once.

    Args:
        axes: Of ``page``.
        boxes: (left, top, width, height) of each image in inches.
        colours: One a box.
        width: Inches.
    """
    # filled rectangles beneath: no white line can show where image and frame meet between pixels
    left, top, wide, high = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    x, y = np.stack([left - width, left + wide + width]), np.stack([top - width, top + high + width])
    corners = np.stack([x[[0, 1, 1, 0]], y[[0, 0, 1, 1]]]).T  # (n, 4, 2)
    axes.add_collection(
        PolyCollection(list(corners), facecolors=list(colours), linewidths=0, zorder=1.0), autolim=False
    )


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Pixels as uint8: [0, 1] → 0 to 255, rounded; uint8 stays. A quarter of the work for who draws them."""
    if image.dtype == np.uint8:
        return image
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def write(axes: Axes, x: float, y: float, text: str, size: float = TEXT_SIZE, **look: object) -> None:
    """Write ``text`` on a page, its top left corner ``x`` and ``y`` inches from the page's.

    ``look`` goes to matplotlib's text (``ha``, ``va``, ``color``, ``weight`` …).
    """
    axes.text(x, y, text, fontsize=size, **{"ha": "left", "va": "top", **look})  # type: ignore[arg-type]


def escape_letters(figure: Figure) -> None:
    """Show control characters, lone surrogates and letters without a glyph in our font as escapes.

    Bytes of a path that the locale could not read, but that are UTF-8, are read as such.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign in a name is one, wherever the text was made
        words = text.get_text()
        if not (words.isascii() and words.isprintable()):
            text.set_text(drawable(words))


def drawable(text: str) -> str:
    """Text in letters of the figures' font, line breaks kept; all others as escapes such as ``\\u7167``."""
    with suppress(UnicodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    text = printable_block(text)
    return "".join(c if c in "\n\t" or _has_glyph(c) else escaped(c) for c in text)


@cache
def _has_glyph(character: str) -> bool:
    font = get_font(findfont(FONT))
    return bool(font.get_char_index(ord(character)))


def add_note(figure: Figure, text: str) -> None:
    """Write a few small words into the figure's lower right corner."""
    width, height = figure.get_size_inches()
    look: dict[str, Any] = {"fontsize": SMALL_SIZE - 1.0, "color": FAINT, "ha": "right", "va": "bottom"}
    figure.text(1.0 - 0.04 / width, 0.03 / height, text, **look)


def coloured(values: np.ndarray, name: str, low: float, high: float) -> np.ndarray:
    """(…, 3) colours in [0, 1] of values (…) between ``low`` and ``high``; those outside get the end's."""
    shares = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(colormaps[name](shares))[..., :3]


def stretched(values: np.ndarray, about_zero: bool = False) -> np.ndarray:
    """Map values to grey levels or colours, (H, W, 3) in [0, 1].

    Args:
        values: (H, W) or (H, W, 3), any range; channels are stretched together.
        about_zero: Map 0 to mid-grey and ± the 99th percentile of the absolute value to white and
            black; otherwise the 1st and the 99th percentile become black and white.
    """
    if about_zero:
        reach = max(float(np.percentile(np.abs(values), CLIP[1])), 1e-12)
        low, high = -reach, reach
    else:
        low, high = (float(v) for v in np.percentile(values, CLIP))
    shares = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    return shares if shares.ndim == 3 else np.repeat(shares[..., None], 3, axis=2)


def colour_bar(axes: Axes, left: float, top: float, height: float, name: str, labels: Sequence[str]) -> None:
    """A colour bar on a page, two or three labels spread from its upper end to the lower; inches."""
    ramp = coloured(np.linspace(1.0, 0.0, 128)[:, None], name, 0.0, 1.0)
    place(axes, ramp, (left, top, 0.11, height))
    for i, label in enumerate(labels):
        at = i / (len(labels) - 1)
        side = ("top", "center", "bottom")[round(at * 2)]
        write(axes, left + 0.16, top + at * height, label, SMALL_SIZE, va=side)


def signed(value: float, decimals: int = 1) -> str:
    """A number with so many decimals and a real minus sign."""
    return f"{value:.{decimals}f}".replace("-", "−")


def shortened(text: str, most: int) -> str:
    """A name in at most so many characters: the end of a path tells more than its beginning."""
    text = printable(text)
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def fit(height: float, width: float, box_height: float, box_width: float) -> tuple[float, float]:
    """The largest (height, width) of the same proportions within a box."""
    scale = min(box_height / height, box_width / width)
    return height * scale, width * scale


def without_middle(text: str, inches: float) -> str:
    """A name that fits over a panel of so many inches in bold; both ends of a run's name tell something."""
    text, most = printable(text), int(inches * 10.5)
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 1]}…{text[-(most - most // 2) :]}"


COLOURS = 24
"""How many of ``colours`` differ."""


def colours(count: int) -> list[tuple[float, float, float]]:
    """``count`` colours: the palette, then it darkened, then lightened; 24 differ, then they repeat."""
    base = np.array([to_rgb(c) for c in PALETTE])  # (8, 3)
    dark, light = base * 0.6, 1.0 - (1.0 - base) * 0.55
    light[6] = 0.62  # lightened black: a grey that is no other's
    dark[6] = 0.36
    table = np.concatenate([base, dark, light])  # (24, 3)
    return [(float(r), float(g), float(b)) for r, g, b in table[np.arange(count) % len(table)]]


def series(number: int) -> tuple[str, str, str]:
    """Colour, line style and marker of the ``number``-th of several lines: any two of 24 differ in one."""
    lines = ("-", "--", "-.", ":")
    markers = ("o", "s", "^", "D", "v", "P", "X", "*")
    colour = PALETTE[number % len(PALETTE)]
    return colour, lines[(number + number // len(PALETTE)) % len(lines)], markers[number % len(markers)]


def checked_pixels(what: str, images: np.ndarray, dimensions: int = 3) -> None:
    """Refuse what is not RGB pixels with the channel last: in [0, 1], or uint8.

    Args:
        what: The array's name, for the message.
        images: (…, H, W, 3) float in [0, 1] or uint8, ``dimensions`` axes.
        dimensions: 3 for one image, 4 for several.

    Raises:
        ValueError: Wrong number of axes, another last axis, other integers, or values outside of [0, 1].
    """
    if images.ndim != dimensions or images.shape[-1] != 3 or 0 in images.shape[-3:]:
        wanted = "(H, W, 3)" if dimensions == 3 else "(k, H, W, 3)"
        raise ValueError(f"{what}: expected {wanted}, not {images.shape}")
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{what}: expected floats in [0, 1], not {images.dtype}")
    if images.size and not (images.min() >= -1e-6 and images.max() <= 1.0 + 1e-6):  # NaN fails, too
        raise ValueError(f"{what}: values outside of [0, 1]: {images.min():.3g} to {images.max():.3g}")
