"""Contact sheet: positions, proportions, labels."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from tests.figures.conftest import DrawPerson
from vireid_cli.errors import UsageError
from vireid_cli.figures import saving
from vireid_cli.figures.sheet import contact_sheet


@pytest.fixture(scope="module")
def images(person: DrawPerson) -> list[np.ndarray]:
    return [person(i, 0, i % 2 == 1, (40 + 4 * i, 20)) for i in range(7)]


def test_images_are_placed_row_by_row_with_aligned_bottoms(images: list[np.ndarray]) -> None:
    figure = contact_sheet(images, [f"pid {i}" for i in range(7)], 3, "People")
    extents = np.array([image.get_extent() for image in figure.axes[0].images])
    bottoms = np.round(extents[:, 2], 6)
    assert [len(set(bottoms[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert bottoms[0] < bottoms[3] < bottoms[6]
    assert (np.diff(extents[:3, 0]) > 0).all()
    for extent, image in zip(extents, images, strict=True):
        assert (extent[2] - extent[3]) / (extent[1] - extent[0]) == pytest.approx(
            image.shape[0] / image.shape[1]
        )
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["People", *(f"pid {i}" for i in range(7))]


def test_file_contains_pixels_and_frames(tmp_path: Path) -> None:
    colours = [(0.9, 0.1, 0.1), (0.1, 0.1, 0.9)]
    blocks = [np.broadcast_to(colour, (20, 10, 3)).copy() for colour in colours]
    figure = contact_sheet(blocks, ["", ""], 2, frames=[None, "#009E73"])
    drawn = matplotlib.image.imread(saving.save(figure, tmp_path / "a.png", dpi=100))[..., :3]
    for image, colour in zip(figure.axes[0].images, colours, strict=True):
        left, right, bottom, top = image.get_extent()
        middle = drawn[round(50 * (top + bottom)), round(50 * (left + right))]
        np.testing.assert_allclose(middle, colour, atol=0.01)
    left, _, bottom, top = figure.axes[0].images[1].get_extent()
    frame = drawn[round(50 * (top + bottom)), round(100 * (left - 0.02))]
    np.testing.assert_allclose(frame, (0.0, 158 / 255, 115 / 255), atol=0.01)


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_images_same_bytes(images: list[np.ndarray], tmp_path: Path, name: str) -> None:
    def draw(folder: str) -> bytes:
        return saving.save(contact_sheet(images, [""] * 7, 4), tmp_path / folder / name).read_bytes()

    assert draw("1") == draw("2")


def test_columns_are_limited_and_empty_labels_take_no_space(images: list[np.ndarray]) -> None:
    few = contact_sheet(images[:2], ["", ""], 10)
    labelled = contact_sheet(images[:2], ["a\nb", "c"], 10)
    assert few.get_size_inches()[0] < 2.5
    assert few.get_size_inches()[1] < labelled.get_size_inches()[1]


def test_refusals(images: list[np.ndarray]) -> None:
    with pytest.raises(UsageError, match="No image"):
        contact_sheet([], [], 3)
    with pytest.raises(ValueError, match="labels"):
        contact_sheet(images, ["one"], 3)
    with pytest.raises(ValueError, match="columns"):
        contact_sheet(images, [""] * 7, 0)
    with pytest.raises(ValueError, match="image 1"):
        contact_sheet([images[0], images[0] * 2], ["", ""], 2)


@pytest.mark.parametrize("columns", [1, 2, 4, 7])
@pytest.mark.parametrize("name", ["SYSU-MM01", "rendered SYSU-MM01 layout", "my_own_data_set_of_a_long_name"])
def test_long_titles_are_complete_without_overlap(images: list[np.ndarray], columns: int, name: str) -> None:
    title, about = f"{name}: before and after, by modality", "ε: share covered, as drawn → as reached"
    figure = contact_sheet(images, [""] * 7, columns, title, subtitle=about)
    figure.draw_without_rendering()
    upper, lower = (text.get_window_extent() for text in figure.axes[0].texts[:2])
    assert max(upper.x1, lower.x1) <= figure.bbox.x1
    assert upper.y0 > lower.y1
    assert lower.y0 > max(image.get_window_extent().y1 for image in figure.axes[0].images)
    words = " ".join(text.get_text() for text in figure.axes[0].texts[:2])
    assert words.replace("\n", " ") == f"{title} {about}"
    assert contact_sheet(images, [""] * 7, 7, "People").get_size_inches()[0] < 7
