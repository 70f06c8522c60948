"""Random linear with further rectangles, as SEPG's release draws them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vireid_cli.data.augment import augment_batch
from vireid_cli.data.random_linear import LEAST_GAIN, MOST, further_rectangles
from vireid_cli.data.rectangles import WIDTH, rectangles
from vireid_cli.errors import UsageError
from vireid_cli.recipe.augmentation import Augment, Erase

SIZE = (72, 36)
AREA = (0.02, 0.4)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(count: int, probability: float) -> tuple[list[tuple[np.ndarray, np.ndarray]], torch.Tensor]:
    """Masks (B, H, W) and gains (B, 3) of all rectangles, and which images are struck."""
    generator = source(3)
    first = rectangles(torch.rand(count, WIDTH, generator=generator), probability, AREA, (0.3, 1 / 0.3), SIZE)
    gain, *gains = (
        torch.distributions.Beta(0.5, 0.5).sample((count, 3)) for _ in range(MOST)
    )  # drawn from the global generator
    uniform = torch.rand(count, MOST - 1, WIDTH, generator=generator)
    more = further_rectangles(first, gain, torch.stack(gains, 1), uniform, AREA, SIZE)
    pairs = [(r.masks(SIZE)[:, 0].numpy(), g.numpy()) for r, g in ((first, gain), *more)]
    return pairs, first.height > 0


def test_rectangles_go_on_until_a_pixel_is_nearly_black_as_often_as_the_release() -> None:
    torch.manual_seed(0)
    pairs, struck = drawn(600, 0.5)
    counts, shares = [], []
    for i in range(600):
        product, taken = np.ones((*SIZE, 3)), 0
        covered = np.zeros(SIZE, dtype=bool)
        for masks, gains in pairs:
            if not masks[i].any():
                continue
            assert product.min() >= LEAST_GAIN, "no rectangle after the last"
            product[masks[i]] *= gains[i]
            covered |= masks[i]
            taken += 1
        assert (taken > 0) == bool(struck[i])
        if taken:
            assert product.min() < LEAST_GAIN or taken == MOST
            counts.append(taken)
            shares.append(covered.mean())
    # 3.2 rectangles (90th percentile 6) and 43 % of the pixels in the release; one rectangle has 21 %.
    assert 2.6 < np.mean(counts) < 3.6
    assert 4 <= np.percentile(counts, 90) <= 7
    assert 0.38 < np.mean(shares) < 0.47


def test_further_rectangles_leave_all_other_draws_as_they_were() -> None:
    images = torch.randint(0, 256, (24, *SIZE, 3), dtype=torch.uint8, generator=source(1))
    options = Augment(linear=0.5, erase=Erase(probability=0.5), second_view=False)
    once, repeated = (
        augment_batch(images, images, options.model_copy(update={"linear_repeat": on}), source())
        for on in (False, True)
    )
    assert torch.equal(once.erase.visible, repeated.erase.visible)  # type: ignore[union-attr]
    same = (once.visible == repeated.visible).flatten(1).all(1)
    assert 0.3 < same.float().mean() < 0.9  # images that are not struck, or struck once
    changed = (once.visible != repeated.visible).any(1).float().mean(dim=(1, 2))
    assert changed[~same].mean() > 0.05
    assert repeated.visible.min() >= 0.0
    assert repeated.visible.max() <= 1.0


def test_repeating_without_random_linear_is_refused() -> None:
    with pytest.raises((ValueError, UsageError), match="linear_repeat"):
        Augment(linear=0.0, linear_repeat=True)
