"""The phase-swap figure: what stands where, and what its grey levels mean."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib import colormaps

from vireid_cli.figures import spectra, style
from vireid_cli.figures.spectra import PhaseSwap, SpectrumColumn, mirrored, phase_swap_figure, stretched

SIZE = (48, 24)


def rebuilt(amplitude: np.ndarray, phase: np.ndarray) -> np.ndarray:
    return np.fft.ifft2(amplitude * np.exp(1j * phase), axes=(0, 1), norm="ortho").real


def column(image: np.ndarray, other: np.ndarray) -> SpectrumColumn:
    mine, theirs = (np.fft.fft2(x, axes=(0, 1), norm="ortho") for x in (image, other))
    grey = np.fft.fft2(image.mean(axis=2), norm="ortho")
    amplitude, phase = np.abs(mine), np.angle(mine)
    return SpectrumColumn(
        image,
        np.abs(grey),
        np.angle(grey),
        swapped=rebuilt(np.abs(theirs), phase),
        phase_only=rebuilt(np.full_like(amplitude, amplitude.mean()), phase),
        amplitude_only=rebuilt(amplitude, np.zeros_like(phase)),
    )


@pytest.fixture(scope="module")
def data(person) -> PhaseSwap:
    visible, infrared = person(7, 0, False, SIZE), person(7, 1, True, SIZE)
    return PhaseSwap(column(visible, infrared), column(infrared, visible))


def flat(value: float) -> SpectrumColumn:
    image = np.full((*SIZE, 3), value)
    grey, zero = np.full(SIZE, value), np.zeros(SIZE)
    return SpectrumColumn(image, grey, zero, image, zero, zero)


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_all_six_are_labelled_in_five_rows(data):
    words = texts(phase_swap_figure(data, "Person 7"))
    assert words[0] == "Person 7"
    for letter in "abcde":
        assert words.count(f"({letter})") == 1
    for name in ("visible", "infrared", "Image", "Amplitude", "Phase", "Swapped"):
        assert words.count(name) == 1
    assert words.count("phase only") == words.count("amplitude only") == 2
    assert "visible phase, infrared amplitude" in words
    assert "infrared phase, visible amplitude" in words


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_arrays_same_bytes(data, tmp_path, name):
    first = style.save(phase_swap_figure(data, "x"), tmp_path / "1" / name).read_bytes()
    assert style.save(phase_swap_figure(data, "x"), tmp_path / "2" / name).read_bytes() == first


def test_images_lie_in_their_columns(data, tmp_path):
    figure = phase_swap_figure(data, "x")
    images = [(np.array(i.get_extent()), np.asarray(i.get_array())) for i in figure.axes[0].images]
    assert len(images) == 2 * 6 + 2  # six a modality, two colour bars
    tops = sorted({round(float(extent[3]), 6) for extent, _ in images})
    assert len(tops) == 5
    visible = [array for extent, array in images[:6]]
    np.testing.assert_array_equal(visible[0], data.visible.image)
    np.testing.assert_array_equal(visible[3], stretched(data.visible.swapped))
    left, right = images[0][0], images[6][0]
    assert left[1] < right[0]  # visible left of infrared
    phase_only, amplitude_only = images[4][0], images[5][0]
    assert phase_only[1] < amplitude_only[0]
    for extent, array in images[:12]:
        shown = (extent[2] - extent[3]) / (extent[1] - extent[0])
        assert shown == pytest.approx(array.shape[0] / array.shape[1])  # proportions kept


def test_amplitudes_are_logarithmic_centred_and_on_one_scale():
    bright, dark = flat(1.0), flat(1e-3)
    peaked = replace(bright, amplitude=np.full(SIZE, 1e-3))
    peaked.amplitude[0, 0] = 1.0
    figure = phase_swap_figure(PhaseSwap(bright, dark), "x")
    shown = [np.asarray(i.get_array()) for i in figure.axes[0].images]
    ramp = colormaps[spectra.AMPLITUDE_COLOURS]
    np.testing.assert_allclose(shown[1], np.broadcast_to(ramp(1.0)[:3], shown[1].shape))
    np.testing.assert_allclose(shown[7], np.broadcast_to(ramp(0.0)[:3], shown[7].shape))
    centred = np.asarray(phase_swap_figure(PhaseSwap(peaked, bright), "x").axes[0].images[1].get_array())
    brightest = np.unravel_index(centred.sum(axis=2).argmax(), SIZE)
    assert brightest == (SIZE[0] // 2, SIZE[1] // 2)


def test_figure_of_the_usual_size_is_one_screen_wide(data, tmp_path):
    figure = phase_swap_figure(data, "x")
    height, width = matplotlib.image.imread(style.save(figure, tmp_path / "a.png")).shape[:2]
    assert (width, height) == pytest.approx(150 * figure.get_size_inches(), abs=1)  # cut to whole pixels
    assert width < 1300


def test_stretching_about_zero_keeps_zero_grey_and_percentiles_clip():
    values = np.linspace(-3.0, 1.0, 200).reshape(10, 20)
    shown = stretched(values, about_zero=True)
    assert shown.shape == (10, 20, 3)
    zero = np.abs(values).argmin()
    assert shown[..., 0].ravel()[zero] == pytest.approx(0.5, abs=0.01)
    plain = stretched(values)[..., 0]
    low, high = np.percentile(values, (1, 99))
    np.testing.assert_allclose(plain, np.clip((values - low) / (high - low), 0, 1))
    np.testing.assert_array_equal(stretched(np.full((4, 4), 7.0)), np.zeros((4, 4, 3)))


@pytest.mark.parametrize("size", [(8, 6), (7, 6), (8, 5), (7, 5), (1, 2), (4, 1)])
def test_mirrored_completes_numpys_half_spectrum(size):
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
def test_wrong_arrays_are_named(data, name, value):
    with pytest.raises(ValueError, match=name):
        replace(data.visible, **{name: value})


def test_two_sizes_are_refused(data):
    small = np.zeros((4, 2))
    other = SpectrumColumn(np.zeros((4, 2, 3)), small, small, small, small, small)
    with pytest.raises(ValueError, match="sizes differ"):
        PhaseSwap(data.visible, other)
