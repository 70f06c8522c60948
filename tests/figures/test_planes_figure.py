"""Planes: positions of panels, shapes and colours, names without overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from vireid_cli.errors import UsageError
from vireid_cli.figures import saving, style
from vireid_cli.figures.planes import By, Plane, planes_figure, separate_boxes
from vireid_cli.types import Modality


@pytest.fixture(scope="module")
def laid_out() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points of five people around separate centres, with pids and modalities."""
    rng = np.random.default_rng(0)
    points = np.repeat(20 * rng.normal(size=(5, 2)), 8, axis=0) + rng.normal(size=(40, 2))
    return points, np.repeat(np.arange(5) * 7 + 2, 8), np.tile(np.arange(8) % 2, 5).astype(np.uint8)


@pytest.mark.parametrize(("by", "panels"), [("both", 2), ("modality", 1), ("identity", 1)])
def test_panels_shapes_and_colours(
    laid_out: tuple[np.ndarray, np.ndarray, np.ndarray], by: By, panels: int
) -> None:
    points, pids, modalities = laid_out
    figure = planes_figure([Plane("run", "spatial", points)], pids, modalities, by, "t-SNE", "a run")
    assert len(figure.axes) == panels
    assert [text.get_text() for text in figure.texts] == ["t-SNE", "a run"]
    for axes in figure.axes:
        assert len(axes.collections) == 2
        circles, triangles = (np.asarray(c.get_paths()[0].vertices) for c in axes.collections)
        assert len(circles) > len(triangles)  # a curve and a triangle
        for collection, modality in zip(axes.collections, Modality, strict=True):
            mine = modalities == modality.code
            np.testing.assert_allclose(np.asarray(collection.get_offsets()), points[mine])
            colours = np.asarray(collection.get_facecolor())[:, :3]
            if axes.get_title(loc="left") == "by modality":
                np.testing.assert_allclose(colours[0], to_rgb(style.MODALITY_COLOUR[modality]))
            else:
                assert len({tuple(c) for c in colours}) == len(np.unique(pids[mine]))
                assert {t.get_text() for t in axes.texts} == {str(pid) for pid in np.unique(pids)}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["visible", "infrared"]


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_points_same_bytes(
    laid_out: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path, name: str
) -> None:
    planes, columns = [Plane("a", "x", laid_out[0]), Plane("b", "x", -laid_out[0])], laid_out[1:]
    first = saving.save(planes_figure(planes, *columns), tmp_path / "1" / name).read_bytes()
    assert saving.save(planes_figure(planes, *columns), tmp_path / "2" / name).read_bytes() == first


def test_overlapping_names_are_moved_apart() -> None:
    box = (0.3, 0.16)
    places = separate_boxes(np.zeros((12, 2)), box, rounds=500)
    gap = np.abs(places[:, None] - places[None])
    overlap = ((gap[..., 0] < 0.99 * box[0]) & (gap[..., 1] < 0.99 * box[1])).sum() - 12
    assert overlap == 0
    far = np.array([[0.0, 0.0], [5.0, 5.0]])
    np.testing.assert_allclose(separate_boxes(far, box), far, atol=0.002)


def test_one_person_or_one_modality_raises_with_hint(
    laid_out: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    points, pids, modalities = laid_out
    planes = [Plane("run", "spatial", points)]
    with pytest.raises(UsageError, match="--ids"):
        planes_figure(planes, np.zeros_like(pids), modalities)
    with pytest.raises(UsageError, match="is infrared"):
        planes_figure(planes, pids, np.zeros_like(modalities))
    with pytest.raises(ValueError, match="pids"):
        planes_figure(planes, pids[:-1], modalities)
    with pytest.raises(ValueError, match="camera"):
        planes_figure(planes, pids, modalities, by="camera")  # type: ignore[arg-type]
    for several in (
        [],
        planes * 2,
        [*planes, Plane("run", "phase", points), Plane("other", "phase", points)],
    ):
        with pytest.raises(ValueError, match="planes of"):
            planes_figure(several, pids, modalities)


@pytest.mark.parametrize(
    ("runs", "components", "by", "rows"),
    [
        ("ab", ("x",), "both", [["a x modality", "b x modality"], ["a x identity", "b x identity"]]),
        ("ab", ("x", "y"), "modality", [["a x modality", "b x modality"], ["a y modality", "b y modality"]]),
        ("a", ("x", "y", "z"), "identity", [["a x identity", "a y identity", "a z identity"]]),
        ("a", ("x", "y"), "both", [["a x modality", "a y modality"], ["a x identity", "a y identity"]]),
    ],
)
def test_layout_of_runs_and_components(
    laid_out: tuple[np.ndarray, np.ndarray, np.ndarray],
    runs: str,
    components: tuple[str, ...],
    by: By,
    rows: list[list[str]],
) -> None:
    points, pids, modalities = laid_out
    planes = [
        Plane(run, c, points + 100 * i + j) for i, run in enumerate(runs) for j, c in enumerate(components)
    ]
    figure = planes_figure(planes, pids, modalities, by)
    boxes = [axes.get_position() for axes in figure.axes]
    tops = sorted({round(box.y0, 6) for box in boxes}, reverse=True)
    lefts = sorted({round(box.x0, 6) for box in boxes})
    assert (len(tops), len(lefts), len(boxes)) == (len(rows), len(rows[0]), len(rows) * len(rows[0]))
    for axes, box in zip(figure.axes, boxes, strict=True):
        run, component, way = rows[tops.index(round(box.y0, 6))][lefts.index(round(box.x0, 6))].split()
        drawn = np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])
        expected_points = next(
            plane.points for plane in planes if (plane.run, plane.component) == (run, component)
        )
        assert {tuple(point) for point in np.asarray(drawn)} == {tuple(point) for point in expected_points}
        assert axes.get_title(loc="left").startswith(f"{component}, by {way}")
    heads = [text.get_text() for text in figure.texts[2:]]
    assert heads == (list(runs) if len(runs) > 1 else [])
    width, height = figure.get_size_inches()
    sizes = {(round(box.width * width, 6), round(box.height * height, 6)) for box in boxes}
    assert len(sizes) == 1
    assert len(set(sizes.pop())) == 1  # squares


def test_names_stay_inside_their_panel(laid_out: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, pids, modalities = laid_out
    figure = planes_figure([Plane("run", "spatial", points)], pids, modalities, "identity")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert box.y1 <= frame.y1 + 1


def test_name_is_above_the_densest_points_of_its_person() -> None:
    rng = np.random.default_rng(0)
    spots = np.array([[0.0, 0.0]] * 6 + [[100.0, 0.0]] * 3 + [[0.0, 100.0]] * 5)
    points = spots + rng.uniform(-0.5, 0.5, spots.shape)
    pids, modalities = np.array([1] * 9 + [2] * 5), np.arange(14) % 2
    (axes,) = planes_figure([Plane("run", "spatial", points)], pids, modalities, "identity").axes
    places = {text.get_text(): text.xy for text in axes.texts if isinstance(text, Annotation)}
    assert np.abs(np.subtract(places["1"], (0.0, 0.0))).max() < 5
    assert np.abs(np.subtract(places["2"], (0.0, 100.0))).max() < 5
