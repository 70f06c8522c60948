"""Synthetic people: smooth bodies before smooth backgrounds; infrared images have no colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

DrawPerson = Callable[..., np.ndarray]
"""``person(pid, view, infrared, size)``."""


def _person(pid: int, view: int, infrared: bool, size: tuple[int, int] = (144, 72)) -> np.ndarray:
    body = np.random.default_rng(pid)
    seen = np.random.default_rng((pid, view, int(infrared)))
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / height, (x + 0.5) / width - 0.5 - seen.uniform(-0.06, 0.06)
    shirt, trousers, skin = body.uniform(0, 1, (3, 3))
    ground = np.stack([seen.uniform(0.3, 0.8) + 0.2 * y + 0.1 * np.sin(9 * x + c) for c in range(3)], axis=2)
    image = ground * seen.uniform(0.7, 1.0)
    stripes = 1.0 + 0.3 * np.sign(np.sin(2 * np.pi * y * body.integers(14, 30))) * (body.uniform() < 0.6)
    wide = body.uniform(0.17, 0.25)
    parts = [
        (np.abs(x) < wide * (1 - 0.2 * y), (y > 0.2) & (y < 0.52), shirt[None, None] * stripes[..., None]),
        (np.abs(np.abs(x) - 0.09 - 0.1 * (y - 0.5)) < 0.075, (y >= 0.52) & (y < 0.95), trousers[None, None]),
        ((x / 0.11) ** 2 + ((y - 0.12) / 0.075) ** 2 < 1, y < 1, 0.4 + 0.5 * skin[None, None]),
    ]
    for across, along, colour in parts:
        shade = 0.75 + 0.25 * np.cos(3 * x)
        image = np.where((across & along)[..., None], colour * shade[..., None], image)
    if infrared:
        grey = image @ body.dirichlet(np.ones(3))
        image = np.repeat((0.15 + 0.7 * grey)[..., None], 3, axis=2)
    return np.clip(image + seen.normal(0, 0.02, image.shape[:2])[..., None], 0, 1)


@pytest.fixture(scope="session")
def person() -> DrawPerson:
    """Draw a person: ``person(pid, view, infrared, size)``, (H, W, 3) in [0, 1]."""
    return _person
