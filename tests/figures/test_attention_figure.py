"""Attention figure: layout, and blending of heat and image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps

from tests.figures.conftest import DrawPerson
from vireid_cli.figures import attention, saving, style
from vireid_cli.figures.attention import Look, PersonImages, RunRow, attention_figure, overlaid
from vireid_cli.figures.pixels import as_bytes

SIZE = (48, 24)


@pytest.fixture(scope="module")
def people(person: DrawPerson) -> list[PersonImages]:
    return [
        PersonImages(
            f"pid {pid}", ("cam 1", "cam 3"), (person(pid, 0, False, SIZE), person(pid, 1, True, SIZE))
        )
        for pid in (4, 5, 6)
    ]


@pytest.fixture(scope="module")
def runs(people: list[PersonImages]) -> list[RunRow]:
    draw = np.random.default_rng(0)
    rows = []
    for name in ("baseline", "sepg"):
        looks = [
            Look(one.images, (draw.uniform(0, 1, SIZE), draw.uniform(0, 1, SIZE)), 0.5 - i)
            for i, one in enumerate(people)
        ]
        rows.append(RunRow(name, f"{name}-sysu-20260101-120000", tuple(looks)))
    return rows


def test_people_are_pairs_of_columns_and_runs_are_rows(
    people: list[PersonImages], runs: list[RunRow]
) -> None:
    figure = attention_figure(people, runs, "Looks", "note")
    images = figure.axes[0].images
    assert len(images) == 3 * 2 * 3 + 1
    places = np.array([[image.get_extent()[3], image.get_extent()[0]] for image in images[:-1]]).round(6)
    order = np.lexsort((places[:, 1], places[:, 0]))
    shown = [np.asarray(images[i].get_array()) for i in order]
    expected = [image for one in people for image in one.images]
    for run in runs:
        pairs = [zip(look.images, look.heat, strict=True) for look in run.looks]
        expected += [overlaid(image, heat) for pair in pairs for image, heat in pair]
    for actual, pixels in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(actual, as_bytes(pixels))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("visible") == words.count("infrared") == 3
    assert words.count("cosine of both 0.50") == words.count("cosine of both −1.50") == 2
    for word in ("pid 4", "baseline", "sepg", "note", "Looks"):
        assert words.count(word) == 1


def test_training_identities_are_marked(people: list[PersonImages], runs: list[RunRow]) -> None:
    looks = (replace(runs[0].looks[0], seen=True), *runs[0].looks[1:])
    texts = attention_figure(people, [replace(runs[0], looks=looks), runs[1]], "x", "y").axes[0].texts
    marked = [text for text in texts if "trained on" in text.get_text()]
    assert [text.get_text() for text in marked] == ["cosine of both 0.50 · trained on"]
    assert marked[0].get_color() == style.WRONG


def test_opacity_grows_with_heat() -> None:
    image = np.full((2, 1, 3), 0.3)
    shown = overlaid(image, np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(shown[0, 0], 0.3)
    colour = np.array(colormaps[attention.COLOURS](1.0)[:3])
    np.testing.assert_allclose(shown[1, 0], 0.2 * 0.3 + 0.8 * colour)


@pytest.mark.parametrize("count", [1, 3])
def test_texts_are_on_the_page_without_overlap(
    people: list[PersonImages], runs: list[RunRow], count: int
) -> None:
    few = [replace(run, looks=run.looks[:count]) for run in runs]
    figure = attention_figure(
        people[:count], few, "rendered SYSU-MM01 layout: where the embedding looks", "note"
    )
    width, height = figure.get_size_inches()
    figure.canvas.draw()
    boxes = []
    for text in figure.axes[0].texts:
        box = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert 0 <= box.x0 < box.x1 <= width, text.get_text()
        assert 0 <= box.y0 < box.y1 <= height, text.get_text()
        boxes.append((text.get_text(), box))
    for i, (first, one) in enumerate(boxes):
        for second, other in boxes[:i]:
            assert not one.overlaps(other), (first, second)


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_arrays_same_bytes(
    people: list[PersonImages], runs: list[RunRow], tmp_path: Path, name: str
) -> None:
    def draw(folder: str) -> bytes:
        return saving.save(attention_figure(people, runs, "x", "y"), tmp_path / folder / name).read_bytes()

    assert draw("1") == draw("2")


def test_refusals(people: list[PersonImages], runs: list[RunRow]) -> None:
    with pytest.raises(ValueError, match="0 people"):
        attention_figure([], [], "x", "y")
    with pytest.raises(ValueError, match="2 people"):
        attention_figure(people[:2], runs, "x", "y")
    look = runs[0].looks[0]
    with pytest.raises(ValueError, match="heat: values"):
        replace(look, heat=(look.heat[0] * 2, look.heat[1]))
    with pytest.raises(ValueError, match="heat: expected"):
        replace(look, heat=(look.heat[0][:4], look.heat[1]))
