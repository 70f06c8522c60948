"""SEG figure (SEPG-Net, figure 3): layout, lines and numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.figures.conftest import DrawPerson
from vireid_cli.figures import saving, seg, style
from vireid_cli.figures.pixels import as_bytes
from vireid_cli.figures.seg import MeanSpectrum, SegRow, Spectra, seg_figure

SIZE = (48, 24)


@pytest.fixture(scope="module")
def rows(person: DrawPerson) -> list[SegRow]:
    made = []
    for pid in range(3):
        visible, infrared = person(pid, 0, False, SIZE), person(pid, 1, True, SIZE)
        grey = np.repeat(visible.mean(axis=2, keepdims=True), 3, axis=2)
        phase = np.random.default_rng(pid).normal(0, 0.1, (*SIZE, 3))
        made.append(SegRow(f"pid {pid}", visible, grey, phase, np.clip(grey + phase, 0, 1), infrared))
    return made


@pytest.fixture(scope="module")
def spectra() -> Spectra:
    y, x = np.fft.fftfreq(SIZE[0])[:, None], np.fft.fftfreq(SIZE[1])[None]
    fall, frequencies = 1 / (0.01 + np.hypot(y, x)), np.arange(13) / 24
    kinds = {
        kind: MeanSpectrum(scale * fall, scale / (0.01 + frequencies), gap)
        for kind, scale, gap in zip(seg.KINDS, (4.0, 3.0, 2.0, 1.0), (0.6, 0.48, 0.3, 0.0), strict=True)
    }
    return Spectra(kinds, frequencies, 0.0123, "12 visible and 12 infrared images\nSEG: amplitude mean")


def test_people_are_rows_of_five_images_beside_spectra(rows: list[SegRow], spectra: Spectra) -> None:
    figure = seg_figure(rows, spectra, "SEG")
    images = figure.axes[0].images
    assert len(images) == 5 * 3 + 4 + 1
    tops = np.round([image.get_extent()[3] for image in images[:15]], 6)
    lefts = np.round([image.get_extent()[0] for image in images[:15]], 6)
    order = np.lexsort((lefts, tops))
    shown = [np.asarray(images[i].get_array()) for i in order]
    for row, numbers in zip(rows, np.reshape(np.arange(15), (3, 5)), strict=True):
        phase = style.stretched(row.phase_only, about_zero=True)
        for i, expected in zip(numbers, (row.visible, row.grey, phase, row.seg, row.infrared), strict=True):
            np.testing.assert_array_equal(shown[i], as_bytes(expected))
    brightest = np.unravel_index(np.asarray(images[15].get_array()).sum(axis=2).argmax(), SIZE)
    assert brightest == (24, 12)
    for image in images[:19]:
        left, right, bottom, top = image.get_extent()
        assert (bottom - top) / (right - left) == pytest.approx(2.0)


def test_gaps_and_the_floor_are_written(rows: list[SegRow], spectra: Spectra) -> None:
    words = [text.get_text() for text in seg_figure(rows, spectra, "SEG").axes[0].texts]
    for text in ("gap 0.600", "gap 0.480", "gap 0.300", "two halves 0.012", "pid 0", "phase only"):
        assert words.count(text) == 1
    assert any("12 visible and 12 infrared images" in word for word in words)


def test_lines_are_the_profiles_and_their_ratio_to_infrared(rows: list[SegRow], spectra: Spectra) -> None:
    _, upper, lower = seg_figure(rows, spectra, "SEG").axes
    lines = {line.get_label(): line for line in upper.lines}
    assert set(lines) == set(seg.KINDS)
    for kind, line in lines.items():
        np.testing.assert_allclose(np.asarray(line.get_ydata()), np.log10(spectra.kinds[kind].profile))
        np.testing.assert_array_equal(np.asarray(line.get_xdata()), spectra.frequencies)
    heights = sorted(round(float(np.asarray(line.get_ydata()).mean()), 6) for line in lower.lines)
    assert heights == [round(float(np.log10(scale)), 6) for scale in (1, 2, 3, 4)]
    assert len({(line.get_color(), line.get_linestyle()) for line in upper.lines}) == 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_texts_are_on_the_page(rows: list[SegRow], spectra: Spectra, count: int) -> None:
    figure = seg_figure(rows[:count], spectra, "rendered SYSU-MM01 layout: SEG images")
    width, height = figure.get_size_inches()
    figure.canvas.draw()
    page = figure.axes[0]
    for text in page.texts:
        box = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert 0 <= box.x0 < box.x1 <= width, text.get_text()
        assert 0 <= box.y0 < box.y1 <= height, text.get_text()
    note = page.texts[-1].get_window_extent()
    label = figure.axes[2].xaxis.label.get_window_extent()
    assert note.y1 < label.y0, "the note lies beneath the plots"


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_arrays_same_bytes(rows: list[SegRow], spectra: Spectra, tmp_path: Path, name: str) -> None:
    def draw(folder: str) -> bytes:
        return saving.save(seg_figure(rows[:1], spectra, "x"), tmp_path / folder / name).read_bytes()

    assert draw("1") == draw("2")


def test_refusals(rows: list[SegRow], spectra: Spectra) -> None:
    with pytest.raises(ValueError, match="no person"):
        seg_figure([], spectra, "x")
    with pytest.raises(ValueError, match="infrared"):
        replace(rows[0], infrared=rows[0].infrared * 2)
