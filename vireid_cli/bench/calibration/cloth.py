"""Near-infrared reflectance of the clothes, hair and skin of people in a rendered tree."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vireid_cli.rendered.materials import PRINTED, Slot
from vireid_cli.rendered.population import Person

CLOTH = (Slot.TOP, Slot.BOTTOM, Slot.INNER)
"""Slots of woven garments."""

PLASTICS = (Slot.BAG, Slot.SHOES)
"""Slots of bags and shoes."""

DARK = 0.15
"""Maximum visible luminance of a dark surface."""

STAYS_DARK = 0.2
"""Maximum near-infrared reflectance of a dark surface."""


def measure_materials(people: Iterable[Person]) -> dict[str, float]:
    """Compute shares and quantiles of near-infrared reflectance over people.

    Returns:
        ``cloth_above_half`` and ``cloth_dark`` (reflectance below 0.2): shares of garments' ground colours;
        ``dark_cloth_bright``: share above 0.4 of the cloth that is dark in the visible;
        ``cloth_correlation``: Pearson's correlation of luminance and reflectance;
        ``prints_dark``: share below 0.2 of the pigments of printed patterns;
        ``dark_plastics_dark``: share below 0.2 of bags and shoes that are dark in the visible;
        ``hair_low`` to ``skin_high``: 5 % and 95 % quantiles of dark hair and of skin.
        A value is NaN if the people have no such surface.
    """
    everyone = list(people)
    cloth = _surfaces(everyone, CLOTH)
    plastics = _surfaces(everyone, PLASTICS)
    hair = _surfaces(everyone, (Slot.HAIR,))
    skin = _surfaces(everyone, (Slot.SKIN,))
    worn = [person.materials[slot] for person in everyone for slot in CLOTH]
    prints = np.array([m.second.near_infrared for m in worn if m.pattern in PRINTED])
    return {
        "cloth_above_half": _share(cloth[:, 1] > 0.5),
        "cloth_dark": _share(cloth[:, 1] < STAYS_DARK),
        "dark_cloth_bright": _share(cloth[cloth[:, 0] < DARK, 1] > 0.4),
        "cloth_correlation": float(np.corrcoef(cloth.T)[0, 1]) if len(cloth) > 2 else float("nan"),
        "prints_dark": _share(prints < STAYS_DARK),
        "dark_plastics_dark": _share(plastics[plastics[:, 0] < DARK, 1] < STAYS_DARK),
        "hair_low": _quantile(hair[hair[:, 0] < DARK, 1], 0.05),
        "hair_high": _quantile(hair[hair[:, 0] < DARK, 1], 0.95),
        "skin_low": _quantile(skin[:, 1], 0.05),
        "skin_high": _quantile(skin[:, 1], 0.95),
    }


def _surfaces(people: list[Person], slots: tuple[Slot, ...]) -> np.ndarray:
    """Luminance and near-infrared reflectance of the ground colours of these slots: (N, 2)."""
    dyes = [person.materials[slot].first for person in people for slot in slots]
    return np.array([(dye.luminance, dye.near_infrared) for dye in dyes]).reshape(-1, 2)


def _share(mask: np.ndarray) -> float:
    return float(mask.mean()) if mask.size else float("nan")


def _quantile(values: np.ndarray, at: float) -> float:
    return float(np.quantile(values, at)) if values.size else float("nan")
