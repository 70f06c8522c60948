"""The six cameras of the benchmark: pose, lighting and image degradation.

World coordinates, metres: X right, Y up, Z away from the camera. The camera is at (0, height, 0) and looks
along Z, pitched down. Camera coordinates: x right, y down, z forward; a ray is (u, v, 1).
As in SYSU-MM01, cameras 1 and 2 are indoor visible, 3 is indoor infrared in the room of camera 2, 4 and 5
are outdoor visible, and 6 is outdoor infrared. A seventh camera, thermal, is at the position of camera 5 and
gives pairs like those of RegDB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vireid_cli.types import Modality

Spectrum = Literal["visible", "near_infrared", "thermal"]


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        camid: SYSU's number.
        spectrum: Spectrum of the sensor.
        scene: Name of the background in ``scenes``.
        shift: Position in the scene, metres (right, forward).
        height: Metres above the ground.
        field: Horizontal field of view in degrees.
        near, far: Range of distances at which people walk, metres.
        scale: Mean crop height relative to the nominal one.
        facing: Yaw angles of the usual walking directions, degrees; 0 is towards the camera.
        sky, ground: Ambient light from above and below.
        key: Strength of the main light.
        key_from: Direction towards the main light, world coordinates.
        wrap: Softness of the main light, 0 a point, 1 a whole hemisphere.
        shadow: Darkness of the shadow that the main light casts on the ground.
        head: Strength of the illuminator beside the lens at the mean distance; inverse-square falloff.
        gains: Colour cast, factors on R, G, B.
        exposure: Factor before the tone curve.
        contrast: Exponent of the tone curve (1/2.2 is usual).
        black: Raised black level.
        blur: Standard deviation of the lens blur, in pixels of a nominal crop 144 pixels high.
        noise: (shot, read) noise in grey levels 0..1, at middle grey and at black.
        jpeg: JPEG quality, 0..100.
        glare: Share of the light that the lens scatters around bright surfaces.
        control: Share of the person's distance that automatic exposure compensates, 0..1.
        richness: Images of each person relative to the benchmark's number of images.
    """

    camid: int
    spectrum: Spectrum
    scene: str
    shift: tuple[float, float]
    height: float
    field: float
    near: float
    far: float
    scale: float
    facing: tuple[float, ...]
    sky: float
    ground: float
    key: float
    key_from: tuple[float, float, float]
    wrap: float
    shadow: float
    head: float
    gains: tuple[float, float, float]
    exposure: float
    contrast: float
    black: float
    blur: float
    noise: tuple[float, float]
    jpeg: int
    glare: float = 0.0
    control: float = 0.0
    richness: float = 1.0

    @property
    def modality(self) -> Modality:
        """``visible``, or ``infrared`` for near-infrared and thermal sensors."""
        return Modality.VISIBLE if self.spectrum == "visible" else Modality.INFRARED

    @property
    def middle(self) -> float:
        """Mean distance of the people, metres."""
        return 0.5 * (self.near + self.far)

    @property
    def pitch(self) -> float:
        """Downward pitch, radians; it centres a person at the mean distance."""
        return float(np.arctan2(self.height - 0.95, self.middle))

    @property
    def half_width(self) -> float:
        """Tangent of half the horizontal field of view."""
        return float(np.tan(np.radians(self.field / 2)))

    def frames(self, images: int) -> int:
        """Number of images of each person that this camera sees, for a benchmark of ``images``."""
        return math.ceil(images * self.richness)

    def rotation(self) -> np.ndarray:
        """Rotation from world to camera coordinates, (3, 3)."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1.0, 0.0, 0.0], [0.0, -c, -s], [0.0, -s, c]])

    def position(self) -> np.ndarray:
        """Position in world coordinates, metres, (3,)."""
        return np.array([0.0, self.height, 0.0])


RICH = 4 / 3
"""Richness of cameras 1 and 2. In SYSU-MM01 they have twenty times the images of the others; this keeps the
number of images of the benchmark small."""

_INDOOR_1 = Camera(
    camid=1, spectrum="visible", scene="office", shift=(0.0, 0.0), height=1.9, field=62, near=3.4, far=6.4,
    scale=1.0, facing=(0, 180, 65, -65), sky=0.62, ground=0.30, key=0.55, key_from=(0.25, 0.9, -0.35),
    wrap=0.55, shadow=0.25, head=0.0, gains=(1.06, 1.0, 0.88), exposure=1.05, contrast=0.48, black=0.015,
    blur=0.46, noise=(0.014, 0.010), jpeg=88, glare=0.175, richness=RICH,
)  # fmt: skip
_INDOOR_2 = Camera(
    camid=2, spectrum="visible", scene="library", shift=(0.0, 0.0), height=2.2, field=58, near=3.6, far=6.6,
    scale=0.95, facing=(20, 200, 110, -70), sky=0.42, ground=0.22, key=0.85, key_from=(-0.8, 0.5, -0.3),
    wrap=0.35, shadow=0.30, head=0.0, gains=(0.93, 1.0, 1.08), exposure=0.95, contrast=0.45, black=0.02,
    blur=0.54, noise=(0.020, 0.014), jpeg=80, glare=0.175, richness=RICH,
)  # fmt: skip
_INDOOR_3 = Camera(
    camid=3, spectrum="near_infrared", scene="library", shift=(0.7, 0.4), height=1.7, field=58, near=3.0,
    far=5.4, scale=0.95, facing=(0, 180, 35, -145, -60), sky=0.50, ground=0.36, key=0.0,
    key_from=(0.1, 0.9, -0.3), wrap=0.5, shadow=0.3, head=0.8, gains=(1.0, 1.0, 1.0), exposure=1.44,
    contrast=0.62, black=0.03, blur=0.70, noise=(0.014, 0.014), jpeg=84, glare=0.16, control=0.62,
)  # fmt: skip
_OUTDOOR_4 = Camera(
    camid=4, spectrum="visible", scene="plaza", shift=(0.0, 0.0), height=2.8, field=42, near=6.5, far=12.0,
    scale=0.92, facing=(10, 190, 95, -85), sky=0.40, ground=0.20, key=1.05, key_from=(0.62, 0.62, -0.48),
    wrap=0.10, shadow=0.55, head=0.0, gains=(1.04, 1.0, 0.94), exposure=0.92, contrast=0.47, black=0.01,
    blur=0.47, noise=(0.010, 0.006), jpeg=82, glare=0.175,
)  # fmt: skip
_OUTDOOR_5 = Camera(
    camid=5, spectrum="visible", scene="garden", shift=(0.0, 0.0), height=2.3, field=46, near=5.5, far=10.5,
    scale=0.98, facing=(-20, 160, 60, -100), sky=0.85, ground=0.32, key=0.30, key_from=(-0.3, 0.9, -0.3),
    wrap=0.70, shadow=0.22, head=0.0, gains=(0.94, 1.0, 1.06), exposure=0.90, contrast=0.50, black=0.03,
    blur=0.50, noise=(0.012, 0.009), jpeg=76, glare=0.24,
)  # fmt: skip
_OUTDOOR_6 = Camera(
    camid=6, spectrum="near_infrared", scene="passage", shift=(0.0, 0.0), height=2.5, field=48, near=4.6,
    far=8.8, scale=0.95, facing=(0, 180, -35, 145, 60), sky=0.22, ground=0.18, key=0.0,
    key_from=(0.1, 0.9, -0.3), wrap=0.5, shadow=0.35, head=0.95, gains=(1.0, 1.0, 1.0), exposure=1.50,
    contrast=0.62, black=0.02, blur=0.86, noise=(0.020, 0.018), jpeg=78, glare=0.08, control=0.75,
)  # fmt: skip

CAMERAS: dict[int, Camera] = {
    c.camid: c for c in (_INDOOR_1, _INDOOR_2, _INDOOR_3, _OUTDOOR_4, _OUTDOOR_5, _OUTDOOR_6)
}
"""The six cameras of SYSU-MM01, keyed by number."""

THERMAL = replace(
    _OUTDOOR_5, camid=7, spectrum="thermal", sky=1.0, ground=0.8, key=0.0, shadow=0.05, gains=(1.0, 1.0, 1.0),
    exposure=0.85, contrast=0.9, black=0.05, blur=0.86, noise=(0.012, 0.012), jpeg=90,
)  # fmt: skip
"""A thermal camera at the position of camera 5, for pairs as in RegDB."""


def with_spectrum(camera: Camera, spectrum: Spectrum) -> Camera:
    """Return the camera with another sensor; light and tone follow the spectrum.

    A near-infrared camera has an illuminator in place of the scene's light; a thermal camera sees emission.
    """
    if spectrum == camera.spectrum:
        return camera
    like = {"visible": _INDOOR_1, "near_infrared": _INDOOR_3, "thermal": THERMAL}[spectrum]
    light = (
        "sky",
        "ground",
        "key",
        "shadow",
        "head",
        "gains",
        "exposure",
        "contrast",
        "black",
        "noise",
        "control",
    )
    return replace(camera, spectrum=spectrum, **{name: getattr(like, name) for name in light})
