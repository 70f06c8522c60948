"""CMC figure: values, bands, chance level, legend; identical bytes for identical input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vireid_cli.errors import UsageError
from vireid_cli.figures import saving
from vireid_cli.figures.cmc import CmcCurve, cmc_figure


def curve(label: str, start: float, ranks: int = 20) -> CmcCurve:
    cmc = 1 - (1 - start) * 0.85 ** np.arange(ranks)
    return CmcCurve(
        label, cmc, np.maximum(cmc - 0.05, 0), np.minimum(cmc + 0.04, 1), np.arange(1, ranks + 1) / 96
    )


def test_curves_bands_and_chance_in_percent() -> None:
    figure = cmc_figure([curve("FDNM", 0.6), curve("AGW", 0.4)], "CMC", "all-single")
    (axes,) = figure.axes
    first, second, chance = (line for line in axes.lines if line.get_linewidth() >= 1)
    np.testing.assert_array_equal(np.asarray(first.get_xdata()), np.arange(1, 21))
    np.testing.assert_allclose(np.asarray(first.get_ydata()), 100 * curve("", 0.6).cmc)
    np.testing.assert_allclose(np.asarray(second.get_ydata())[0], 40)
    np.testing.assert_allclose(np.asarray(chance.get_ydata()), 100 * np.arange(1, 21) / 96)
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert {round(float(y), 9) for x, y in band if x == 1} >= {55.0, 64.0}
    edges = [np.asarray(line.get_ydata())[0] for line in axes.lines if line.get_linewidth() < 1]
    np.testing.assert_allclose(edges, [55, 64, 35, 44])
    assert axes.get_ylim() == (0, 100)
    assert cmc_figure([CmcCurve("low", np.array([0.2, 0.33]))], "CMC").axes[0].get_ylim() == (0, 40)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        "FDNM: Rank-1 60.0 % [55.0, 64.0]",
        "AGW: Rank-1 40.0 % [35.0, 44.0]",
        "chance: Rank-1 1.0 %",
    ]
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in (first, second)]
    assert all(one != other for one, other in zip(*looks, strict=True))  # styles differ in more than colour


def test_without_a_band_and_without_chance() -> None:
    figure = cmc_figure([CmcCurve("old", np.array([0.5, 0.75]))], "CMC")
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["old: Rank-1 50.0 %"]


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_curves_same_bytes(tmp_path: Path, name: str) -> None:
    first = saving.save(cmc_figure([curve("a", 0.5)], "x"), tmp_path / "1" / name).read_bytes()
    assert saving.save(cmc_figure([curve("a", 0.5)], "x"), tmp_path / "2" / name).read_bytes() == first


def test_eight_curves_fit_their_page() -> None:
    figure = cmc_figure([curve(f"run {i}", 0.1 * i + 0.1) for i in range(8)], "CMC")
    figure.canvas.draw()
    height = figure.bbox.height
    legend = figure.legends[0].get_window_extent()
    label = figure.axes[0].xaxis.label.get_window_extent()
    assert legend.y0 >= 0
    assert legend.y1 <= label.y0
    assert figure.axes[0].get_window_extent().y1 < height


def test_no_curve_and_wrong_arrays_raise() -> None:
    with pytest.raises(UsageError, match="vireid evaluate"):
        cmc_figure([], "x")
    for wrong in (
        {"low": np.zeros(2)},
        {"low": np.zeros(1), "high": np.zeros(1)},
        {"chance": np.full(2, 2.0)},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CmcCurve("a", np.zeros(2), **wrong)
