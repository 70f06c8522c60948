"""Phases scaled by a number: bins turned by a share of their own angle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vireid_cli.frequency.fourier import PHASE_FLOOR, Spectrum, real


def rotate(spectrum: Spectrum, share: Tensor, floor: float = PHASE_FLOOR) -> Spectrum:
    """F·e^{i·s·φ}: the amplitude is kept, the phase φ becomes (1 + s)·φ.

    FDNM's phase of AGP (METHODS 1.2); φ in (−π, π] is not continuous at ±π, which is in the method.
    Bins with |F| at most ``floor`` times the largest of their map have no phase and stay as they are.
    The gradient is bounded by (1 + s) everywhere: the 1/|F| of the angle meets the |F| of the bin.

    Args:
        spectrum: Real and imaginary part, (..., H, half) each.
        share: s, broadcasts against them, e.g. (B, C, 1, 1).
        floor: See above.

    Returns:
        Real and imaginary part, (..., H, half) each, float32 (float64 stays).
    """
    re, im = real(spectrum[0]), real(spectrum[1])
    turned: Spectrum = _Rotation.apply(re, im, share.to(re.dtype), floor)
    return turned


class _Rotation(torch.autograd.Function):
    """The backward pass in closed form: half the passes over the bins, no division near zero."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, share: Tensor, floor: float) -> Spectrum:
        power = re * re + im * im
        # A square of the floor below the smallest number would make a phase of nothing.
        least = (power.amax(dim=(-2, -1), keepdim=True) * floor**2).clamp_min(torch.finfo(re.dtype).tiny)
        kept = power > least
        angle = torch.where(kept, torch.atan2(im, re), 0.0)
        turn = share * angle
        cosine, sine = turn.cos(), turn.sin()
        ctx.save_for_backward(re, im, share, angle, least)
        return re * cosine - im * sine, re * sine + im * cosine

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        re, im, share, angle, least = ctx.saved_tensors
        to_re, to_im = gradients
        turn = share * angle
        cosine, sine = turn.cos(), turn.sin()
        # Turned back; with F they say how the loss changes with the angle.
        back_re = to_re * cosine + to_im * sine
        back_im = to_im * cosine - to_re * sine
        slope = back_im * re - back_re * im
        power = re * re + im * im
        kept = power > least
        through = torch.where(kept, share * slope / torch.where(kept, power, 1.0), 0.0)
        to_share = (slope * angle).sum_to_size(share.shape)
        return back_re - through * im, back_im + through * re, to_share, None
