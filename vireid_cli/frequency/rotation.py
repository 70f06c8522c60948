"""Scaled phases: rotation of each bin by a share of its own angle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vireid_cli.frequency.fourier import Spectrum, above_zero, magnitude, real


def rotate(spectrum: Spectrum, share: Tensor, size: Tensor | None = None) -> Spectrum:
    """F·e^{i·s·φ}: the phase φ becomes (1 + s)·φ, the amplitude does not change.

    This is the phase of FDNM's AGP (docs/methods.md#agp). φ in (−π, π] is discontinuous at ±π, a property
    of the method. Bins of value 0 stay 0. Bins that are rounding errors are rotated too and stay as small.
    The gradient is bounded by (1 + s): the 1/|F| of the angle cancels the |F| of the bin.

    Args:
        spectrum: Real and imaginary part, (..., H, half) each.
        share: s, broadcasts against both parts, e.g. (B, C, 1, 1).
        size: |F| ``above_zero``, if already computed. It gets no gradient; the gradient of this function
            includes that of the angle.

    Returns:
        Real and imaginary part, (..., H, half) each, float32 (float64 stays).
    """
    re, im = real(spectrum[0]), real(spectrum[1])
    if size is None:
        size = above_zero(magnitude(re.detach(), im.detach()))
    turned: Spectrum = _Rotation.apply(re, im, share.to(re.dtype), size.detach())
    return turned


class _Rotation(torch.autograd.Function):
    """Rotation with a backward pass in closed form: half the passes over the bins, no division near zero."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, share: Tensor, size: Tensor) -> Spectrum:
        """Rotate each bin by ``share`` times its angle."""
        angle = torch.atan2(im, re)
        turn = share * angle
        cosine, sine = turn.cos(), turn.sin()
        # Not in place: PyTorch 2.11 compiles in-place results to tensors without gradient.
        turned = torch.addcmul(re * cosine, im, sine, value=-1.0), torch.addcmul(im * cosine, re, sine)
        ctx.save_for_backward(re, im, share, angle, size, cosine, sine)
        return turned

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of Re, Im and ``share``."""
        re, im, share, angle, size, cosine, sine = ctx.saved_tensors
        to_re, to_im = gradients
        # Rotated back; with F they give the derivative of the loss with respect to the angle.
        back_re = (to_re * cosine).addcmul_(to_im, sine)
        back_im = (to_im * cosine).addcmul_(to_re, sine, value=-1.0)
        slope = (back_im * re).addcmul_(back_re, im, value=-1.0)
        to_share = (slope * angle).sum_to_size(share.shape)
        through = slope.mul_(share).div_(size).div_(size)
        return back_re.addcmul_(through, im, value=-1.0), back_im.addcmul_(through, re), to_share, None
