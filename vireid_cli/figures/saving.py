"""Saving figures as PNG, SVG or PDF: atomic, and with identical bytes for identical figures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, get_args

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import Op, PdfFile, RendererPdf
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, style, svg
from vireid_cli.files import write_with

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)

DESCRIPTION = "Description"
"""Metadata key in PNG and SVG files; ``Subject`` in PDF."""

MOST_PIXELS = 65_000
"""Maximum side of a PNG in pixels: matplotlib's canvas is limited to 2^16."""

LARGE = 5_000_000
"""Number of pixels above which a PNG is compressed less: a third of the time for 11 % more bytes. The file
is still no larger than matplotlib's own, which has an alpha channel."""


@dataclass(frozen=True, slots=True)
class Print:
    """Size of a figure in print.

    Attributes:
        width: Width in inches; None: the figure's own. The whole figure is scaled, with its text.
        title: Whether the title and the line below it are drawn; without them the figure is less high.
    """

    width: float | None = None
    title: bool = True

    def factor(self, figure: Figure) -> float:
        """Return the factor from the figure's own width to the width in print."""
        return self.width / float(figure.get_size_inches()[0]) if self.width else 1.0


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Cropped and scaled figure.

    Attributes:
        figure: The figure.
        top: Inches that are cut off at its top.
        factor: Scale of the output.
    """

    figure: Figure
    top: float
    factor: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in print, in inches."""
        width, height = self.figure.get_size_inches()
        return float(width) * self.factor, (float(height) - self.top) * self.factor


def chosen_format(path: Path, format: str | None) -> Format:
    """Choose the format by name, else by the path's suffix, else PNG.

    Raises:
        UsageError: A format other than png, svg and pdf, or one that contradicts the path's suffix.
    """
    ending = path.suffix.lower().lstrip(".")
    name = (format or ending or "png").lower()
    if name not in FORMATS:
        raise UsageError(f"A figure can't be written as '{name}'.", "Choose --format png, svg or pdf.")
    if ending in FORMATS and ending != name:
        raise UsageError(f"'{path.name}' ends in .{ending}, but the format is {name}.", "Change one of them.")
    return next(known for known in FORMATS if known == name)


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
    printed: Print = Print(),
) -> Path:
    """Write a figure to a file, atomically, with identical bytes for identical figures.

    Text is text in SVG and PDF; both contain the used letters of the font.

    Args:
        figure: Figure returned by a function of this package.
        path: Target file; missing folders are created, and a missing .png, .svg or .pdf suffix is added.
        format: ``png``, ``svg`` or ``pdf``; None uses the path's suffix, else PNG.
        dpi: Pixels per inch in print, 20 to 1,200.
        note: Important remark, written in small letters into the lower right corner.
        sources: Sources of the figure, stored in the file's metadata.
        printed: Width in print, and whether the title is drawn.

    Returns:
        Path of the file, including the suffix.

    Raises:
        UsageError: Unknown format, format that contradicts the suffix, ``dpi`` out of range, or a PNG that
            is too large.
    """
    name = checked(path, format, dpi)
    target = path if path.suffix.lower() == f".{name}" else path.with_name(f"{path.name}.{name}")
    write = {"png": _write_png, "svg": _write_svg, "pdf": _write_pdf}[name]
    with style.styled():
        if note:
            style.add_note(figure, note)
        style.escape_letters(figure)
        top = 0.0 if printed.title else paper.remove_heading(figure)
        sheet = _Sheet(figure, top, printed.factor(figure))
        if name == "png" and (longest := dpi * max(sheet.size)) > MOST_PIXELS:
            fits = int(MOST_PIXELS / max(sheet.size))
            raise UsageError(
                f"The figure would be {longest:,.0f} pixels long; a PNG holds {MOST_PIXELS:,}.",
                f"Show less, or use --dpi {fits} or less, or --format svg or pdf.",
            )
        return write_with(target, lambda file: write(sheet, file, dpi, sources))


def smallest_text(figure: Figure, printed: Print) -> float:
    """Return the size of the smallest text in print, in points."""
    return paper.smallest_text(figure) * printed.factor(figure)


def _write_png(sheet: _Sheet, file: IO[bytes], dpi: int, sources: str) -> None:
    """Draw and encode a PNG without the alpha channel of matplotlib's own PNG."""
    sheet.figure.set_dpi(dpi * sheet.factor)
    canvas = FigureCanvasAgg(sheet.figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    pixels = canvas.buffer_rgba()
    drawn = Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1).convert("RGB")
    if sheet.top:
        drawn = drawn.crop((0, round(sheet.top * dpi * sheet.factor), width, height))
    effort = 6 if width * height < LARGE else 3
    about = PngInfo()
    if sources:
        about.add_itxt(DESCRIPTION, sources)
    drawn.save(file, "PNG", compress_level=effort, dpi=(dpi, dpi), pnginfo=about)


def _write_svg(sheet: _Sheet, file: IO[bytes], dpi: int, sources: str) -> None:
    """Write an SVG with its font, cropped by the view box and scaled by width and height."""
    # no date and no matplotlib version: the bytes depend only on the figure
    about = {"Date": None, "Creator": None} | ({DESCRIPTION: sources} if sources else {})
    drawn = io.BytesIO()
    sheet.figure.savefig(drawn, format="svg", dpi=dpi, metadata=about)
    text = svg.with_size(drawn.getvalue().decode("utf-8"), sheet.top, sheet.size)
    file.write(svg.with_font(text).encode("utf-8"))


def _write_pdf(sheet: _Sheet, file: IO[bytes], dpi: int, sources: str) -> None:
    """Write a PDF of one page; its origin is the lower left corner, so that the page's height crops it."""
    figure, (width, height) = sheet.figure, sheet.size
    own_width, own_height = figure.get_size_inches()
    about: dict[str, Any] = {"CreationDate": None, "Creator": None, "Producer": None}
    pdf = PdfFile(file, metadata=about | ({"Subject": sources} if sources else {}))
    figure.set_dpi(72)  # points
    try:
        pdf.newPage(width, height)
        pdf.width, pdf.height = own_width, own_height  # lines are cut off outside of this area
        pdf.output(sheet.factor, 0, 0, sheet.factor, 0, 0, Op.concat_matrix)
        inner = RendererPdf(pdf, dpi, own_height, own_width)
        renderer = MixedModeRenderer(figure, own_width, own_height, dpi, inner)
        figure.draw(renderer)
        renderer.finalize()
        pdf.finalize()
    finally:
        pdf.close()
