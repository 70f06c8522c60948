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
    """The backward pass in closed form: half the passes over the bins, no division near zero.

    Masks are numbers 0 and 1: choosing by ``where`` takes a CPU ten times longer than multiplying.
    """

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, share: Tensor, floor: float) -> Spectrum:
        power = torch.addcmul(re * re, im, im)
        # A square of the floor below the smallest number would make a phase of nothing.
        tiny = torch.finfo(re.dtype).tiny
        least = (power.amax(dim=(-2, -1), keepdim=True) * floor**2).clamp_min(tiny)
        kept = power.clone().gt_(least)
        angle = torch.atan2(im, re).mul_(kept)
        turn = share * angle
        cosine, sine = turn.cos(), turn.sin()
        turned = (re * cosine).addcmul_(im, sine, value=-1.0), (im * cosine).addcmul_(re, sine)
        ctx.save_for_backward(re, im, share, angle, kept.div_(power.clamp_min_(tiny)))
        return turned

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        re, im, share, angle, per_power = ctx.saved_tensors
        to_re, to_im = gradients
        turn = share * angle
        cosine, sine = turn.cos(), turn.sin()
        # Turned back; with F they say how the loss changes with the angle.
        back_re = (to_re * cosine).addcmul_(to_im, sine)
        back_im = (to_im * cosine).addcmul_(to_re, sine, value=-1.0)
        slope = (back_im * re).addcmul_(back_re, im, value=-1.0)
        to_share = (slope * angle).sum_to_size(share.shape)
        through = slope.mul_(share).mul_(per_power)
        return back_re.addcmul_(through, im, value=-1.0), back_im.addcmul_(through, re), to_share, None
