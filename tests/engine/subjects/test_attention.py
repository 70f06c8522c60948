"""Attention maps: networks that see a single region, and the sum of the regions' contributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.engine.subjects.attention import attention_maps, blur, integrated_gradients, path_start
from vireid_cli.types import Modality

Region = tuple[slice, slice]

SIZE = (64, 32)
REGION = (slice(20, 36), slice(8, 24))


class Looker(nn.Module):
    """A small smooth network that sees a region of its images, and another one in infrared ones."""

    def __init__(self, visible: Region = REGION, infrared: Region = REGION) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.regions = {Modality.VISIBLE: visible, Modality.INFRARED: infrared}
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 16, 3, stride=2), nn.Tanh()
        ).double()

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        rows, columns = self.regions[modality]
        seen = images[:, :, rows, columns]
        return F.normalize(self.layers(4 * seen - 2).flatten(1), dim=1)


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(3, 3, 16, 8, generator=generator, dtype=torch.float64)
    return F.interpolate(coarse, size=SIZE, mode="bilinear")


def inside(maps: Tensor, region: Region) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[region] = True
    return maps[:, mask].sum(dim=1) / maps.sum(dim=(1, 2))


def test_all_parts_lie_inside_the_region_of_the_network(images: Tensor) -> None:
    signed = integrated_gradients(Looker(), images, Modality.VISIBLE)
    outside = torch.ones(SIZE, dtype=torch.bool)
    outside[REGION] = False
    assert signed[:, outside].abs().max() == 0
    assert signed.abs().sum() > 0
    maps = attention_maps(Looker(), images, Modality.VISIBLE)
    wider = (slice(14, 42), slice(2, 30))  # three deviations of 2 pixels around
    assert (inside(maps, REGION) > 0.8).all()
    torch.testing.assert_close(inside(maps, wider), torch.ones(3, dtype=torch.float64))


def test_each_modality_has_its_own_place(images: Tensor) -> None:
    lower = (slice(44, 60), slice(8, 24))
    network = Looker(infrared=lower)
    for modality, region in ((Modality.VISIBLE, REGION), (Modality.INFRARED, lower)):
        assert (inside(attention_maps(network, images, modality), region) > 0.8).all()


def test_shaded_regions_matter_by_their_difference(images: Tensor) -> None:
    plain = images.clone()
    plain[:, :, 20:36, 8:16] = plain[:, :, 20:36, 8:16].mean(dim=(2, 3), keepdim=True)
    plain[:, :, 20:36, 16:24:2] = 0.0  # stripes on the right half of the region
    maps = attention_maps(Looker(), plain, Modality.VISIBLE)
    assert (maps[:, :, 16:].sum((1, 2)) > 2 * maps[:, :, :16].sum((1, 2))).all()


@pytest.mark.parametrize("modality", list(Modality))
def test_parts_add_up_to_the_similarity_that_is_gained(images: Tensor, modality: Modality) -> None:
    network = Looker()
    gained = 1 - (network.embed(images, modality) * network.embed(path_start(images), modality)).sum(1)
    total = integrated_gradients(network, images, modality, steps=200).sum(dim=(1, 2))
    torch.testing.assert_close(total, gained.detach(), rtol=1e-4, atol=1e-5)


def test_maps_are_of_one_image_alone_and_peak_at_one(images: Tensor) -> None:
    maps = attention_maps(Looker(), images, Modality.VISIBLE)
    assert maps.shape == (3, *SIZE)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.amax((1, 2)), torch.ones(3, dtype=torch.float64))
    alone = torch.cat([attention_maps(Looker(), image[None], Modality.VISIBLE) for image in images])
    torch.testing.assert_close(alone, maps)
    assert (maps[0] - maps[1]).abs().max() > 0.1


def test_an_image_without_detail_has_no_heat() -> None:
    flat = torch.full((1, 3, *SIZE), 0.4, dtype=torch.float64)
    assert attention_maps(Looker(), flat, Modality.VISIBLE).abs().max() < 1e-6


def test_gradients_are_there_in_inference_mode_and_reach_no_parameter(images: Tensor) -> None:
    network = Looker()
    expected = attention_maps(network, images, Modality.VISIBLE)
    with torch.inference_mode():
        result = attention_maps(network, images.clone(), Modality.VISIBLE)
    torch.testing.assert_close(result.clone(), expected)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_blur_is_a_gaussian_that_keeps_sums_and_borders() -> None:
    point = torch.zeros(1, 2, 41, 31, dtype=torch.float64)
    point[0, 0, 20, 15] = 1.0
    result = blur(point, 2.0)
    assert result[0, 1].abs().max() == 0
    assert result.sum().item() == pytest.approx(1.0)
    y, x = np.mgrid[-6:7, -6:7]
    expected = np.exp(-(x**2 + y**2) / 8.0) / (8 * math.pi)
    np.testing.assert_allclose(result[0, 0, 14:27, 9:22].numpy(), expected, rtol=0.01)
    rows = torch.linspace(0, 1, 31).expand(1, 1, 41, 31)
    assert (blur(torch.ones_like(rows), 3.0) - 1).abs().max() < 1e-5
    assert blur(rows, 3.0)[0, 0, 0, 15].item() == pytest.approx(0.5, abs=1e-4)
