"""The DCT against scipy, FcaNet's frequencies, and descriptors of parts against plain loops."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tensors import normal
from vireid_cli.frequency.dct import (
    FREQUENCIES,
    Frequencies,
    basis,
    channel_frequencies,
    dct,
    inverse_dct,
    part_bounds,
    part_descriptors,
)


@pytest.mark.parametrize("size", [1, 2, 6, 7, 24])
def test_basis_is_orthonormal(size: int) -> None:
    assert np.abs(basis(size) @ basis(size).T - np.eye(size)).max() < 1e-12


@pytest.mark.parametrize(("height", "width", "parts"), [(24, 8, 4), (18, 9, 1), (7, 5, 3), (6, 1, 6)])
def test_dct_of_parts_is_scipys(height: int, width: int, parts: int) -> None:
    maps = normal(2, 3, height, width)
    actual = dct(maps, parts)
    for first, end in part_bounds(height, parts):
        expected = scipy.fft.dctn(maps[..., first:end, :].numpy(), axes=(-2, -1), norm="ortho")
        np.testing.assert_allclose(actual[..., first:end, :].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(inverse_dct(actual, parts), maps)
    torch.testing.assert_close(actual.square().sum(), maps.square().sum())  # Parseval


def test_parts_cover_every_row_once() -> None:
    for height, parts in [(24, 4), (7, 3), (5, 5), (48, 7)]:
        bounds = part_bounds(height, parts)
        assert [row for first, end in bounds for row in range(first, end)] == list(range(height))
        assert all(end > first for first, end in bounds)
    with pytest.raises(ValueError, match="3 rows cannot be cut into 4"):
        part_bounds(3, 4)


def wave(u: int, size: int, t: int) -> float:
    return math.cos(math.pi * u * (t + 0.5) / size) / math.sqrt(size) * (math.sqrt(2) if u else 1.0)


def descriptors_by_loops(maps: Tensor, parts: int, frequencies: Frequencies, dc_norm: bool) -> Tensor:
    batch, channels, height, _ = maps.shape
    actual = torch.zeros(batch, channels, parts, dtype=torch.float64)
    chosen = FREQUENCIES[frequencies]
    groups = min(len(chosen), channels)
    for p in range(parts):
        rows = maps[:, :, p * height // parts : (p + 1) * height // parts]
        grid = F.adaptive_avg_pool2d(rows, 7)
        for c in range(channels):
            u, v = chosen[c * groups // channels]
            for t in range(7):
                for s in range(7):
                    actual[:, c, p] += grid[:, c, t, s] * wave(u, 7, t) * wave(v, 7, s)
            if dc_norm and u == v == 0:
                actual[:, c, p] /= 7
    return actual


@pytest.mark.parametrize("frequencies", ["top16", "low16", "top1"])
@pytest.mark.parametrize("dc_norm", [True, False])
@pytest.mark.parametrize(
    ("channels", "height", "width", "parts"), [(32, 24, 8, 4), (20, 9, 5, 2), (5, 6, 3, 3)]
)
def test_descriptors_are_those_of_plain_loops(
    frequencies: Frequencies, dc_norm: bool, channels: int, height: int, width: int, parts: int
) -> None:
    maps = normal(2, channels, height, width)
    expected = descriptors_by_loops(maps, parts, frequencies, dc_norm)
    torch.testing.assert_close(part_descriptors(maps, parts, frequencies, dc_norm), expected)


@pytest.mark.parametrize("rows", [1, 2, 6, 12])
def test_no_frequency_of_a_small_part_becomes_dc(rows: int) -> None:
    # FcaNet scales u by rows // 7: for 6 rows all vertical frequencies would be 0.
    maps = normal(1, 32, 4 * rows, 8)
    actual = part_descriptors(maps, 4, "top16")
    mean = part_descriptors(maps, 4, "top1")
    for c, (u, v) in enumerate(channel_frequencies(32, "top16")):
        equal = torch.allclose(actual[:, c], mean[:, c], atol=1e-6)
        assert equal == ((u, v) == (0, 0)), (u, v)
    # A vertical wave of the part's own rows appears at its frequency and not at DC.
    if rows >= 6:
        t = torch.arange(rows, dtype=torch.float64)
        column = torch.cos(math.pi * 3 * (t + 0.5) / rows).repeat(4)[:, None].expand(-1, 8)
        descriptors = part_descriptors(column.expand(1, 32, -1, -1), 4, "top16")[0, :, 0]
        at = {pair: descriptors[c].abs().item() for c, pair in enumerate(channel_frequencies(32, "top16"))}
        assert at[(3, 0)] > 1.0
        assert at[(0, 0)] < 1e-9


def test_dc_descriptor_is_the_mean_or_seven_times_it() -> None:
    maps = normal(2, 4, 14, 7)
    mean = maps.mean(dim=(2, 3)).unsqueeze(-1)
    torch.testing.assert_close(part_descriptors(maps, 1, "top1"), mean)
    torch.testing.assert_close(part_descriptors(maps, 1, "top1", dc_norm=False), 7 * mean)


def test_frequencies_are_fcanets() -> None:
    assert [pairs[:4] for pairs in FREQUENCIES.values()] == [
        ((0, 0), (0, 1), (6, 0), (0, 5)),
        ((0, 0), (0, 1), (1, 0), (1, 1)),
        ((0, 0),),
    ]
    assert all(len(set(pairs)) == len(pairs) for pairs in FREQUENCIES.values())
    counts = channel_frequencies(64, "top16")
    assert all(counts.count(pair) == 4 for pair in FREQUENCIES["top16"])


@pytest.mark.parametrize("kind", ["dct", "inverse", "descriptors"])
def test_gradients(kind: str) -> None:
    maps = normal(1, 3, 6, 5).requires_grad_()
    run = {
        "dct": lambda x: dct(x, 2),
        "inverse": lambda x: inverse_dct(x, 2),
        "descriptors": lambda x: part_descriptors(x, 2, "top16"),
    }[kind]
    assert torch.autograd.gradcheck(run, (maps,))


def test_float32_under_autocast() -> None:
    maps = normal(1, 4, 8, 8).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = (dct(maps), part_descriptors(maps, 2, "top16"))
    for actual, exact in zip(low, (dct(maps), part_descriptors(maps, 2, "top16")), strict=True):
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, exact, rtol=0, atol=0)
