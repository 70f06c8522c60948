"""Shared style of all figures: colours, fonts, and pages measured in inches.

The colours are those of Okabe and Ito, which remain distinct with the common forms of colour blindness.
A mark, a shape or a word always repeats the meaning of a colour. The figures use matplotlib's objects,
never pyplot's global state, and ignore the user's ``matplotlibrc``.
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

from vireid_cli.figures.pixels import as_bytes
from vireid_cli.printable import escape, printable, printable_block
from vireid_cli.types import Modality

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#B8A900")
"""Okabe and Ito's eight colours; yellow is darkened from #F0E442 to keep thin lines visible on white."""

MODALITY_COLOUR = {Modality.VISIBLE: "#0072B2", Modality.INFRARED: "#D55E00"}
MODALITY_MARKER = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}

RIGHT = "#009E73"
WRONG = "#E31A1C"
"""Colours of right and wrong matches; always used together with ``RIGHT_MARK`` or ``WRONG_MARK``."""
RIGHT_MARK = "✓"
WRONG_MARK = "✗"

INK = "#1A1A1A"
FAINT = "#5F6368"
GRID = "#DADCE0"

TITLE_SIZE = 12.0
TEXT_SIZE = 9.0
SMALL_SIZE = 7.5
"""Font sizes in points; at 150 dpi the smallest is 16 pixels high."""

HEADING = "heading"
"""``gid`` of the title and of the lines below it; figures without a title lack these texts."""

CLIP = (1.0, 99.0)
"""Percentiles that map to black and white for values without a fixed scale."""

AMPLITUDE_COLOURS = "magma"
PHASE_COLOURS = "twilight"  # cyclic: −π and π are the same angle and the same colour

FONT = "DejaVu Sans"
"""Font that ships with matplotlib, so all machines have the same glyphs, including ✓ and ✗."""

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
    "text.parse_math": False,  # show a dollar sign in a file name literally
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": SMALL_SIZE + 0.5,
    "ytick.labelsize": SMALL_SIZE + 0.5,
    "legend.fontsize": SMALL_SIZE + 0.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "image.composite_image": False,  # SVG keeps each image at its own resolution
    "svg.fonttype": "none",  # text as text; figures.svg embeds the font
    "pdf.fonttype": 42,  # text as text in an embedded TrueType font
    "svg.hashsalt": "vireid",  # makes element names deterministic
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the project's style and restore matplotlib's settings afterwards; also works as a decorator."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings must not change a figure
        matplotlib.rcParams.update(_SETTINGS)
        yield


def blank(width: float, height: float) -> Figure:
    """Create an empty figure of ``width`` × ``height`` inches with its own canvas."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def page(width: float, height: float) -> tuple[Figure, Axes]:
    """Create an empty page with coordinates in inches from the top left corner."""
    figure = blank(width, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)
    axes.set_autoscale_on(False)  # placing an image must not change the limits
    return figure, axes


def place(axes: Axes, image: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Place an image on a page.

    Args:
        axes: Axes created by ``page``.
        image: (H, W, 3) floats in [0, 1], or uint8.
        box: (left, top, width, height) in inches.
    """
    left, top, width, height = box
    # faster than ``imshow``: a page may contain a thousand images
    placed = AxesImage(axes, extent=(left, left + width, top + height, top), zorder=2.0)
    placed.set_data(as_bytes(image))
    axes.add_artist(placed).set_clip_on(False)


def frames(
    axes: Axes,
    boxes: Sequence[tuple[float, float, float, float]],
    colours: Sequence[str],
    width: float = 0.035,
) -> None:
    """Draw frames around images on a page, in one collection.

    Args:
        axes: Axes created by ``page``.
        boxes: (left, top, width, height) of each image in inches.
        colours: One colour per box.
        width: Width of the frames in inches.
    """
    # filled rectangles below the images: avoids white lines between image and frame
    left, top, wide, high = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    x, y = np.stack([left - width, left + wide + width]), np.stack([top - width, top + high + width])
    corners = np.stack([x[[0, 1, 1, 0]], y[[0, 0, 1, 1]]]).T  # (n, 4, 2)
    axes.add_collection(
        PolyCollection(list(corners), facecolors=list(colours), linewidths=0, zorder=1.0), autolim=False
    )


def write(axes: Axes, x: float, y: float, text: str, size: float = TEXT_SIZE, **look: object) -> None:
    """Write text on a page, with its top left corner at ``x``, ``y`` inches.

    ``look`` holds options of matplotlib's text (``ha``, ``va``, ``color``, ``weight`` …).
    """
    axes.text(x, y, text, fontsize=size, **{"ha": "left", "va": "top", **look})  # type: ignore[arg-type]


def escape_letters(figure: Figure) -> None:
    """Replace control characters, lone surrogates and letters without a glyph by escapes, in all texts.

    Bytes of a path that the locale could not decode are decoded as UTF-8 if possible.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # show dollar signs literally
        words = text.get_text()
        if not (words.isascii() and words.isprintable()):
            text.set_text(drawable(words))


def drawable(text: str) -> str:
    """Replace letters missing in the figures' font by escapes such as ``\\u7167``; keep line breaks."""
    with suppress(UnicodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    text = printable_block(text)
    return "".join(c if c in "\n\t" or _has_glyph(c) else escape(c) for c in text)


@cache
def _has_glyph(character: str) -> bool:
    font = get_font(findfont(FONT))
    return bool(font.get_char_index(ord(character)))


def add_heading(
    figure: Figure, title: str, subtitle: str, *, left: float, down: tuple[float, float], **look: Any
) -> None:
    """Write title and subtitle above a figure.

    Args:
        figure: Figure to write on.
        title: Text in bold.
        subtitle: One or more lines below it.
        left: Distance from the left edge in inches.
        down: Distances of both from the upper edge in inches.
        look: Further options of the subtitle's text.
    """
    width, height = figure.get_size_inches()
    x, title_at, subtitle_at = left / width, 1 - down[0] / height, 1 - down[1] / height
    same: dict[str, Any] = {"va": "top", "gid": HEADING}
    figure.text(x, title_at, title, fontsize=TITLE_SIZE, weight="bold", **same)
    figure.text(x, subtitle_at, subtitle, fontsize=SMALL_SIZE, color=FAINT, **same, **look)


def add_note(figure: Figure, text: str) -> None:
    """Write a small note into the lower right corner of the figure."""
    width, height = figure.get_size_inches()
    look: dict[str, Any] = {"fontsize": SMALL_SIZE - 1.0, "color": FAINT, "ha": "right", "va": "bottom"}
    figure.text(1.0 - 0.04 / width, 0.03 / height, text, **look)


def coloured(values: np.ndarray, name: str, low: float, high: float) -> np.ndarray:
    """Map values (…) between ``low`` and ``high`` to colours (…, 3) in [0, 1]; clips values outside."""
    shares = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(colormaps[name](shares))[..., :3]


def stretched(values: np.ndarray, about_zero: bool = False) -> np.ndarray:
    """Map values to grey levels or colours, (H, W, 3) in [0, 1].

    Args:
        values: (H, W) or (H, W, 3), any range; all channels share one scale.
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
    """Draw a colour bar on a page, in inches, with two or three labels from the upper to the lower end."""
    ramp = coloured(np.linspace(1.0, 0.0, 128)[:, None], name, 0.0, 1.0)
    place(axes, ramp, (left, top, 0.11, height))
    for i, label in enumerate(labels):
        at = i / (len(labels) - 1)
        side = ("top", "center", "bottom")[round(at * 2)]
        write(axes, left + 0.16, top + at * height, label, SMALL_SIZE, va=side)


def signed(value: float, decimals: int = 1) -> str:
    """Format a number with a fixed number of decimals and a typographic minus sign."""
    return f"{value:.{decimals}f}".replace("-", "−")


def shortened(text: str, most: int) -> str:
    """Shorten a name to at most ``most`` characters, keeping the end, which distinguishes paths best."""
    text = printable(text)
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def fit(height: float, width: float, box_height: float, box_width: float) -> tuple[float, float]:
    """Return the largest (height, width) with the same proportions that fits into a box."""
    scale = min(box_height / height, box_width / width)
    return height * scale, width * scale


def without_middle(text: str, inches: float) -> str:
    """Shorten a name in the middle to fit, in bold, over a panel of ``inches`` width."""
    text, most = printable(text), int(inches * 10.5)
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 1]}…{text[-(most - most // 2) :]}"


COLOURS = 24
"""Number of distinct colours of ``colours``."""


def colours(count: int) -> list[tuple[float, float, float]]:
    """Return ``count`` colours: the palette, a darker and a lighter palette; they repeat after 24."""
    base = np.array([to_rgb(c) for c in PALETTE])  # (8, 3)
    dark, light = base * 0.6, 1.0 - (1.0 - base) * 0.55
    light[6] = 0.62  # lightened black: a distinct grey
    dark[6] = 0.36
    table = np.concatenate([base, dark, light])  # (24, 3)
    return [(float(r), float(g), float(b)) for r, g, b in table[np.arange(count) % len(table)]]


def series(number: int) -> tuple[str, str, str]:
    """Return colour, line style and marker of the ``number``-th line; unique for up to 24 lines."""
    lines = ("-", "--", "-.", ":")
    markers = ("o", "s", "^", "D", "v", "P", "X", "*")
    colour = PALETTE[number % len(PALETTE)]
    return colour, lines[(number + number // len(PALETTE)) % len(lines)], markers[number % len(markers)]
