"""Occluders before people: visibility, area, sides, histograms, blur, feather."""

from __future__ import annotations

import numpy as np
import pytest

from vireid_cli.occlusion import adapt
from vireid_cli.occlusion.categories import CATEGORIES
from vireid_cli.occlusion.compose import Composer, composite, feather, file_stream, run_lengths
from vireid_cli.occlusion.library import Library, Occluder, pools, record_of
from vireid_cli.occlusion.place import MaskArea, anchor_of
from vireid_cli.occlusion.policy import Policy
from vireid_cli.types import Modality


def disc(side: int = 96, colour: tuple[int, int, int] = (200, 40, 30)) -> np.ndarray:
    """A coloured disc on a transparent ground of another colour."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(x, y) <= side / 2
    pixels = np.full((side, side, 4), (0, 255, 0, 0), np.uint8)
    pixels[inside] = (*colour, 255)
    return pixels


def library(category: str = "backpack", pixels: np.ndarray | None = None) -> Library:
    things: tuple[Occluder, ...] = (record_of("one", "image", category),)
    return Library("test", things, (disc() if pixels is None else pixels,), "0" * 64)


def person(height: int = 120, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_full_visibility_leaves_the_image_untouched() -> None:
    image, other = person(), np.zeros((120, 60, 3), np.float32)
    np.testing.assert_array_equal(composite(image, other, np.zeros((120, 60), np.float32)), image)
    np.testing.assert_array_equal(composite(image, other, np.ones((120, 60), np.float32)), 0)


def test_outside_the_mask_nothing_changes_and_no_ground_bleeds_in() -> None:
    image = person()
    composer = Composer(library(), Policy())
    for k in range(20):
        covered, line = composer.occlude(
            image, Modality.VISIBLE, "outdoor", "train", file_stream(k, "d", "train", "p")
        )
        size, counts = line["mask"]["size"], line["mask"]["counts"]
        mask = np.repeat(np.arange(len(counts)) % 2, counts).reshape(size, order="F").astype(bool)
        np.testing.assert_array_equal(covered[~mask], image[~mask])
        changed = covered[mask].astype(int)
        span = (
            np.maximum(image[mask].astype(int), (200, 40, 30)),
            np.minimum(image[mask].astype(int), (200, 40, 30)),
        )
        assert (changed <= span[0] + 3).all()
        assert (changed >= span[1] - 3).all()  # the green ground of the cut-out would leave this range


@pytest.mark.parametrize("reading", ["area", "height_ratio", "width_ratio"])
def test_epsilon_is_reached(reading: str) -> None:
    composer = Composer(library("person"), Policy(epsilon=reading, low=0.3, high=0.6))  # type: ignore[arg-type]
    for k in range(15):
        _, line = composer.occlude(
            person(), Modality.VISIBLE, "outdoor", "train", file_stream(k, "d", "train", "p")
        )
        assert abs(line["achieved"] - line["epsilon"]) < 0.02


def test_bisection_agrees_with_a_drawn_mask() -> None:
    area = MaskArea(np.where(disc()[..., 3] > 127, 255, 0).astype(np.uint8), 0.0, False)
    rng = np.random.default_rng(1)
    for _ in range(10):
        anchor = anchor_of("float", (120, 60), rng)
        placed = area.fit(anchor, 0.25, "area", (120, 60))
        y, x = np.mgrid[:120, :60] + 0.5
        radius = placed.width / 2
        centre = placed.left + radius, placed.top + placed.height / 2
        covered = (np.hypot(x - centre[0], y - centre[1]) <= radius).mean()
        assert abs(covered - placed.covered) < 0.01


@pytest.mark.parametrize("category", ["person", "bus", "stop sign", "motorcycle", "handbag"])
def test_nothing_is_a_toy_and_writing_is_not_mirrored(category: str) -> None:
    """Where ε can be reached at a natural size it is, beside a category that could reach any ε."""
    tall = np.full((200, 70 if category != "stop sign" else 24, 4), 255, np.uint8)
    things = (record_of("one", "a", category), record_of("two", "b", "backpack"))
    composer = Composer(
        Library("test", things, (tall, disc()), "0" * 64), Policy(high=0.6 if category == "bus" else 0.3)
    )
    low, high = CATEGORIES[category].height
    flips = set()
    for k in range(60):
        _, line = composer.occlude(
            person(), Modality.VISIBLE, "outdoor", "train", file_stream(k, "d", "train", "p")
        )
        if line["category"] == category:
            flips.add(line["flip"])
            assert low - 0.06 <= line["box"][3] / 120 <= high + 0.06
    assert flips == ({False} if category == "stop sign" else {False, True})


@pytest.mark.parametrize(("placement", "side"), [("left", -1), ("right", 1)])
def test_sides(placement: str, side: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        anchor = anchor_of(placement, (100, 50), rng)
        assert side * (anchor.x - 25) > 0
        assert 90 <= anchor.y <= 105


def test_histogram_matching_against_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    grey, target = (
        rng.integers(0, 120, (12, 9)).astype(np.float32),
        rng.integers(60, 256, (20, 10)).astype(np.float32),
    )
    mask = rng.random((12, 9)) < 0.6
    result = adapt.match_histogram(grey, mask, target)
    own, theirs = grey[mask], np.sort(target.ravel())
    for i, j in np.argwhere(mask):
        share = sum(value <= grey[i, j] for value in own) / len(own)
        expected = next(t for k, t in enumerate(theirs, 1) if k / len(theirs) >= share - 1e-9)
        assert result[i, j] == expected


def test_normalise_takes_mean_and_deviation_of_the_target() -> None:
    rng = np.random.default_rng(4)
    grey, target = (
        rng.uniform(0, 255, (20, 20)).astype(np.float32),
        rng.uniform(50, 90, (30, 10)).astype(np.float32),
    )
    mask = rng.random((20, 20)) < 0.5
    result = adapt.normalise(grey, mask, target)[mask]
    assert result.mean() == pytest.approx(target.mean(), abs=1e-3)
    assert result.std() == pytest.approx(target.std(), rel=1e-3)


def test_blur_takes_nothing_from_outside() -> None:
    alpha = np.zeros((21, 21), np.float32)
    alpha[5:16, 5:16] = 1.0
    grey = np.where(alpha > 0, 100.0, 255.0).astype(np.float32)
    np.testing.assert_allclose(adapt.blur_inside(grey, alpha, 1.4)[alpha > 0], 100.0, atol=1e-3)


def test_infrared_occluders_are_grey_and_of_the_target_s_levels() -> None:
    image = np.repeat(np.random.default_rng(5).integers(90, 140, (120, 60, 1), dtype=np.uint8), 3, axis=2)
    composer = Composer(library("person"), Policy(low=0.4, high=0.5))
    covered, _ = composer.occlude(
        image, Modality.INFRARED, "outdoor", "train", file_stream(0, "d", "train", "p")
    )
    assert (covered[..., 0] == covered[..., 1]).all()
    assert (covered[..., 0] == covered[..., 2]).all()
    assert 70 <= covered.min() <= covered.max() <= 160


def test_feather_rises_inwards_and_thin_masks_stay_opaque() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 255
    alpha = feather(mask, (100, 100))
    assert alpha[30, 30] == 1.0
    assert 0 < alpha[30, 10] < alpha[30, 11] < 1.0
    assert alpha[5, 5] == 0.0
    thin = np.zeros((60, 60), np.uint8)
    thin[29:31] = 255
    assert feather(thin, (100, 100))[29:31].min() >= 0.5


def test_run_lengths_by_hand() -> None:
    assert run_lengths(np.array([[0, 1], [0, 1]], bool)) == [2, 2]
    assert run_lengths(np.array([[1, 0], [1, 1]], bool)) == [0, 2, 1, 1]


def test_pools_follow_the_source_image() -> None:
    pairs = [(f"image {k // 2}", "person" if k % 3 else "dog") for k in range(100)]
    result = pools(pairs)
    assert len(result) == 50
    assert sum(pool == "test" for pool in result.values()) == 10
    assert result == pools(reversed(pairs))
