"""Means of pixel rows of maps, and variances of maps, computed from the spectrum.

The means of pixel rows depend on the first column of the spectrum only, and the variance of a map is the
energy of its bins without the first (Parseval). Methods that need nothing else skip the inverse transform.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vireid_cli.frequency import matrices
from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.frequency.constants import constant
from vireid_cli.frequency.fourier import (
    Kind,
    Spectrum,
    above_zero,
    inverse,
    least_amplitude,
    magnitude,
    real,
    unit_phasor,
)
from vireid_cli.sharding.share import sum_over_ranks, whole_rows


class Bins(NamedTuple):
    """Amplitudes, and the phases that row means need.

    Attributes:
        amplitude: |F|, (B, C, H, half).
        counts: Multiplicity of each bin in the energy: 1 or 2, and 0 for the mean and for bins without phase;
            (B, C, H, half), without gradient.
        phase: (cos φ, sin φ) of the first column, (B, C, H, 1) each.
    """

    amplitude: Tensor
    counts: Tensor
    phase: Spectrum


def bins_of(spectrum: Spectrum, width: int) -> Bins:
    """Compute ``Bins`` from the half spectrum of maps ``width`` pixels wide."""
    size, *column = _AmplitudeAndColumn.apply(real(spectrum[0]), real(spectrum[1]))
    least = least_amplitude(size)
    counts = constant(matrices.energy_counts, (size.shape[-2], width), size)
    counts = size.detach().gt(least) * counts
    return Bins(size, counts, unit_phasor((column[0], column[1]), size.detach()[..., :1], least=least))


def column_and_energy(bins: Bins, amplitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First spectrum column and energy of maps with ``amplitude`` (of any sign) and the phases of ``bins``.

    Returns:
        Real and imaginary part of the first column of their spectrum, (B, C, H, 1) each, and
        Σ (x − mean)² over each map, (B, C).
    """
    column_energy: tuple[Tensor, Tensor, Tensor] = _ColumnAndEnergy.apply(amplitude, bins.counts, *bins.phase)
    return column_energy


def row_means(column: Spectrum, width: int, kind: Kind) -> Tensor:
    """Means of the pixel rows of maps ``width`` pixels wide; rows of bins may be in any order.

    Args:
        column: First column of the spectrum, (B, C, H, 1) twice.
        width: W of the maps, in pixels.
        kind: Implementation that computed the spectrum; not ``auto``, because a column is smaller than its
            map.

    Returns:
        (B, C, H).
    """
    rows = inverse(column, (column[0].shape[-2], 1), kind, ordered=False)  # (B, C, H, 1)
    return rows.squeeze(-1) / width**0.5


def batch_normed(norm: BranchNorm, rows: Tensor, energy: Tensor, width: int) -> Tensor:
    """Apply ``norm`` to maps that are known by their row means and energies only.

    Running statistics are updated as in the norm's forward pass.

    Args:
        norm: Batch norm of the branches.
        rows: (branches·N, C, H) means of the pixel rows of the maps, one branch after another.
        energy: (branches·N, C), Σ (x − mean)² over each map.
        width: W of the maps, in pixels.

    Returns:
        (branches·N, C, H) row means of the normalised maps.
    """
    positions = rows.shape[2] * width
    branches = rows.unflatten(0, (norm.branches, -1))  # (branches, N, C, H)
    mean, variance = None, None
    if norm.training:
        means = branches.mean(-1)  # (branches, N, C)
        images = whole_rows(branches.shape[1])
        mean = sum_over_ranks(means.sum(1)) / images
        spread = energy.unflatten(0, (norm.branches, -1)) / positions
        variance = sum_over_ranks((spread + (means - mean.unsqueeze(1)).square()).sum(1)) / images
        norm.update(mean.detach(), variance.detach(), images * positions)
    scale, shift = (real(value)[:, None, :, None] for value in norm.affine(mean, variance))
    return torch.addcmul(shift, branches, scale).flatten(0, 1)


class _AmplitudeAndColumn(torch.autograd.Function):
    """|F| and the first column of F; the gradient is 0 at |F| = 0, as in ``fourier.amplitude``."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return |F|, and Re and Im of the first column."""
        size = magnitude(re, im)
        ctx.save_for_backward(re, im, size)
        return size, re[..., :1].clone(), im[..., :1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of Re and Im."""
        re, im, size = ctx.saved_tensors
        to_size, *to_column = gradients
        scale = to_size / above_zero(size)
        to_parts = scale * re, scale * im
        for whole, first in zip(to_parts, to_column, strict=True):
            whole[..., :1] += first
        return to_parts


class _ColumnAndEnergy(torch.autograd.Function):
    """First column A·(cos φ, sin φ) and Σ counts·A² of each map, with one backward pass for both."""

    @staticmethod
    def forward(
        ctx: Any, amplitude: Tensor, counts: Tensor, cosine: Tensor, sine: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return Re and Im of the first column, and the energy (B, C)."""
        ctx.save_for_backward(amplitude, counts, cosine, sine)
        first = amplitude[..., :1]
        return first * cosine, first * sine, (amplitude * counts).mul_(amplitude).sum(dim=(-2, -1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        """Gradients of amplitude, cosine and sine."""
        amplitude, counts, cosine, sine = ctx.saved_tensors
        to_re, to_im, to_energy = gradients
        first = amplitude[..., :1]
        to_amplitude = (amplitude * counts).mul_(2.0 * to_energy[..., None, None])
        to_amplitude[..., :1] += to_re * cosine + to_im * sine
        return to_amplitude, None, to_re * first, to_im * first
