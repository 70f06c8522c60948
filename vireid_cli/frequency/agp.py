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

Init = Literal["identity", "open", "paper"]

STARTS = {"identity": -4.0, "open": -2.0}
"""Bias of the gate at the start: S = 0.018 and 0.12."""

Representation = Literal["angle", "phasor"]
AmplitudePool = Literal["half", "hermitian"]


class AmplitudeGuidedPhase(nn.Module):
    """Scale the phase of each channel by 1 + S, S a sigmoid of the mean amplitudes of all channels.

    S = σ(W·g + b), g the mean of |F| by channel; phases become (1 + S)·φ, amplitudes stay. The paper's
    K parallel convolutions C → C/K, put side by side, are one convolution C → C, which is what is here.

    Args:
        channels: C.
        init: ``identity``: bias −4 and weights N(0, 0.01²), so that S starts at 0.018 and the maps
            nearly as they were; ``open``: bias −2, S = 0.12, where the sigmoid's slope is six times larger
            (both our choice); ``paper``: Kaiming weights and no bias, S about 0.5.
        representation: ``angle``: the literal method; ``phasor``: (cos φ, sin φ) scaled by 1 + S,
            which is the gain 1 + S on the channel: continuous, and no inverse transform is needed.
        pool: g over the stored half of the spectrum, or over the full plane.
        kind: Form of the transform, see ``fourier.spectrum``.
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
        self._shares: list[Tensor] = []  # S of the last training pass, (B, C) in all, without gradient

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W) of the same type; transforms in float32."""
        self._shares.clear()
        return together([self._block(part) for part in blocks(features)])

    def last_share(self) -> Tensor | None:
        """S of the last training batch, (B, C) without gradient; None before one."""
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
        """S in (0, 1) from mean amplitudes: (B, C) → (B, C)."""
        return real(torch.sigmoid(self.mix(guide)))


def share_monitors(modules: nn.ModuleDict) -> dict[str, Tensor]:
    """S of AGP modules over the last training batch, for the log.

    Args:
        modules: ``AmplitudeGuidedPhase`` by the stages that they follow.

    Returns:
        ``agp.<stage>.mean`` over images and channels, and ``agp.<stage>.std``, the deviation over
        channels of their means over images.
    """
    monitors = {}
    for stage, module in modules.items():
        assert isinstance(module, AmplitudeGuidedPhase)
        share = module.last_share()
        if share is not None:
            monitors[f"agp.{stage}.mean"] = share.mean()
            monitors[f"agp.{stage}.std"] = share.mean(0).std(correction=0)
    return monitors


def guided(bins: Spectrum, width: int, pool: AmplitudePool) -> tuple[Spectrum, Tensor, Tensor]:
    """The spectrum as it is, its amplitude without gradient, and its ``mean_amplitude`` (B, C).

    The gradients of the spectrum and of the mean meet in one pass.
    """
    re, im, size, guide = _Guided.apply(*bins, width, pool)
    return (re, im), size, guide


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, re: Tensor, im: Tensor, width: int, pool: AmplitudePool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = above_zero(magnitude(re, im))
        ctx.save_for_backward(re, im, size)
        ctx.mark_non_differentiable(size)
        ctx.width, ctx.pool = width, pool
        return re.view_as(re), im.view_as(im), size, mean_amplitude(size, width, pool)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        re, im, size = ctx.saved_tensors
        to_re, to_im, _, to_guide = gradients
        # What each bin has in the mean, over its amplitude: times Re and Im it is its gradient.
        scale = to_guide[..., None, None] * bin_weights(size, ctx.width, ctx.pool) / size
        return torch.addcmul(to_re, scale, re), torch.addcmul(to_im, scale, im), None, None


def mean_amplitude(amplitudes: Tensor, width: int, pool: AmplitudePool) -> Tensor:
    """Mean of |F| by channel: (B, C, H, W//2 + 1) → (B, C).

    Args:
        amplitudes: Of the stored half of the spectrum.
        width: W of the maps.
        pool: ``half``: over the stored bins; ``hermitian``: over the full plane.
    """
    if pool == "half":
        return amplitudes.mean(dim=(-2, -1))
    return (amplitudes * bin_weights(amplitudes, width, pool)).sum(dim=(-2, -1))


def bin_weights(amplitudes: Tensor, width: int, pool: AmplitudePool) -> Tensor:
    """What each stored bin counts in ``mean_amplitude``, of the same parameters; broadcasts."""
    height, half = amplitudes.shape[-2:]
    if pool == "half":
        return amplitudes.new_full((), 1.0 / (height * half))
    return columns_to_full(width, amplitudes) / (height * width)  # (half,)
