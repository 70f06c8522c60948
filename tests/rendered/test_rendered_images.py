"""Rendered images: anti-aliasing, spectra, independence of the batch, naive matchers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from vireid_cli.bench.naive import MATCHERS, hog_features, match
from vireid_cli.errors import DataError
from vireid_cli.rendered.cameras import CAMERAS, THERMAL, with_spectrum
from vireid_cli.rendered.population import draw_person
from vireid_cli.rendered.primitives import Sculptor
from vireid_cli.rendered.raycast import Grid, cast
from vireid_cli.rendered.render import Renderer
from vireid_cli.rendered.shade import split_samples
from vireid_cli.rendered.shots import Shot

SIZE = (64, 32)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    torch.set_num_threads(1)
    return Renderer(SIZE)


def shots(pids: range, camids: tuple[int, ...] = tuple(CAMERAS), frame: int = 1) -> list[Shot]:
    return [Shot(draw_person(0, pid), CAMERAS[c], frame, 0) for c in camids for pid in pids]


def test_a_disc_has_soft_edges_and_the_right_area() -> None:
    sculptor = Sculptor(1)
    sculptor.ellipsoid(np.array([[0.0, 0.0, 10.0]]), (0.5, 0.5, 0.5), np.eye(3)[None], (0, 0))
    side, reach = 64, 0.1
    grid = Grid(
        np.array([-reach]), np.array([-reach]), np.array([reach / side]),
        np.array([2 * side]), np.array([2 * side]), 2 * side, 2 * side,
    )  # fmt: skip
    mask = torch.isfinite(cast(sculptor.finish(), grid, torch.device("cpu")).depth).float()
    share = torch.stack(split_samples(mask)).mean(dim=0)[0]
    # A ball of radius r at distance z projects to a disc of radius r / √(z² − r²).
    area = np.pi * (0.5 / np.sqrt(100 - 0.25)) ** 2 / (2 * reach / side) ** 2
    assert share.sum().item() == pytest.approx(area, rel=0.01)
    assert set(share.unique().tolist()) >= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_images_in_a_batch_are_independent(renderer: Renderer) -> None:
    batch = shots(range(1, 4), (2, 3, 6))
    for shot, image in zip(batch, renderer.render(batch), strict=True):
        alone = renderer.render([shot])[0].astype(int)
        # Rounding in the last bit of a float may change a value by one grey level.
        assert np.abs(alone - image).max() <= 1
        assert (alone != image).mean() < 0.002


def test_the_same_batch_gives_the_same_pixels(renderer: Renderer) -> None:
    first, second = (renderer.render(shots(range(1, 4), (2, 6))) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_sizes_vary_around_the_nominal_one(renderer: Renderer) -> None:
    heights, widths = zip(*(image.shape[:2] for image in renderer.render(shots(range(1, 9)))), strict=True)
    assert 0.75 * SIZE[0] < np.mean(heights) < 1.2 * SIZE[0]
    assert len(set(heights)) > 10
    assert 0.6 * SIZE[1] < np.mean(widths) < 1.4 * SIZE[1]


def test_infrared_images_are_three_equal_channels(renderer: Renderer) -> None:
    for shot, image in zip(shots(range(1, 3)), renderer.render(shots(range(1, 3))), strict=True):
        grey = (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
        assert grey == (shot.camera.camid in (3, 6))


def test_illuminator_weakens_with_distance(renderer: Renderer) -> None:
    near = dataclasses.replace(CAMERAS[6], near=4.0, far=4.01, noise=(0.0, 0.0))
    # The same lamp at three times the distance: its strength refers to the mean distance.
    far = dataclasses.replace(near, near=12.0, far=12.01, head=near.head * (4.0 / 12.0) ** 2)
    person = draw_person(0, 5)
    images = renderer.render([Shot(person, camera, 1, 0) for camera in (near, far)])
    middles = [
        image[image.shape[0] // 3 : image.shape[0] // 2, image.shape[1] // 2].mean() for image in images
    ]
    assert middles[0] > 1.5 * middles[1]


def test_thermal_images_show_skin_brighter_than_a_coat(renderer: Renderer) -> None:
    camera = dataclasses.replace(THERMAL, facing=(0.0,), noise=(0.0, 0.0), blur=0.1)
    person = next(
        p for p in (draw_person(0, pid) for pid in range(1, 500))
        if p.top == "coat" and p.hat == "none" and p.carried == "nothing"
    )  # fmt: skip
    image = Renderer((128, 64)).render([Shot(person, camera, 1, 0)])[0].astype(float)
    assert np.array_equal(image[..., 0], image[..., 2])
    height, width = image.shape[:2]
    middle = image[:, int(width * 0.3) : int(width * 0.7), 0]
    head, coat = middle[: height // 5].max(), np.median(middle[int(height * 0.3) : int(height * 0.45)])
    assert head > coat + 30


def test_spectra_differ_in_pixels_and_agree_in_pose(renderer: Renderer) -> None:
    visible = CAMERAS[1]
    cameras = [visible, with_spectrum(visible, "near_infrared"), with_spectrum(visible, "thermal")]
    images = renderer.render([Shot(draw_person(0, 2), camera, 1, 0) for camera in cameras])
    assert len({image.shape for image in images}) == 1
    assert all(np.abs(images[0].astype(int) - other).mean() > 5 for other in images[1:])


def test_match_equals_a_ranking_by_hand() -> None:
    # Three people; queries are images 0 (camera 3) and 1 (camera 6).
    pids, camids = np.array([1, 2, 1, 1, 2, 3]), np.array([3, 6, 2, 4, 1, 5])
    features = np.array([[1, 0], [0, 1], [1, 0], [0.8, 0.6], [0.6, 0.8], [0.9, 0.436]])
    score = match(features, pids, camids, trials=3)
    # Query 0 excludes camera 2: ranking 5, 3, 4, its match is second. Query 1: 4, 3, 5, 2, first.
    assert score.rank1 == pytest.approx(0.5)
    assert score.mean_average_precision == pytest.approx((0.5 + 1.0) / 2)
    assert score.chance == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert score.queries == 2


def test_match_without_a_valid_query_raises() -> None:
    with pytest.raises(DataError):
        match(np.eye(2), np.array([1, 2]), np.array([3, 1]))


def test_hog_of_a_vertical_edge_votes_for_one_direction() -> None:
    images = np.zeros((1, 128, 64, 3), np.uint8)
    images[:, :, 28:] = 255
    blocks = hog_features(images).reshape(15, 7, 4, 9)
    votes = blocks.sum(axis=(0, 1, 2))
    # A horizontal gradient is halfway between the first and the last of the nine unsigned directions.
    assert votes[[0, 8]].sum() / votes.sum() > 0.99


def test_naive_matchers_stay_near_chance(renderer: Renderer) -> None:
    import cv2

    batch = shots(range(1, 81))
    images = [image for k in range(0, len(batch), 24) for image in renderer.render(batch[k : k + 24])]
    stack = np.stack([cv2.resize(image, (64, 128)) for image in images])
    pids = np.array([shot.person.pid for shot in batch])
    camids = np.array([shot.camera.camid for shot in batch])
    for name, features in MATCHERS.items():
        score = match(features(stack), pids, camids, trials=2)
        assert score.queries == 160
        assert score.times_chance < 7, name  # 1.9, 1.0 and 3.1 times on average, at full size
        assert score.mean_average_precision < 0.1, name
