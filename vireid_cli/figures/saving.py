"""Figures in files: PNG or SVG, whole or not at all, the same bytes for the same figure."""

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
"""Key of a PNG's and an SVG's metadata."""

MOST_PIXELS = 65_000
"""Longest side of a PNG: matplotlib's canvas ends at 2^16."""

LARGE = 5_000_000
"""Pixels of a PNG from which on its encoder tries less hard: a third of the time for 11 % more bytes, which
are still no more than those of matplotlib's own file with its alpha channel."""


def chosen_format(path: Path, format: str | None) -> Format:
    """The format by name, else by the path's ending, else PNG.

    Raises:
        UsageError: A format other than png and svg, or one that contradicts the path's ending.
    """
    ending = path.suffix.lower().lstrip(".")
    name = (format or ending or "png").lower()
    if name not in ("png", "svg"):
        raise UsageError(f"A figure can't be written as '{name}'.", "Choose --format png or --format svg.")
    if ending in ("png", "svg") and ending != name:
        raise UsageError(f"'{path.name}' ends in .{ending}, but the format is {name}.", "Change one of them.")
    return "svg" if name == "svg" else "png"


def checked(path: Path, format: str | None, dpi: int) -> Format:
    """The format in which ``save`` will write: what can be refused before there is a figure.

    Raises:
        UsageError: As of ``chosen_format``, or ``dpi`` out of range.
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
    """Write a figure to a file, the same bytes for the same figure, whole or not at all.

    Args:
        figure: What the figure functions of this package return.
        path: Where to; its folders are made; without .png or .svg the format's ending is added.
        format: ``png`` or ``svg``; None: by the path's ending, else PNG.
        dpi: Pixels an inch, 20 to 1,200; a PNG is the figure's inches × ``dpi`` pixels.
        note: What must be read with the figure; small, in its lower right corner.
        sources: What the figure is made of; kept in the file's metadata under ``Description``.

    Returns:
        The file's path, its ending included.

    Raises:
        UsageError: An unknown format, one that contradicts the ending, ``dpi`` out of range, or a PNG that
            would be too large.
    """
    name = checked(path, format, dpi)
    if name == "png" and (longest := dpi * max(figure.get_size_inches())) > MOST_PIXELS:
        fits = int(MOST_PIXELS / max(figure.get_size_inches()))
        raise UsageError(
            f"The figure would be {longest:,.0f} pixels long; a PNG holds {MOST_PIXELS:,}.",
            f"Show less in it, say --dpi {fits} or less, or --format svg.",
        )
    target = path if path.suffix.lower() == f".{name}" else path.with_name(f"{path.name}.{name}")
    write = _write_png if name == "png" else _write_svg
    with style.styled():
        if note:
            style.add_note(figure, note)
        style.escape_letters(figure)
        return write_with(target, lambda file: write(figure, file, dpi, sources))


def _write_png(figure: Figure, file: IO[bytes], dpi: int, sources: str) -> None:
    """Draw and encode without an alpha channel, which matplotlib's own PNG has and no figure needs."""
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
    # no date, no version of matplotlib: the bytes depend on the figure alone
    about = {"Date": None, "Creator": None} | ({DESCRIPTION: sources} if sources else {})
    figure.savefig(file, format="svg", dpi=dpi, metadata=about)
