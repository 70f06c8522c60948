"""Changes of matplotlib's SVG: its size, and an embedded font with the used letters."""

from __future__ import annotations

import base64
import html
import io
import re

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties, findfont

from vireid_cli.figures.style import FONT

_HEAD = re.compile(r'<svg [^>]*?height="[\d.]+pt"[^>]*?>', re.DOTALL)
_TEXT = re.compile(r"<text\b[^>]*>(.*?)</text>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def with_size(text: str, top: float, size: tuple[float, float]) -> str:
    """Set the size in print, and cut the upper edge off.

    Args:
        text: SVG of matplotlib, in points.
        top: Inches that are cut off, in the figure's own size.
        size: Width and height in print, in inches.
    """
    head = _HEAD.search(text)
    assert head is not None
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head[0])
    assert box is not None
    own_width, own_height = float(box[1]), float(box[2])
    cut = 72.0 * top
    changed = head[0].replace(box[0], f'viewBox="0 {cut:g} {own_width:g} {own_height - cut:g}"')
    changed = re.sub(r'\bwidth="[\d.]+pt"', f'width="{72 * size[0]:g}pt"', changed)
    changed = re.sub(r'\bheight="[\d.]+pt"', f'height="{72 * size[1]:g}pt"', changed)
    return text.replace(head[0], changed, 1)


def with_font(text: str) -> str:
    """Embed the letters of all texts as fonts; without text, return the SVG unchanged."""
    letters = "".join(html.unescape(_TAG.sub("", part)) for part in _TEXT.findall(text))
    if not letters.strip():
        return text
    weights = ["normal"] + (
        ["bold"] if re.search(r"font: (?:bold|700)|font-weight: (?:bold|700)", text) else []
    )
    faces = "".join(_face(weight, letters) for weight in weights)
    return text.replace('<style type="text/css">', f'<style type="text/css">{faces}', 1)


def _face(weight: str, letters: str) -> str:
    """Return the CSS rule of a font with these letters."""
    data = base64.b64encode(_subset(weight, letters)).decode("ascii")
    source = f"url(data:font/ttf;base64,{data})"
    return f"@font-face{{font-family:'{FONT}';font-weight:{weight};src:{source} format('truetype');}}\n"


def _subset(weight: str, letters: str) -> bytes:
    """Return a TrueType font with these letters only; its bytes depend on nothing else."""
    options = Options(hinting=False, layout_features=[], name_IDs=[1, 2], notdef_outline=True)
    options.drop_tables = [*options.drop_tables, "FFTM", "GDEF", "GPOS", "GSUB", "MATH"]
    font = TTFont(findfont(FontProperties(family=FONT, weight=weight)), recalcTimestamp=False)
    subsetter = Subsetter(options)
    subsetter.populate(text=letters)
    subsetter.subset(font)
    file = io.BytesIO()
    font.save(file)
    return file.getvalue()
