"""Distances figure: shared axes, percent per class, positions of the means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import StepPatch
from matplotlib.text import Annotation

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, saving
from vireid_cli.figures.distances import distances_figure, scales_apart
from vireid_cli.metrics.distances import PairDistances, pair_distances, readable_bins


def run(noise: float, seed: int = 0) -> PairDistances:
    rng = np.random.default_rng(seed)
    pids = np.arange(120) % 12
    features = rng.normal(size=(12, 16))[pids] + noise * rng.normal(size=(120, 16))
    return pair_distances(features, pids, np.arange(120) // 60)


@pytest.fixture(scope="module")
def panels() -> list[tuple[str, PairDistances]]:
    return [("one", run(0.3)), ("two", run(1.5))]


def test_panels_share_their_axes_and_show_percent_of_each_class(
    panels: list[tuple[str, PairDistances]],
) -> None:
    figure = distances_figure(panels, "test images")
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes}) == 1
    for axes, (name, distances), letter in zip(figure.axes, panels, "ab", strict=True):
        assert axes.get_title(loc="left") == f"({letter}) {name}"
        surfaces = {
            tuple(np.round(np.asarray(patch.get_data()[0]), 9).tolist())
            for patch in axes.patches
            if isinstance(patch, StepPatch)
        }
        for counts in (distances.intra, distances.inter):
            wide = counts.reshape(-1, readable_bins([distances for _, distances in panels])).sum(axis=1)
            percent = 100 * wide / counts.sum()
            assert percent.sum() == pytest.approx(100)
            assert tuple(np.round(percent, 9).tolist()) in surfaces
        low, high = axes.get_xlim()
        seen = distances.edges[:-1][(distances.intra + distances.inter) > 0]
        assert low <= np.quantile(seen, 0.05) < np.quantile(seen, 0.95) <= high


def test_means_and_delta_are_marked_and_written(panels: list[tuple[str, PairDistances]]) -> None:
    for axes, (_, distances) in zip(distances_figure(panels).axes, panels, strict=True):
        assert [np.asarray(line.get_xdata())[0] for line in axes.lines] == [
            distances.intra_mean,
            distances.inter_mean,
        ]
        words = " ".join(text.get_text() for text in axes.texts)
        assert f"δ = {distances.inter_mean - distances.intra_mean:.3f}" in words
        assert f"one person {distances.intra_mean:.3f}, two people {distances.inter_mean:.3f}" in words
        assert "60 visible × 60 infrared" in words
        arrow = next(t for t in axes.texts if isinstance(t, Annotation) and t.arrow_patch)
        assert sorted((arrow.xy[0], arrow.xyann[0])) == sorted((distances.intra_mean, distances.inter_mean))


def test_number_of_sampled_pairs_is_written() -> None:
    rng = np.random.default_rng(0)
    columns = np.arange(90) % 30, np.arange(90) // 45
    distances = pair_distances(rng.normal(size=(90, 8)), *columns, most=45 * 45 * 8 // 3)
    words = " ".join(text.get_text() for text in distances_figure([("x", distances)]).axes[0].texts)
    assert f"two people: {distances.inter.sum():,} of {distances.of_two:,} pairs drawn" in words
    every = pair_distances(rng.normal(size=(90, 8)), *columns)
    words = " ".join(text.get_text() for text in distances_figure([("x", every)]).axes[0].texts)
    assert "drawn" not in words


def test_negative_delta_has_a_minus_sign() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 8))
    features[20:] = -features[:20] + 0.1 * rng.normal(size=(20, 8))  # images of one person are opposite
    distances = pair_distances(features, np.arange(40) % 20, np.arange(40) // 20)
    assert distances.delta < -0.5
    words = [text.get_text() for text in distances_figure([("x", distances)]).axes[0].texts]
    assert f"δ = −{-distances.delta:.3f}" in words


def test_long_name_is_shortened_in_the_middle(panels: list[tuple[str, PairDistances]]) -> None:
    name = "a-recipe-with-a-very-long-name-that-goes-on-sysu-20260101-000000"
    figure = distances_figure([(name, panels[0][1])] * 3)
    shown = figure.axes[0].get_title(loc="left")
    assert shown.startswith("(a) a-recipe")
    assert "…" in shown
    assert shown.endswith("000000")


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_distances_same_bytes(
    panels: list[tuple[str, PairDistances]], tmp_path: Path, name: str
) -> None:
    first = saving.save(distances_figure(panels), tmp_path / "1" / name).read_bytes()
    assert saving.save(distances_figure(panels), tmp_path / "2" / name).read_bytes() == first


def test_no_run_raises_with_hint() -> None:
    with pytest.raises(UsageError, match="vireid evaluate"):
        distances_figure([])


def test_a_collapsed_run_gives_each_panel_its_own_scales() -> None:
    good, collapsed = run(0.3), run(0.3)
    rng = np.random.default_rng(0)
    pids = np.arange(120) % 12
    features = 100.0 + 0.5 * rng.normal(size=(120, 16))
    collapsed = pair_distances(features, pids, np.arange(120) // 60)
    assert not scales_apart([good, run(1.5)])
    assert not scales_apart([collapsed])
    assert scales_apart([good, collapsed])
    figure = distances_figure([("good", good), ("collapsed", collapsed)])
    first, second = (axes.get_xlim() for axes in figure.axes)
    assert second[1] - second[0] < 0.2 * (first[1] - first[0])
    assert second[0] <= collapsed.intra_mean <= second[1]
    assert all(label.get_text() for label in figure.axes[1].get_yticklabels()), "the second panel has numbers"
    assert {axes.get_xlabel() for axes in figure.axes} == {"cosine distance (own scale)"}


def test_panels_of_a_narrow_page_are_in_rows(panels: list[tuple[str, PairDistances]]) -> None:
    with paper.print_width(85 / 25.4):
        figure = distances_figure(panels)
    assert figure.get_size_inches()[0] == pytest.approx(85 / 25.4)
    upper, lower = (axes.get_position() for axes in figure.axes)
    assert upper.y0 > lower.y1
    assert (upper.x0, upper.x1) == (lower.x0, lower.x1)
