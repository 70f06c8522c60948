"""CFAM, SFCL's cross-modal frequency alignment of the spectra of pairs (docs/methods.md#cfam).

Each stored bin of a map's half spectrum is one token of log amplitudes and one token of phases. Trans-Mamba
blocks process the tokens of each image. Then the tokens of each modality attend to those of the other,
infrared amplitude tokens are transported to visible positions, and the resulting tokens change amplitude
and phase. At the start of training the module returns its input spectra.

Spectra are passed as real tensors; the transforms and the transport plan are in ``frequency``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.layers.choice import Choice, choose, opposite
from vireid_cli.layers.trans_mamba import Attention, TransMamba
from vireid_cli.types import Modality

AMPLITUDE_EPSILON = 1e-6
"""A = sqrt(Re² + Im² + ε): finite gradient at bins of value 0 (docs/methods.md#numerical-precision)."""

PHASOR_FLOOR = 1e-2
"""Phasors shorter than this are not scaled to length 1, because bins without amplitude have no phase."""

GRID = (18, 5)
"""Grid of learned positions, the half spectrum of layer 4 at 288x144; other sizes are interpolated."""

Spectrum = tuple[Tensor, Tensor]
Carry = Callable[["Spectral", "Spectral", Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""(infrared, visible, their amplitude tokens) → infrared tokens at visible positions, and back or None."""


@dataclass(frozen=True)
class Spectral:
    """Spectra of B maps and their tokens; N = H·(W//2 + 1) bins.

    Attributes:
        amplitude: A, (B, C, N).
        cosine, sine: Re/A and Im/A, (B, C, N).
        tokens: Amplitude tokens, (B, N, d).
        phases: Phase tokens, (B, N, d).
    """

    amplitude: Tensor
    cosine: Tensor
    sine: Tensor
    tokens: Tensor
    phases: Tensor

    def take(self, index: Tensor | slice) -> Spectral:
        """Select maps by index."""
        parts = (self.amplitude, self.cosine, self.sine, self.tokens, self.phases)
        return Spectral(*(part[index] for part in parts))


class Cfam(nn.Module):
    """Cross-modal frequency alignment.

    Args:
        channels: C of the maps.
        dim: Width d of the tokens.
        depth, state, ratio: Number of Trans-Mamba blocks, their state size, and the ratio of inner channels
            to d.
        phase_repr: Representation of phases: (cos φ, sin φ), or the angle, which jumps at ±π. The output
            changes the phasor or the angle.
        carry: Transport of tokens, or None for no transport.
    """

    def __init__(
        self,
        channels: int,
        dim: int = 768,
        *,
        depth: int = 1,
        state: int = 16,
        ratio: int = 2,
        phase_repr: Literal["sincos", "angle"] = "sincos",
        carry: Carry | None = None,
    ) -> None:
        super().__init__()
        self.phase_repr, self.carry = phase_repr, carry
        parts = 2 if phase_repr == "sincos" else 1
        self.amplitude_in, self.phase_in = nn.Linear(channels, dim), nn.Linear(parts * channels, dim)
        self.positions = nn.Parameter(torch.zeros(2, *GRID, dim))
        self.blocks = nn.ModuleList(TransMamba(dim, state, ratio) for _ in range(depth))
        # Without scale and shift, which the following projections include.
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.amplitude_attention = nn.ModuleDict({m.value: Attention(dim) for m in Modality})
        self.phase_attention = nn.ModuleDict({m.value: Attention(dim) for m in Modality})
        self.amplitude_out, self.phase_out = nn.Linear(dim, channels), nn.Linear(dim, parts * channels)
        for layer in (self.amplitude_out, self.phase_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.fusion = nn.Parameter(torch.zeros(()))  # ω
        self.gamma = nn.Parameter(torch.zeros(())) if carry is not None else None

    def undecayed(self) -> list[nn.Parameter]:
        """Parameters without weight decay: scalars, norms, positions, and those of the scan."""
        parameters = [self.positions, self.fusion] + ([] if self.gamma is None else [self.gamma])
        for module in self.modules():
            if isinstance(module, TransMamba):
                parameters += module.scan.undecayed()
                norms = (module.scan_norm, module.amplitude_norm, module.attention_norm, module.phase_norm)
                parameters += [parameter for norm in norms for parameter in norm.parameters()]
        return parameters

    def encode(self, spectrum: Spectrum, angle: Tensor | None = None) -> Spectral:
        """Compute the tokens of spectra with the Trans-Mamba blocks.

        Args:
            spectrum: Real and imaginary part, (B, C, H, W//2 + 1) float32.
            angle: φ in radians, (B, C, H, W//2 + 1); required if ``phase_repr`` is ``angle``.

        Raises:
            ValueError: ``phase_repr`` is ``angle`` and the angle is missing.
        """
        size = (spectrum[0].shape[2], spectrum[0].shape[3])
        re, im = (part.flatten(2) for part in spectrum)  # (B, C, N)
        amplitude = (re * re + im * im + AMPLITUDE_EPSILON).sqrt()
        cosine, sine = re / amplitude, im / amplitude
        if self.phase_repr == "sincos":
            phase = torch.cat([cosine, sine], dim=1)
        elif angle is None:
            raise ValueError("phase_repr 'angle' needs the angle of each bin")
        else:
            phase = angle.flatten(2)
        at = interpolate_positions(self.positions, size)  # (2, N, d)
        tokens = self.amplitude_in((amplitude + 1e-2).log().mT) + at[0]
        phases = self.phase_in(phase.mT) + at[1]
        for block in self.blocks:
            tokens, phases = block(tokens, phases, size)
        return Spectral(amplitude, cosine, sine, tokens, phases)

    def attend(self, own: Spectral, other: Spectral, modality: Choice) -> Spectral:
        """Attend from the tokens of a modality to its partner's, with the weights of this modality."""
        tokens = own.tokens + self._attended(self.amplitude_attention, own.tokens, other.tokens, modality)
        phases = own.phases + self._attended(self.phase_attention, own.phases, other.phases, modality)
        return Spectral(own.amplitude, own.cosine, own.sine, tokens, phases)

    def _attended(self, kinds: nn.ModuleDict, own: Tensor, other: Tensor, modality: Choice) -> Tensor:
        """Attention of normalised tokens, each image by the module of its modality."""
        own, other = self.norm(own), self.norm(other)
        visible, infrared = (kinds[m.value] for m in Modality)
        return choose(modality, lambda: visible(own, other), lambda: infrared(own, other))

    def align(self, visible: Spectral, infrared: Spectral) -> tuple[Spectrum, Spectrum]:
        """Align the spectra of pairs, row by row: (B, C, N) parts of visible and of infrared maps."""
        attended = self.attend(visible, infrared, Modality.VISIBLE)
        partner = self.attend(infrared, visible, Modality.INFRARED)
        sides = self.move(attended, partner)
        phasors = self.phasor(sides[0]), self.phasor(sides[1])
        share = 0.5 * self.fusion.tanh()  # w: the partner's phase weighs less than one half
        fused = (
            _unit(tuple(x + share * y for x, y in zip(*pair, strict=True)))  # type: ignore[arg-type]
            for pair in (phasors, phasors[::-1])
        )
        first, second = (self.decode(side, phasor) for side, phasor in zip(sides, fused, strict=True))
        return first, second

    def move(self, visible: Spectral, infrared: Spectral) -> tuple[Spectral, Spectral]:
        """Move amplitude tokens towards the transported ones: a ← a + γ (t − a)."""
        if self.carry is None or self.gamma is None:
            return visible, infrared
        moved, back = self.carry(infrared, visible, infrared.tokens, visible.tokens)
        visible = self._moved(visible, moved)
        return visible, infrared if back is None else self._moved(infrared, back)

    def alone(self, own: Spectral, modality: Choice) -> Spectrum:
        """Spectrum of maps without a partner: each map is its own partner, without transport."""
        attended = self.attend(own, own, modality)
        return self.decode(attended, self.phasor(attended))

    def facing(self, own: Spectral, other: Spectral, modality: Choice) -> Spectrum:
        """Spectrum of maps of one modality with partners that have only tokens and amplitudes.

        This is ``align`` without the fusion of phases: each map keeps its own phase.
        """
        attended, partner = self.attend(own, other, modality), self.attend(other, own, opposite(modality))
        tokens = choose(
            modality,
            lambda: self.move(attended, partner)[0].tokens,
            lambda: self.move(partner, attended)[1].tokens,
        )
        return self.decode(replace(attended, tokens=tokens), self.phasor(attended))

    def _moved(self, own: Spectral, target: Tensor) -> Spectral:
        assert self.gamma is not None
        tokens = own.tokens + self.gamma * (target - own.tokens)
        return Spectral(own.amplitude, own.cosine, own.sine, tokens, own.phases)

    def phasor(self, own: Spectral) -> Spectrum:
        """Changed phase as a unit phasor, (B, C, N) each, float32."""
        change = self._read_out(self.phase_out, own.phases)  # (B, 2C or C, N)
        if self.phase_repr == "sincos":
            cosine, sine = change.chunk(2, dim=1)
            return _unit((own.cosine + cosine, own.sine + sine))
        cosine, sine = change.cos(), change.sin()
        return _unit((own.cosine * cosine - own.sine * sine, own.sine * cosine + own.cosine * sine))

    def _read_out(self, layer: nn.Linear, tokens: Tensor) -> Tensor:
        """Linear layer of normalised tokens, divided by √d: (B, N, d) → (B, outputs, N) float32.

        At first an optimizer changes all d weights of an output by the same amount. Without the norm and the
        division the tanh of the amplitudes saturates within ten steps of Adam, and CFAM stops learning.
        """
        return (layer(self.norm(tokens)).float() / tokens.shape[2] ** 0.5).mT

    def decode(self, own: Spectral, phasor: Spectrum) -> Spectrum:
        """Spectrum of changed amplitudes and the given phasor, (B, C, N) each; a gain is in (e⁻², e²)."""
        gain = (2.0 * self._read_out(self.amplitude_out, own.tokens).tanh()).exp()  # (B, C, N), in (e⁻², e²)
        changed = own.amplitude * gain
        return changed * phasor[0], changed * phasor[1]


def _unit(phasor: Spectrum) -> Spectrum:
    cosine, sine = phasor
    length = (cosine * cosine + sine * sine).clamp_min(PHASOR_FLOOR**2).sqrt()
    return cosine / length, sine / length


def interpolate_positions(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate a table over frequencies, (2, 18, 5, d), to a half spectrum of ``size``: (2, N, d).

    Interpolation is linear. Rows are periodic, from 0 through ½ to −0 cycles per sample; columns range from 0
    to ½. At the table's own size the result is the table.
    """
    if size == GRID:
        return table.flatten(1, 2)
    height, width = size
    device, dtype = table.device, table.dtype
    rows = torch.arange(height, device=device, dtype=dtype) * (GRID[0] / height)
    columns = torch.arange(width, device=device, dtype=dtype) * ((GRID[1] - 1) / max(width - 1, 1))
    gaps = (rows.unsqueeze(1) - torch.arange(GRID[0], device=device, dtype=dtype)).abs()
    down = F.relu(1.0 - torch.minimum(gaps, GRID[0] - gaps))  # (H, 18)
    across = F.relu(1.0 - (columns.unsqueeze(1) - torch.arange(GRID[1], device=device, dtype=dtype)).abs())
    return torch.einsum("hr,wc,krcd->khwd", down, across, table).flatten(1, 2)
