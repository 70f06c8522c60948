"""SEPG-Net's SEG images: grey level plus the image of the phase (docs/methods.md#seg)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vireid_cli.frequency import fourier
from vireid_cli.frequency.fourier import Kind, Spectrum, columns_to_full, inverse, phasor, real, spectrum
from vireid_cli.types import LUMINANCE

Amplitude = Literal["mean", "unit", "one_over_rms"]
PhaseSource = Literal["rgb", "gray"]


def grey_image(pixels: Tensor) -> Tensor:
    """Luminance of RGB pixels in three equal channels: (B, 3, H, W) → (B, 3, H, W)."""
    return _luminance(real(pixels)).expand(-1, 3, -1, -1)


def seg_image(
    pixels: Tensor,
    *,
    amplitude: Amplitude = "mean",
    phase_source: PhaseSource = "rgb",
    abs: bool = False,
    weight: float = 1.0,
    clip: bool = True,
    kind: Kind = "auto",
) -> Tensor:
    """Grey image plus ``weight`` times the phase image, reconstructed with a constant amplitude.

    SEPG-Net's Y_seg = IFFT(P) + g; the paper does not define the amplitude. The default is the image's mean
    amplitude, because with amplitude 1 the phase image is invisible after the addition (rms 1/sqrt(HW), 0.005
    at 288x144). Each image is transformed separately, before mean and std, in float32 (docs/methods.md#seg).

    Args:
        pixels: (B, 3, H, W) in [0, 1].
        amplitude: Constant amplitude. ``mean`` is the mean of |F| over all channels and the full plane of
            the image. ``unit`` is 1 before an inverse transform with the common factor 1/(HW), so
            1/sqrt(HW) here. ``one_over_rms`` is one over the rms of the phase image at amplitude 1, so that
            ``weight`` is the rms of the added image (our reading of the name).
        phase_source: Phase of each colour channel, or of the grey image for all channels.
        abs: Whether to use the absolute value of the phase image.
        weight: Factor on the phase image.
        clip: Whether to clamp the sum to [0, 1].
        kind: Implementation of the transform; see ``fourier.spectrum``.

    Returns:
        (B, 3, H, W); in [0, 1] if ``clip``.
    """
    pixels = real(pixels)
    grey = _luminance(pixels)  # (B, 1, H, W)
    source = pixels if phase_source == "rgb" else grey  # (B, 3 or 1, H, W)
    bins = spectrum(source, kind)
    cosine, sine = phasor(bins)
    level = _level(
        amplitude, bins, (cosine, sine), (pixels.shape[-2], pixels.shape[-1])
    )  # (B, 1, 1, 1) or 1.0
    image = inverse((level * cosine, level * sine), (pixels.shape[-2], pixels.shape[-1]), kind)
    if abs:
        image = image.abs()
    image = (grey + weight * image).expand(-1, 3, -1, -1)
    return image.clamp(0.0, 1.0) if clip else image


def released_image(normalised: Tensor) -> Tensor:
    """Image of the released code instead of SEG, for comparison only (docs/methods.md#sepg-net-release).

    The code takes no spectrum: it multiplies the sign of the *normalised* image by the mean |value| of the
        whole
    batch, applies an unnormalised inverse transform, and adds the absolute value to the image itself, not to
    its grey level. The result of one image depends on its batch.

    Args:
        normalised: (B, 3, H, W) after mean and std.

    Returns:
        (B, 3, H, W), normalised in the same way.
    """
    normalised = real(normalised)
    height, width = normalised.shape[-2:]
    shifted = normalised + 1e-8
    level = shifted.abs().mean()
    signs = torch.where(shifted < 0, -1.0, 1.0)[..., : width // 2 + 1] * level
    image = inverse((signs, torch.zeros_like(signs)), (height, width))
    # The inverse transform has the factor 1/(HW) in the release and 1/sqrt(HW) here.
    return normalised + 1e-8 + image.abs() / (height * width) ** 0.5 + 1e-8


def _luminance(pixels: Tensor) -> Tensor:
    red, green, blue = pixels.unbind(1)
    return (LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue).unsqueeze(1)


def _level(amplitude: Amplitude, bins: Spectrum, phases: Spectrum, size: tuple[int, int]) -> Tensor | float:
    """Constant amplitude of the orthonormal spectrum: a number, or one value per image, (B, 1, 1, 1)."""
    if amplitude == "unit":
        return float(size[0] * size[1]) ** -0.5
    counts = columns_to_full(size[1], bins[0])  # (W//2 + 1,)
    if amplitude == "mean":
        return _full_mean(fourier.amplitude(bins), counts)
    # Parseval: the mean square of the phase image is the share of bins that have a phase.
    present = phases[0].square() + phases[1].square()
    return _full_mean(present, counts).clamp_min(1e-12).rsqrt()


def _full_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Mean over channels and the full plane of values on the half plane: (B, 1, 1, 1)."""
    total = counts.sum() * values.shape[-2] * values.shape[-3]
    return (values * counts).sum(dim=(-3, -2, -1), keepdim=True) / total
