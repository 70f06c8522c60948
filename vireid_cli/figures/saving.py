"""Saving figures as PNG or SVG: atomic, and with identical bytes for identical figures."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vireid_cli.errors import UsageError
from vireid_cli.figures import style
from vireid_cli.files import write_with

Format = Literal["png", "svg"]

DESCRIPTION = "Description"
"""Metadata key in PNG and SVG files."""

MOST_PIXELS = 65_000
"""Maximum side of a PNG in pixels: matplotlib's canvas is limited to 2^16."""

LARGE = 5_000_000
"""Number of pixels above which a PNG is compressed less: a third of the time for 11 % more bytes. The file
is still no larger than matplotlib's own, which has an alpha channel."""


def chosen_format(path: Path, format: str | None) -> Format:
    """Choose the format by name, else by the path's suffix, else PNG.

    Raises:
        UsageError: A format other than png and svg, or one that contradicts the path's suffix.
    """
    ending = path.suffix.lower().lstrip(".")
    name = (format or ending or "png").lower()
    if name not in ("png", "svg"):
        raise UsageError(f"A figure can't be written as '{name}'.", "Choose --format png or --format svg.")
    if ending in ("png", "svg") and ending != name:
        raise UsageError(f"'{path.name}' ends in .{ending}, but the format is {name}.", "Change one of them.")
    return "svg" if name == "svg" else "png"


def checked(path: Path, format: str | None, dpi: int) -> Format:
    """Validate the options of ``save`` before a figure exists, and return the format.

    Raises:
        UsageError: As ``chosen_format``, or ``dpi`` is out of range.
    """
    if not 20 <= dpi <= 1200:
        raise UsageError(f"--dpi {dpi} is outside of 20 to 1,200.", "150 suits a screen, 300 a paper.")
    return chosen_format(path, format)


def save(
    figure: Figure,
    path: Path,
    format: str | None = None,
    dpi: int = 150,
    note: str | None = None,
    sources: str = "",
) -> Path:
    """Write a figure to a file, atomically, with identical bytes for identical figures.

    Args:
        figure: Figure returned by a function of this package.
        path: Target file; missing folders are created, and a missing .png or .svg suffix is added.
        format: ``png`` or ``svg``; None uses the path's suffix, else PNG.
        dpi: Pixels per inch, 20 to 1,200; a PNG has the figure's inches × ``dpi`` pixels.
        note: Important remark, written in small letters into the lower right corner.
        sources: Sources of the figure, stored in the file's metadata under ``Description``.

    Returns:
        Path of the file, including the suffix.

    Raises:
        UsageError: Unknown format, format that contradicts the suffix, ``dpi`` out of range, or a PNG that
            is too large.
    """
    name = checked(path, format, dpi)
    if name == "png" and (longest := dpi * max(figure.get_size_inches())) > MOST_PIXELS:
        fits = int(MOST_PIXELS / max(figure.get_size_inches()))
        raise UsageError(
            f"The figure would be {longest:,.0f} pixels long; a PNG holds {MOST_PIXELS:,}.",
            f"Show less, or use --dpi {fits} or less, or --format svg.",
        )
    target = path if path.suffix.lower() == f".{name}" else path.with_name(f"{path.name}.{name}")
    write = _write_png if name == "png" else _write_svg
    with style.styled():
        if note:
            style.add_note(figure, note)
        style.escape_letters(figure)
        return write_with(target, lambda file: write(figure, file, dpi, sources))


def _write_png(figure: Figure, file: IO[bytes], dpi: int, sources: str) -> None:
    """Draw and encode a PNG without the alpha channel of matplotlib's own PNG."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    pixels = canvas.buffer_rgba()
    drawn = Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1)
    effort = 6 if width * height < LARGE else 3
    about = PngInfo()
    if sources:
        about.add_itxt(DESCRIPTION, sources)
    drawn.convert("RGB").save(file, "PNG", compress_level=effort, dpi=(dpi, dpi), pnginfo=about)


def _write_svg(figure: Figure, file: IO[bytes], dpi: int, sources: str) -> None:
    # no date and no matplotlib version: the bytes depend only on the figure
    about = {"Date": None, "Creator": None} | ({DESCRIPTION: sources} if sources else {})
    figure.savefig(file, format="svg", dpi=dpi, metadata=about)
