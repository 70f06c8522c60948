"""The orthonormal two-dimensional DCT as matrix products, and FcaNet's choices of frequencies.

Qin et al., "FcaNet: Frequency Channel Attention Networks", ICCV 2021. Everything runs in float32
(float64 stays), also under autocast.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vireid_cli.frequency.constants import constant

Frequencies = Literal["top16", "low16", "top1"]

GRID = 7
"""Rows and columns of the grid of FcaNet's frequencies."""

# (u, v): periods over rows and over columns, ranked by FcaNet's accuracy on ImageNet, best first.
_TOP = (
    (0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0),
    (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2),
)  # fmt: skip
_LOW = (
    (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (2, 1), (1, 2),
    (2, 2), (0, 3), (3, 0), (4, 0), (0, 4), (1, 3), (3, 1), (0, 5),
)  # fmt: skip
FREQUENCIES: dict[Frequencies, tuple[tuple[int, int], ...]] = {
    "top16": _TOP,
    "low16": _LOW,
    "top1": _TOP[:1],
}


def basis(size: int) -> np.ndarray:
    """DCT-II matrix (size, size): row u is cos(πu(t + ½)/n)/√n, times √2 where u > 0; orthonormal."""
    order, place = np.arange(size)[:, None], np.arange(size)
    cosines = np.cos(np.pi * order * (place + 0.5) / size) / np.sqrt(size)
    return np.asarray(np.where(order == 0, cosines, np.sqrt(2.0) * cosines))


def part_bounds(height: int, parts: int) -> list[tuple[int, int]]:
    """First row and end (exclusive) of each of ``parts`` horizontal parts that partition the rows.

    Part p has rows ⌊p·height/parts⌋ to ⌊(p+1)·height/parts⌋ − 1.

    Raises:
        ValueError: There are more parts than rows.
    """
    if not 1 <= parts <= height:
        raise ValueError(f"a map of {height} rows cannot be cut into {parts} parts")
    edges = [p * height // parts for p in range(parts + 1)]
    return list(itertools.pairwise(edges))


def part_basis(height: int, parts: int) -> np.ndarray:
    """Block-diagonal (height, height) matrix: the DCT matrix of each part on its own rows."""
    blocks = np.zeros((height, height))
    for first, end in part_bounds(height, parts):
        blocks[first:end, first:end] = basis(end - first)
    return blocks


def dct(maps: Tensor, parts: int = 1) -> Tensor:
    """Orthonormal 2-D DCT-II of each of ``parts`` horizontal parts of the maps.

    Args:
        maps: (..., H, W).
        parts: Number of parts, transformed separately; 1 transforms the whole map.

    Returns:
        (..., H, W): coefficients of each part in its own rows, with DC in the part's first row and column.

    Raises:
        ValueError: There are more parts than rows.
    """
    return _sandwich(maps, parts, transposed=False)


def inverse_dct(coefficients: Tensor, parts: int = 1) -> Tensor:
    """Invert ``dct``: coefficients (..., H, W) → maps (..., H, W)."""
    return _sandwich(coefficients, parts, transposed=True)


def part_descriptors(maps: Tensor, parts: int, frequencies: Frequencies, dc_norm: bool = True) -> Tensor:
    """DCT coefficient per channel and part, at the frequency of the channel's group (docs/methods.md#lam).

    A part is first average-pooled to 7 × 7, so that frequency (u, v) has the same meaning for parts of any
    size. FcaNet instead scales u by ⌊height/7⌋, which turns every vertical frequency of a part of fewer
    than 7 rows into the DC term.

    Args:
        maps: (B, C, H, W).
        parts: Number of horizontal parts.
        frequencies: FcaNet's 16 best, its 16 lowest, or DC alone. Channels form as many equal groups; channel
            c of C has frequency ⌊16c/C⌋. Fewer channels than frequencies use the first ones.
        dc_norm: Whether the DC term is divided by √(7·7), so that it is the mean and not 7 times the mean.

    Returns:
        (B, C, parts), float32 or float64.

    Raises:
        ValueError: There are more parts than rows.
    """
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps if maps.dtype == torch.float64 else maps.float()
        channels, height, width = maps.shape[1:]
        across = maps @ constant(_pooling, (width, 1, GRID), maps).mT  # (B, C, H, 7)
        pooled = constant(_pooling, (height, parts, GRID), maps) @ across  # (B, C, parts·7, 7)
        cells = pooled.unflatten(2, (parts, GRID)).flatten(3)  # (B, C, parts, 49)
        kind = list(FREQUENCIES).index(frequencies)
        weights = constant(_channel_weights, (channels, kind, int(dc_norm)), maps)  # (C, 49)
        return (cells * weights.unsqueeze(1)).sum(-1)


def channel_frequencies(channels: int, frequencies: Frequencies) -> list[tuple[int, int]]:
    """Frequency (u, v) of each channel; see ``part_descriptors``."""
    chosen = FREQUENCIES[frequencies]
    groups = min(len(chosen), channels)
    return [chosen[c * groups // channels] for c in range(channels)]


def _channel_weights(channels: int, kind: int, dc_norm: int) -> np.ndarray:
    """DCT weights of the 49 cells for each channel: (channels, 49)."""
    waves = basis(GRID)
    weights = np.empty((channels, GRID * GRID))
    for c, (u, v) in enumerate(channel_frequencies(channels, list(FREQUENCIES)[kind])):
        weights[c] = np.outer(waves[u], waves[v]).ravel()
        if dc_norm and (u, v) == (0, 0):
            weights[c] /= GRID
    return weights


def _pooling(size: int, parts: int, cells: int) -> np.ndarray:
    """Adaptive average pooling of each part of an axis to ``cells`` cells: (parts·cells, size)."""
    weights = np.zeros((parts * cells, size))
    for p, (first, end) in enumerate(part_bounds(size, parts)):
        extent = end - first
        for k in range(cells):
            low, high = first + k * extent // cells, first - (-(k + 1) * extent // cells)
            weights[p * cells + k, low:high] = 1.0 / (high - low)
    return weights


def _sandwich(maps: Tensor, parts: int, *, transposed: bool) -> Tensor:
    """Product rows × maps × columnsᵀ, with both matrices transposed for the inverse."""
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps if maps.dtype == torch.float64 else maps.float()
        height, width = maps.shape[-2:]
        rows = constant(part_basis, (height, parts), maps)
        columns = constant(part_basis, (width, 1), maps)
        return rows.mT @ maps @ columns if transposed else rows @ maps @ columns.mT
