"""Figures for papers: width in print, no title, text as text, embedded fonts."""

from __future__ import annotations

import base64
import io
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vireid_cli.figures import paper, style
from vireid_cli.figures.cmc import CmcCurve, cmc_figure
from vireid_cli.figures.curves import Log, curves_figure
from vireid_cli.figures.saving import Print, save
from vireid_cli.figures.sheet import contact_sheet

COLUMN = 85 / 25.4


def chart() -> Figure:
    return cmc_figure([CmcCurve("ABC ✓", np.linspace(0.2, 0.9, 20))], "Title of the chart", "below it")


def page_size(pdf: bytes) -> tuple[float, float]:
    """Width and height of a PDF's page in points."""
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert box
    return float(box[1]), float(box[2])


def test_text_of_a_pdf_is_text_in_an_embedded_font(tmp_path: Path) -> None:
    content = save(chart(), tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/FontFile2" in content
    assert b"/ToUnicode" in content
    assert b"/Type3" not in content


def test_a_pdf_names_its_sources(tmp_path: Path) -> None:
    content = save(chart(), tmp_path / "a.pdf", sources="run/all-single 7").read_bytes()
    assert b"/Subject (run/all-single 7)" in content
    assert b"CreationDate" not in content


def test_an_svg_has_text_and_its_letters(tmp_path: Path) -> None:
    content = save(chart(), tmp_path / "a.svg").read_text(encoding="utf-8")
    words = re.findall(r"<text\b[^>]*>([^<]*)</text>", content)
    assert {"Title of the chart", "rank", "queries with a match (%)"} <= set(words)
    fonts = re.findall(r"font-weight:(\w+);src:url\(data:font/ttf;base64,([^)]*)\)", content)
    assert [weight for weight, _ in fonts] == ["normal", "bold"]
    for _, data in fonts:
        letters = TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap()
        assert set(map(ord, "".join(words))) <= set(letters)
        assert len(letters) < 80, "only the used letters"


def test_an_svg_without_text_has_no_font(tmp_path: Path) -> None:
    figure, _ = style.page(1.0, 1.0)
    assert "@font-face" not in save(figure, tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("title", [True, False])
def test_each_format_has_the_width_in_print(title: bool, tmp_path: Path) -> None:
    printed = Print(COLUMN, title)
    png, svg, pdf = (
        save(chart(), tmp_path / f"a.{ending}", dpi=200, printed=printed) for ending in ("png", "svg", "pdf")
    )
    width, height = page_size(pdf.read_bytes())
    assert width == pytest.approx(72 * COLUMN, abs=0.01)
    own = chart().get_size_inches()
    uncut = 72 * COLUMN * own[1] / own[0]
    assert height == pytest.approx(uncut, abs=0.01) if title else height < uncut - 20
    head = re.search(r'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt" viewBox="0 ([\d.]+)', svg.read_text())
    assert head
    assert (float(head[1]), float(head[2])) == pytest.approx((width, height), abs=0.01)
    assert (float(head[3]) == 0) is title
    with Image.open(png) as image:
        assert image.width == pytest.approx(200 * COLUMN, abs=1)
        assert image.height == pytest.approx(200 * height / 72, abs=2)


def test_without_a_title_the_drawing_begins_at_the_top(tmp_path: Path) -> None:
    path = save(chart(), tmp_path / "a.svg", printed=Print(title=False))
    words = path.read_text(encoding="utf-8")
    assert "Title of the chart" not in words
    assert "below it" not in words
    with Image.open(save(chart(), tmp_path / "a.png", dpi=100, printed=Print(title=False))) as image:
        rows = np.flatnonzero((np.asarray(image.convert("L")) < 250).any(axis=1))
    assert 0 < rows[0] <= 12, "a small margin"


def test_without_a_title_the_rest_is_unchanged(tmp_path: Path) -> None:
    with_title, without = (
        np.asarray(Image.open(save(chart(), tmp_path / f"{t}.png", dpi=100, printed=Print(title=t))))
        for t in (True, False)
    )
    cut = len(with_title) - len(without)
    assert cut > 40
    np.testing.assert_array_equal(with_title[cut:], without)


def test_a_page_of_images_has_no_title_either(tmp_path: Path) -> None:
    images = [np.full((40, 20, 3), level, np.uint8) for level in (50, 120, 200)]

    def sheet() -> Figure:
        return contact_sheet(images, ["a", "b", "c"], 3, "A sheet")

    whole = page_size(save(sheet(), tmp_path / "a.pdf").read_bytes())
    cut = page_size(save(sheet(), tmp_path / "b.pdf", printed=Print(title=False)).read_bytes())
    assert cut[0] == whole[0]
    assert cut[1] < whole[1] - 10


@pytest.mark.parametrize("width", [COLUMN, 180 / 25.4])
def test_charts_are_drawn_at_the_width_with_readable_text(width: float) -> None:
    steps = [{"global_step": i, "lr": 0.1, "loss": 1.0, "losses": {"a": 1.0, "b": 2.0}} for i in range(1, 5)]
    with paper.print_width(width):
        figures = [chart(), curves_figure([Log("a", steps)], "Training")]
    for figure in figures:
        assert figure.get_size_inches()[0] == pytest.approx(width)
        assert paper.smallest_text(figure) >= 7.0
        for axes in figure.axes:
            box = axes.get_position()
            assert 0 < box.x0 < box.x1 <= 1
            assert 0 < box.y0 < box.y1 < 1
    assert chart().get_size_inches()[0] > 6, "the width is that of one call"


def test_lines_of_a_scaled_pdf_are_whole(tmp_path: Path) -> None:
    """matplotlib cuts lines off at the page's size, which is not the size of the figure."""
    content = save(chart(), tmp_path / "a.pdf", printed=Print(COLUMN)).read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    text = b"".join(zlib.decompress(part) for part in streams if part[:1] == b"\x78")
    points = [float(x) for x in re.findall(rb"^([\d.]+) [\d.]+ l$", text, re.MULTILINE)]
    assert max(points) > 0.9 * 72 * chart().get_size_inches()[0]


@pytest.mark.parametrize("width", [COLUMN, None])
def test_lines_below_the_title_fit_the_width(width: float | None) -> None:
    text = "every visible–infrared pair of the images in queries and galleries; 95 % band over people"
    with paper.print_width(width):
        figure = cmc_figure([CmcCurve("a", np.linspace(0.2, 0.9, 20))], "Title", text)
    FigureCanvasAgg(figure).draw()
    inside = figure.get_window_extent()
    heading = [text for text in figure.texts if text.get_gid() == style.HEADING]
    assert len(heading) == 2
    for part in heading:
        box = part.get_window_extent()
        assert box.x1 <= inside.x1
        assert box.y0 > figure.axes[0].get_window_extent().y1


def test_a_long_label_is_shortened_to_the_width() -> None:
    with paper.print_width(COLUMN):
        figure = cmc_figure([CmcCurve("a label of more letters than a column has " * 2, np.ones(20))], "")
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert legend.get_window_extent().x1 <= figure.get_window_extent().x1
    (text,) = (part.get_text() for part in legend.get_texts())
    assert text.startswith("a label of")
    assert text.endswith("…: Rank-1 100.0 %")
