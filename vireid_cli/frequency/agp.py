"""AGP, FDNM's amplitude-guided phase module (docs/methods.md#agp)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from vireid_cli.frequency.fourier import (
    Kind,
    Spectrum,
    above_zero,
    columns_to_full,
    inverse,
    magnitude,
    real,
    spectrum,
)
from vireid_cli.frequency.products import blocks, together
from vireid_cli.frequency.rotation import rotate
from vireid_cli.sharding.share import gather

Init = Literal["identity", "open", "paper"]

STARTS = {"identity": -4.0, "open": -2.0}
"""Initial bias of the gate; S starts at 0.018 and at 0.12."""

Representation = Literal["angle", "phasor"]
AmplitudePool = Literal["half", "hermitian"]


class AmplitudeGuidedPhase(nn.Module):
    """Scale the phase of each channel by 1 + S, S a sigmoid of the mean amplitudes of all channels.

    S = σ(W·g + b) with g the mean of |F| per channel. Phases become (1 + S)·φ; amplitudes do not change.
    The paper's K parallel convolutions C → C/K, concatenated, equal the one convolution C → C used here.

    Args:
        channels: C.
        init: ``identity`` has bias −4 and weights N(0, 0.01²): S starts at 0.018 and the maps barely change.
            ``open`` has bias −2: S starts at 0.12, and the sigmoid's slope is six times larger. Both are our
            choice. ``paper`` has Kaiming weights and no bias: S starts near 0.5.
        representation: ``angle`` is the literal method. ``phasor`` scales (cos φ, sin φ) by 1 + S, which
            equals a gain 1 + S on the channel: it is continuous and needs no inverse transform.
        pool: Bins that g averages: the stored half of the spectrum, or the full plane.
        kind: Implementation of the transform; see ``fourier.spectrum``.
    """

    def __init__(
        self,
        channels: int,
        init: Init = "identity",
        representation: Representation = "angle",
        pool: AmplitudePool = "half",
        kind: Kind = "auto",
    ) -> None:
        super().__init__()
        self.mix = nn.Linear(channels, channels, bias=init in STARTS)
        if init in STARTS:
            nn.init.normal_(self.mix.weight, std=0.01)
            nn.init.constant_(self.mix.bias, STARTS[init])
        else:
            nn.init.kaiming_normal_(self.mix.weight)
        self.representation, self.pool, self.kind = representation, pool, kind
        self._shares: list[Tensor] = []  # S of the last training pass, (B, C) in total, no gradient

    def forward(self, features: Tensor) -> Tensor:
        """Scale the phases: (B, C, H, W) → (B, C, H, W) of the same type; transforms run in float32."""
        self._shares.clear()
        return together([self._block(part) for part in blocks(features)])

    def last_share(self) -> Tensor | None:
        """S of the last training batch, (B, C) without gradient; None before the first batch."""
        return together(self._shares) if self._shares else None

    def _block(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        bins, size, guide = guided(spectrum(features, self.kind, ordered=False), width, self.pool)
        share = self.share(guide)
        if self.training:
            self._shares.append(share.detach())
        share = share[..., None, None]
        if self.representation == "phasor":
            return (real(features) * (1.0 + share)).to(features.dtype)
        turned = rotate(bins, share, size)
        return inverse(turned, (height, width), self.kind, ordered=False, dtype=features.dtype)

    def share(self, guide: Tensor) -> Tensor:
        """Compute S in (0, 1) from mean amplitudes: (B, C) → (B, C)."""
        return real(torch.sigmoid(self.mix(guide)))


def share_monitors(modules: nn.ModuleDict) -> dict[str, Tensor]:
    """Statistics of S of AGP modules over the last training batch, for logs.

    Args:
        modules: ``AmplitudeGuidedPhase`` modules, keyed by the stage that they follow.

    Returns:
        ``agp.<stage>.mean`` over images and channels, and ``agp.<stage>.std``, the deviation over
        channels of their means over images.
    """
    monitors = {}
    for stage, module in modules.items():
        assert isinstance(module, AmplitudeGuidedPhase)
        share = module.last_share()
        if share is not None:
            share = gather(share)
            monitors[f"agp.{stage}.mean"] = share.mean()
            monitors[f"agp.{stage}.std"] = share.mean(0).std(correction=0)
    return monitors


def guided(bins: Spectrum, width: int, pool: AmplitudePool) -> tuple[Spectrum, Tensor, Tensor]:
    """Return the unchanged spectrum, its amplitude without gradient, and its ``mean_amplitude`` (B, C).

    One backward pass adds the gradients of the spectrum and of the mean.
    """
    re, im, size, guide = _Guided.apply(*bins, width, pool)
    return (re, im), size, guide


class _Guided(torch.autograd.Function):
    """Spectrum, amplitude and mean amplitude of each channel, with one backward pass for all."""

    @staticmethod
    def forward(
        ctx: Any, re: Tensor, im: Tensor, width: int, pool: AmplitudePool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return Re, Im, |F| without gradient, and the mean amplitude (B, C)."""
        size = above_zero(magnitude(re, im))
        ctx.save_for_backward(re, im, size)
        ctx.mark_non_differentiable(size)
        ctx.width, ctx.pool = width, pool
        return re.view_as(re), im.view_as(im), size, mean_amplitude(size, width, pool)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Add the gradient of the mean amplitude to that of Re and Im."""
        re, im, size = ctx.saved_tensors
        to_re, to_im, _, to_guide = gradients
        # Weight of each bin in the mean, divided by its amplitude. Times Re and Im it is the gradient.
        scale = to_guide[..., None, None] * bin_weights(size, ctx.width, ctx.pool) / size
        return torch.addcmul(to_re, scale, re), torch.addcmul(to_im, scale, im), None, None


def mean_amplitude(amplitudes: Tensor, width: int, pool: AmplitudePool) -> Tensor:
    """Mean of |F| per channel: (B, C, H, W//2 + 1) → (B, C).

    Args:
        amplitudes: Amplitudes of the stored half of the spectrum.
        width: W of the maps, in pixels.
        pool: ``half`` averages the stored bins, ``hermitian`` the full plane.
    """
    if pool == "half":
        return amplitudes.mean(dim=(-2, -1))
    return (amplitudes * bin_weights(amplitudes, width, pool)).sum(dim=(-2, -1))


def bin_weights(amplitudes: Tensor, width: int, pool: AmplitudePool) -> Tensor:
    """Weight of each stored bin in ``mean_amplitude`` with the same arguments; broadcasts."""
    height, half = amplitudes.shape[-2:]
    if pool == "half":
        return amplitudes.new_full((), 1.0 / (height * half))
    return columns_to_full(width, amplitudes) / (height * width)  # (half,)
