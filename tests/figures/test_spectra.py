"""Figures of spectra: layout and grey levels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure

from tests.figures.conftest import DrawPerson
from vireid_cli.figures import saving, style
from vireid_cli.figures.spectra import SpectrumColumn, mirrored, phase_swap_figure, spectrum_figure
from vireid_cli.figures.style import stretched

SIZE = (48, 24)


def rebuilt(amplitude: np.ndarray, phase: np.ndarray) -> np.ndarray:
    return np.fft.ifft2(amplitude * np.exp(1j * phase), axes=(0, 1), norm="ortho").real


def column(name: str, image: np.ndarray, other: np.ndarray) -> SpectrumColumn:
    spectrum, spectrum_of_other = (np.fft.fft2(x, axes=(0, 1), norm="ortho") for x in (image, other))
    grey = np.fft.fft2(image.mean(axis=2), norm="ortho")
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    return SpectrumColumn(
        name,
        "cam 1",
        style.INK,
        image,
        np.abs(grey),
        np.angle(grey),
        phase_only=rebuilt(np.full_like(amplitude, amplitude.mean()), phase),
        amplitude_only=rebuilt(amplitude, np.zeros_like(phase)),
        swapped=rebuilt(np.abs(spectrum_of_other), phase),
    )


@pytest.fixture(scope="module")
def data(person: DrawPerson) -> tuple[SpectrumColumn, SpectrumColumn]:
    visible, infrared = person(7, 0, False, SIZE), person(7, 1, True, SIZE)
    return column("visible", visible, infrared), column("infrared", infrared, visible)


def flat(value: float) -> SpectrumColumn:
    image = np.full((*SIZE, 3), value)
    grey, zero = np.full(SIZE, value), np.zeros(SIZE)
    return SpectrumColumn("flat", "", style.INK, image, grey, zero, zero, zero, swapped=image)


def drawings(data: tuple[SpectrumColumn, SpectrumColumn], title: str = "x") -> dict[str, Figure]:
    return {"swap": phase_swap_figure(*data, title), "spectrum": spectrum_figure(data, title)}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


ROUNDED = 0.5 / 255 + 1e-9


def shown(figure: Figure) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array(i.get_extent()), np.asarray(i.get_array()) / 255) for i in figure.axes[0].images]


def test_all_six_are_labelled_in_five_rows(data: tuple[SpectrumColumn, SpectrumColumn]) -> None:
    words = texts(phase_swap_figure(*data, "Person 7"))
    assert words[0] == "Person 7"
    for letter in "abcde":
        assert words.count(f"({letter})") == 1
    for name in ("visible", "infrared", "Image", "Amplitude", "Phase", "Swapped"):
        assert words.count(name) == 1
    assert words.count("phase only") == words.count("amplitude only") == words.count("cam 1") == 2
    assert "visible phase, infrared amplitude" in words
    assert "infrared phase, visible amplitude" in words


def test_rows_of_a_spectrum_are_labelled(data: tuple[SpectrumColumn, SpectrumColumn]) -> None:
    words = texts(spectrum_figure(data, "Person 7"))
    for name in ("Image", "Amplitude", "Phase", "Amplitude only", "Phase only", "visible", "infrared"):
        assert words.count(name) == 1


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
@pytest.mark.parametrize("which", ["swap", "spectrum"])
def test_same_arrays_same_bytes(
    data: tuple[SpectrumColumn, SpectrumColumn], tmp_path: Path, which: str, name: str
) -> None:
    first = saving.save(drawings(data)[which], tmp_path / "1" / name).read_bytes()
    assert saving.save(drawings(data)[which], tmp_path / "2" / name).read_bytes() == first


def test_images_are_in_their_columns(data: tuple[SpectrumColumn, SpectrumColumn]) -> None:
    images = shown(phase_swap_figure(*data, "x"))
    assert len(images) == 2 * 6 + 2  # six a column, two colour bars
    by_row: dict[float, list[int]] = {}
    for i, (extent, array) in enumerate(images):
        by_row.setdefault(round(float(extent[3]), 6), []).append(i)
        if array.shape[:2] == SIZE:
            proportions = (extent[2] - extent[3]) / (extent[1] - extent[0])
            assert proportions == pytest.approx(SIZE[0] / SIZE[1])
    rows = [sorted(by_row[top], key=lambda i: images[i][0][0]) for top in sorted(by_row)]
    assert [len(row) for row in rows] == [2, 3, 3, 2, 4]
    visible, infrared = data
    for row, expected in (
        (0, (visible.image, infrared.image)),
        (3, tuple(stretched(column.swapped) for column in (visible, infrared) if column.swapped is not None)),
        (
            4,
            (
                stretched(visible.phase_only, about_zero=True),
                stretched(np.fft.fftshift(visible.amplitude_only, axes=(0, 1))),
                stretched(infrared.phase_only, about_zero=True),
                stretched(np.fft.fftshift(infrared.amplitude_only, axes=(0, 1))),
            ),
        ),
    ):
        for i, array in zip(rows[row], expected, strict=True):
            np.testing.assert_allclose(images[i][1], array, atol=ROUNDED)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_spectrum_has_one_column_per_image(
    data: tuple[SpectrumColumn, SpectrumColumn], count: int, tmp_path: Path
) -> None:
    columns = [
        replace(data[i % 2], name=f"image {i}", detail="a/long/path/of/a/file.png") for i in range(count)
    ]
    figure = spectrum_figure(columns, "A title that is longer than the page of a single image is wide " * 3)
    images = shown(figure)
    assert len(images) == 5 * count + 2
    lefts = sorted({round(float(extent[0]), 6) for extent, array in images if array.shape[:2] == SIZE})
    assert len(lefts) == count
    width, height = figure.get_size_inches()
    figure.canvas.draw()
    for text in figure.axes[0].texts:
        box = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert 0 <= box.x0 < box.x1 <= width or not text.get_text(), text.get_text()
        assert 0 <= box.y0 < box.y1 <= height or not text.get_text(), text.get_text()


def test_amplitudes_are_logarithmic_centred_and_on_one_scale() -> None:
    bright, dark = flat(1.0), flat(1e-3)
    peaked = replace(bright, amplitude=np.full(SIZE, 1e-3))
    peaked.amplitude[0, 0] = 1.0
    ramp = colormaps[style.AMPLITUDE_COLOURS]
    for figure in (phase_swap_figure(bright, dark, "x"), spectrum_figure([bright, dark], "x")):
        images = shown(figure)
        np.testing.assert_allclose(images[1][1], np.broadcast_to(ramp(1.0)[:3], (*SIZE, 3)), atol=ROUNDED)
        np.testing.assert_allclose(images[4][1], np.broadcast_to(ramp(0.0)[:3], (*SIZE, 3)), atol=ROUNDED)
    centred = shown(phase_swap_figure(peaked, bright, "x"))[1][1]
    brightest = np.unravel_index(centred.sum(axis=2).argmax(), SIZE)
    assert brightest == (SIZE[0] // 2, SIZE[1] // 2)


def test_figure_of_the_usual_size_is_one_screen_wide(
    data: tuple[SpectrumColumn, SpectrumColumn], tmp_path: Path
) -> None:
    figure = phase_swap_figure(*data, "x")
    height, width = matplotlib.image.imread(saving.save(figure, tmp_path / "a.png")).shape[:2]
    assert (width, height) == pytest.approx(150 * figure.get_size_inches(), abs=1)  # cut to whole pixels
    assert width < 1300


def test_stretching_about_zero_keeps_zero_grey_and_percentiles_clip() -> None:
    values = np.linspace(-3.0, 1.0, 200).reshape(10, 20)
    shown = stretched(values, about_zero=True)
    assert shown.shape == (10, 20, 3)
    zero = np.abs(values).argmin()
    assert shown[..., 0].ravel()[zero] == pytest.approx(0.5, abs=0.01)
    plain = stretched(values)[..., 0]
    low, high = np.percentile(values, (1, 99))
    np.testing.assert_allclose(plain, np.clip((values - low) / (high - low), 0, 1))
    np.testing.assert_array_equal(stretched(np.full((4, 4), 7.0)), np.zeros((4, 4, 3)))
    np.testing.assert_array_equal(stretched(np.zeros((4, 4)), about_zero=True), np.full((4, 4, 3), 0.5))


@pytest.mark.parametrize("size", [(8, 6), (7, 6), (8, 5), (7, 5), (1, 2), (4, 1)])
def test_mirrored_completes_numpys_half_spectrum(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=size)
    half, full = np.fft.rfft2(image, norm="ortho"), np.fft.fft2(image, norm="ortho")
    np.testing.assert_allclose(mirrored(np.abs(half), size[1]), np.abs(full), atol=1e-12)
    phase = mirrored(np.angle(half), size[1], odd=True)
    np.testing.assert_allclose(np.abs(full) * np.exp(1j * phase), full, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", np.zeros(SIZE)),
        ("amplitude", np.zeros((SIZE[0], SIZE[1] // 2 + 1))),
        ("amplitude", np.full(SIZE, -1.0)),
        ("amplitude", np.full(SIZE, np.nan)),
        ("phase", np.full(SIZE, 4.0)),
        ("phase", np.zeros((*SIZE, 3))),
        ("swapped", np.zeros((*SIZE, 4))),
        ("phase_only", np.zeros(SIZE[::-1])),
        ("amplitude_only", np.full(SIZE, np.inf)),
    ],
)
def test_error_names_the_wrong_array(
    data: tuple[SpectrumColumn, SpectrumColumn], name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=name):
        replace(data[0], **{name: value})


def test_different_sizes_and_missing_swap_raise(data: tuple[SpectrumColumn, SpectrumColumn]) -> None:
    small = np.zeros((4, 2))
    other = SpectrumColumn("", "", style.INK, np.zeros((4, 2, 3)), small, small, small, small, swapped=small)
    with pytest.raises(ValueError, match="sizes differ"):
        phase_swap_figure(data[0], other, "x")
    with pytest.raises(ValueError, match="swapped"):
        phase_swap_figure(data[0], replace(data[1], swapped=None), "x")
    with pytest.raises(ValueError, match="no image"):
        spectrum_figure([], "x")


def test_path_is_shortened_at_the_start() -> None:
    assert style.shortened("cam1/0001.jpg", 13) == "cam1/0001.jpg"
    assert style.shortened("data/cam1/0001.jpg", 9) == "…0001.jpg"
