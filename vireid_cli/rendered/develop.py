"""One image from its people and its background: shadows, compositing, lens, tone curve, noise.

Images are developed one by one: each fits a processor's cache, and none has the padding of a batch. Arrays
are (h, w, channels) float32, linear until ``_tone``; grey cameras have one channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vireid_cli.rendered.scenes import ASPECT
from vireid_cli.rendered.shots import MARGIN, Shot

Array = np.ndarray
HALO = 1 / 72
"""Standard deviation of the lens's halo, as a share of the crop's nominal height."""


@dataclass(frozen=True, slots=True)
class View:
    """Directions of one image's pixels on the plane z = 1 of the camera.

    Attributes:
        left, top: Tangents at the image's corner.
        step: Tangent of one pixel.
        height, width: Pixels, with ``MARGIN`` on the right and below.
    """

    left: float
    top: float
    step: float
    height: int
    width: int

    def tangents(self, stride: int = 1) -> tuple[Array, Array]:
        """Tangents of columns (w,) and rows (h, 1), float32, at the middles of ``stride`` pixels."""
        across = np.arange(0, self.width, stride, dtype=np.float32) + np.float32(0.5 * stride)
        down = np.arange(0, self.height, stride, dtype=np.float32) + np.float32(0.5 * stride)
        u = np.float32(self.left) + across * np.float32(self.step)
        v = np.float32(self.top) + down * np.float32(self.step)
        return u, v[:, None]


@dataclass(frozen=True, slots=True)
class PersonLayer:
    """The person's share of one image: radiance (h, w, C), depth and share as in ``shade.PeopleLayer``."""

    radiance: Array
    depth: Array
    share: Array


def develop(
    shot: Shot, draws: dict[str, float], view: View, people: PersonLayer, plate: Array, height: int
) -> Array:
    """Return the image, (h, w, 3) uint8.

    Args:
        shot: Camera and person.
        draws: The image's variation, by the names in ``shots``.
        view: Directions of the pixels.
        people: What the rays met.
        plate: Background (height, width, 4) of the camera.
        height: Nominal height of a crop in pixels, to which blur refers.
    """
    camera = shot.camera
    channels = people.radiance.shape[2]
    shading = _occlusion(people.depth, people.share, reach=max(2, round(height / 36)))
    image = _background(shot, draws, view, plate, channels) * (1.0 - people.share)[..., None]
    image += people.radiance * shading[..., None]
    exposure = camera.exposure * draws["exposure"] * (draws["z"] / camera.middle) ** (2.0 * camera.control)
    gains = np.asarray(camera.gains[:channels]) * exposure if channels > 1 else np.array([exposure])
    image *= gains.astype(np.float32)
    sharp = camera.blur * draws["blur"] * (height / 144) ** 0.7
    image = _lens(image, float(np.hypot(sharp, draws["motion"] * height / 144)), sharp, camera.glare, height)
    image = _tone(image, camera.black, camera.contrast)
    return _expose(image[: view.height - MARGIN, : view.width - MARGIN], shot)


def _background(shot: Shot, draws: dict[str, float], view: View, plate: Array, channels: int) -> Array:
    """Sample the plate behind the crop, with shadows on the ground, (h, w, C) linear."""
    u, v = view.tangents()
    half, (rows, columns) = shot.camera.half_width, plate.shape[:2]
    shape = (view.height, view.width)
    x = np.broadcast_to(((u / half + 1.0) * (0.5 * columns) - 0.5).astype(np.float32), shape)
    y = np.broadcast_to(((v / (half * ASPECT) + 1.0) * (0.5 * rows) - 0.5).astype(np.float32), shape)
    background = cv2.remap(plate, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    dark = 1.0 - _shadow(shot, draws, view) * background[..., 3]
    return np.asarray(background[..., :channels] * dark[..., None])


def _shadow(shot: Shot, draws: dict[str, float], view: View) -> Array:
    """Darkness (h, w) in [0, 1] of the person's shadows on the ground: at the feet and away from the light.

    Shadows are soft: they are computed for blocks of 2 × 2 pixels and interpolated.
    """
    camera = shot.camera
    u, v = view.tangents(2)
    sine, cosine = np.float32(np.sin(camera.pitch)), np.float32(np.cos(camera.pitch))
    reach = np.float32(camera.height) / np.maximum(v * cosine + sine, np.float32(1e-3))
    x = u * reach - np.float32(draws["x"])
    z = (cosine - v * sine) * reach - np.float32(draws["z"])
    contact = 0.6 * np.exp((x * x + z * z) * np.float32(-1 / 0.06))
    dx, dz = (np.float32(part) for part in _shadow_vector(shot, draws))
    along = np.clip((x * dx + z * dz) / (dx * dx + dz * dz), 0.0, 1.0)
    off2 = (x - along * dx) ** 2 + (z - along * dz) ** 2
    streak = camera.shadow * (1 - 0.35 * along) * np.exp(-off2 / (0.018 + 0.035 * along))
    dark = (1 - (1 - contact) * (1 - streak)).astype(np.float32)
    size = (dark.shape[1] * 2, dark.shape[0] * 2)
    return np.asarray(cv2.resize(dark, size, interpolation=cv2.INTER_LINEAR)[: view.height, : view.width])


def _shadow_vector(shot: Shot, draws: dict[str, float]) -> tuple[float, float]:
    """Return the vector from a person's feet to the shadow of the head, metres on the ground (X, Z)."""
    camera = shot.camera
    if camera.head > 0:
        # The illuminator is 0.4 m beside the lens.
        gone = shot.person.stature / max(camera.height - shot.person.stature, 0.5)
        return (draws["x"] - 0.4) * gone, draws["z"] * gone
    x, y, z = camera.key_from
    return -x / y * shot.person.stature, -z / y * shot.person.stature


def _occlusion(depth: Array, share: Array, reach: int) -> Array:
    """Compute a factor (h, w) in [0.55, 1] that darkens points behind their surroundings.

    The depth buffer is compared with its local mean over the person (Luft et al. 2006, unsharp masking
    the depth buffer): less light reaches points between the legs, under arms and beside bags.

    Args:
        depth: Mean depth times the covered share, (h, w).
        share: Covered share, (h, w).
        reach: A third of the window in pixels.
    """
    window = (3 * reach, 3 * reach)
    total = cv2.blur(depth, window, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.blur(share, window, borderType=cv2.BORDER_CONSTANT)
    behind = depth / np.maximum(share, 1e-4) - total / np.maximum(weight, 1e-4)
    return np.asarray(np.clip(1.0 - 4.0 * np.maximum(behind, 0.0), 0.55, 1.0).astype(np.float32))


def _lens(image: Array, sideways: float, upright: float, glare: float, height: int) -> Array:
    """Blur by the lens and by motion, and add the lens's halo: light scattered around bright surfaces.

    Args:
        image: (h, w, C).
        sideways, upright: Standard deviations in pixels.
        glare: Share of the light that is scattered.
        height: Nominal height of a crop, to which the halo's width refers.
    """
    blurred = cv2.sepFilter2D(image, -1, _taps(sideways), _taps(upright), borderType=cv2.BORDER_REPLICATE)
    if glare > 0:
        size = image.shape[1], image.shape[0]
        small = cv2.resize(image, ((size[0] + 1) // 2, (size[1] + 1) // 2), interpolation=cv2.INTER_AREA)
        taps = _taps(height * HALO / 2)
        veil = cv2.sepFilter2D(small, -1, taps, taps, borderType=cv2.BORDER_REPLICATE)
        veil = cv2.resize(veil, size, interpolation=cv2.INTER_LINEAR)
        blurred = cv2.addWeighted(blurred, 1.0 - glare, veil.reshape(blurred.shape), glare, 0.0)
    return np.asarray(blurred if blurred.ndim == 3 else blurred[..., None])


def _taps(sigma: float) -> Array:
    """Return the normalised taps of a Gaussian, up to three standard deviations."""
    reach = max(1, int(np.ceil(3.0 * sigma)))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 0.03)) ** 2)
    return np.asarray((taps / taps.sum()).astype(np.float32))


def _tone(image: Array, black: float, contrast: float) -> Array:
    """Apply the black level and the tone curve: a shoulder 1 − exp(−1.35 x), then a power."""
    levels = np.exp(image * np.float32(-1.35))
    levels = np.float32(1.0) - np.float32(1.0 - black) * levels
    return np.asarray(np.exp(np.log(np.maximum(levels, np.float32(1e-4))) * np.float32(contrast)))


def _expose(image: Array, shot: Shot) -> Array:
    """Add sensor noise to (h, w, C) in [0, 1] and round to (h, w, 3) uint8."""
    rng, (high, low) = shot.noise(), shot.camera.noise
    grey = shot.camera.spectrum != "visible"
    signal = image[..., :1] if grey else image
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    strength = np.float32(low) + np.float32(high - low) * signal
    noisy = signal + noise * (strength * np.float32(shot.dials.noise_factor))
    values = np.clip(np.rint(noisy * np.float32(255.0)), 0, 255).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if grey else np.asarray(values)
