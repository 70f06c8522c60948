"""Augmentation: each operation against a slow loop with the same draws, and the law of the draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import RandomErasing
from torchvision.transforms import functional as vision

from vireid_cli.bench.reference import pil_chain
from vireid_cli.data import crop
from vireid_cli.data import rectangles as drawn_rectangles
from vireid_cli.data.augment import apply, augment_batch, exchange_weights, one_channel, stretch
from vireid_cli.data.augment_draws import COLUMNS, Draws, arcsine, draw
from vireid_cli.data.crop import crop_flip
from vireid_cli.data.rectangles import Rectangles, rectangles
from vireid_cli.recipe.augmentation import Augment, Erase, ExchangeOptions
from vireid_cli.types import Modality, Size

OFF = Augment(pad=0, flip=0.0)
FULL = Augment(
    visible_grey=0.3, infrared_grey=0.4, channel_exchange=0.5, linear=0.6, erase=Erase(probability=0.5)
)
SIZES = [(24, 12), (17, 9)]
"""The second is no multiple of eight bytes a row or an image."""


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=source(seed))


def many(
    options: Augment, modality: Modality = Modality.VISIBLE, size: tuple[int, int] = (288, 144)
) -> Draws:
    return draw(20_000, size, options, modality, source(7))


def share(flags: Tensor) -> float:
    return float(flags.double().mean())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pad", [0, 1, 10])
def test_crop_and_flip_are_torchvision_s_pad_crop_flip(size: tuple[int, int], pad: int) -> None:
    images, options = noise(40, size), Augment(pad=pad)
    draws = draw(40, size, options, Modality.VISIBLE, source())
    done = crop_flip(images, draws.top, draws.left, draws.flip, pad, 127)
    assert done.dtype == torch.uint8
    for i in range(40):
        padded = vision.pad(images[i].permute(2, 0, 1), [pad], fill=127)
        expected = vision.crop(padded, int(draws.top[i]), int(draws.left[i]), *size)
        expected = vision.hflip(expected) if draws.flip[i] else expected
        assert torch.equal(done[i], expected.permute(1, 2, 0))
    assert 0 < int(draws.flip.sum()) < 40


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("corner", [(0, 0), (0, 8), (8, 0), (8, 8)])
def test_crops_at_the_corners_of_the_batch_s_memory(count: int, corner: tuple[int, int]) -> None:
    images = noise(count, (6, 8))
    top, left = (torch.full((count,), offset) for offset in corner)
    done = crop_flip(images, top, left, torch.zeros(count, dtype=torch.bool), 4, 9)
    padded = np.pad(images.numpy(), ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=9)
    assert (done.numpy() == padded[:, corner[0] : corner[0] + 6, corner[1] : corner[1] + 8]).all()


@pytest.mark.parametrize("block", [1, 4000, 10_000])
def test_how_many_images_are_worked_on_at_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    images = noise(11, (24, 13))  # 936 bytes each: blocks of one, of four and a rest of three, of ten and one
    whole, *_ = augment_batch(images, images, FULL, source())
    monkeypatch.setattr(crop, "BLOCK_BYTES", block)
    parts, *_ = augment_batch(images, images, FULL, source())
    assert torch.equal(parts, whole)


@pytest.mark.parametrize("size", SIZES)
def test_the_field_s_chain_gives_the_same_pixels(size: tuple[int, int]) -> None:
    images, options = noise(24, size), Augment(pad=4, pad_value=9)
    draws = draw(24, size, options, Modality.VISIBLE, source(3))
    assert torch.equal(apply(images, draws, options), pil_chain(images.numpy(), draws, 4, 9))


def test_everything_off_is_the_identity_and_leaves_its_input_alone() -> None:
    images = noise(8, (24, 12))
    before = images.clone()
    visible, infrared, erase, *_ = augment_batch(images, images, OFF, source())
    assert erase is None
    for done in (visible, infrared):
        assert torch.equal(done, before.permute(0, 3, 1, 2).float() / 255)
        assert done.is_contiguous(memory_format=torch.channels_last)
    augment_batch(images, images, FULL, source())
    assert torch.equal(images, before)
    flipped, *_ = augment_batch(images, images, Augment(pad=0, flip=1.0), source())
    assert torch.equal(flipped, before.flip(2).permute(0, 3, 1, 2).float() / 255)
    assert torch.equal(images, before)


def test_both_layouts_of_memory_give_the_same() -> None:
    images = noise(8, (24, 12))
    rows = augment_batch(images, images, FULL, source())
    planes = images.permute(0, 3, 1, 2)
    assert planes.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(rows[:2], augment_batch(planes, planes, FULL, source())[:2], strict=True):
        assert torch.equal(one, other)
        assert one.shape == (8, 3, 24, 12)
        assert one.dtype == torch.float32
        assert one.is_contiguous(memory_format=torch.channels_last)
        assert float(one.min()) >= 0.0
        assert float(one.max()) <= 1.0


def test_an_expanded_batch_is_read_and_not_written() -> None:
    image = noise(1, (24, 12))
    visible, *_ = augment_batch(image.expand(6, -1, -1, -1), image.expand(6, -1, -1, -1), FULL, source())
    alone, *_ = augment_batch(image.repeat(6, 1, 1, 1), image.repeat(6, 1, 1, 1), FULL, source())
    assert torch.equal(visible, alone)


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_against_a_loop_in_float64(size: tuple[int, int]) -> None:
    images = noise(48, size, seed=2)
    images[5] = 0
    draws = draw(48, size, FULL, Modality.VISIBLE, source(5))
    done = apply(images, draws, FULL).double().numpy()
    cut = crop_flip(images, draws.top, draws.left, draws.flip, FULL.pad, FULL.pad_value).numpy()
    kinds = {"grey": 0, "exchange": 0, "linear": 0}
    for i in range(48):
        kinds_here, expected = _loop(cut[i].astype(np.float64) / 255, draws, i)
        for kind in kinds_here:
            kinds[kind] += 1
        np.testing.assert_allclose(done[i], expected, rtol=0, atol=3e-7)
    assert min(kinds.values()) >= 3, kinds  # each was really compared


def _loop(pixels: np.ndarray, draws: Draws, i: int) -> tuple[list[str], np.ndarray]:
    """One image (H, W, 3) the slow way: grey or exchange, then random linear; (3, H, W)."""
    kinds = []
    assert draws.mixed is not None
    assert draws.weights is not None
    assert draws.linear is not None
    assert draws.gain is not None
    if draws.mixed[i]:
        weights = draws.weights[i].tolist()
        grey = max(weights) < 1
        kinds.append("grey" if grey else "exchange")
        if grey:
            one = 0.299 * pixels[:, :, 0] + 0.587 * pixels[:, :, 1] + 0.114 * pixels[:, :, 2]
        else:
            one = pixels[:, :, weights.index(1.0)]
        pixels = np.stack([one] * 3, axis=2)
    top, left, height, width = (
        int(t[i]) for t in (draws.linear.top, draws.linear.left, *_sides(draws.linear))
    )
    if height:
        kinds.append("linear")
        pixels = pixels.copy()
        for c in range(3):
            part = pixels[top : top + height, left : left + width, c]
            if part.max() > 0:
                part *= float(draws.gain[i, c]) / part.max()
    return kinds, pixels.transpose(2, 0, 1)


def _sides(rectangle: Rectangles) -> tuple[Tensor, Tensor]:
    return rectangle.height, rectangle.width


def test_grey_is_pil_s_luminance_up_to_its_rounding() -> None:
    images = noise(6, (24, 12))
    grey = augment_batch(images, images, Augment(pad=0, flip=0.0, infrared_grey=1.0), source())[1]
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])
    for image, ours in zip(images, grey, strict=True):
        theirs = np.asarray(Image.fromarray(image.numpy()).convert("L")).astype(np.float64)
        assert np.abs(ours[0].double().numpy() * 255 - theirs).max() <= 0.502


def test_channel_exchange_copies_one_channel_of_visible_images_only() -> None:
    images, options = noise(60, (24, 12)), Augment(pad=0, flip=0.0, channel_exchange=1.0)
    visible, infrared, *_ = augment_batch(images, images, options, source())
    plain = images.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(infrared, plain)
    seen = set()
    for done, given in zip(visible, plain, strict=True):
        assert torch.equal(done[0], done[1])
        assert torch.equal(done[0], done[2])
        seen.add(next(c for c in range(3) if torch.equal(done[0], given[c])))
    assert seen == {0, 1, 2}


def test_grey_wins_over_exchange() -> None:
    images = noise(10, (24, 12))
    both = Augment(pad=0, flip=0.0, visible_grey=0.5, channel_exchange=1.0)
    greyed, kept = (Augment(pad=0, flip=0.0, visible_grey=chance) for chance in (0.5, 0.0))
    result, grey, plain = (augment_batch(images, images, law, source())[0] for law in (both, greyed, kept))
    struck = (grey != plain).flatten(1).any(1)
    assert 0 < struck.sum() < len(images)
    assert torch.equal(result[struck], grey[struck])


def test_stretch_brings_the_maximum_to_the_gain_and_black_stays_black() -> None:
    pixels = noise(4, (24, 12)).float() / 255
    pixels[2] = 0
    box = Rectangles(*(torch.tensor([v] * 4) for v in (3, 2, 10, 7)))
    gain = torch.rand(4, 3, generator=source())
    done = stretch(pixels, box.masks((24, 12))[:, 0], gain)
    inside = done[:, 3:13, 2:9]
    expected = gain.clone()
    expected[2] = 0
    torch.testing.assert_close(inside.amax(dim=(1, 2)), expected, rtol=1e-6, atol=0)
    done[:, 3:13, 2:9] = pixels[:, 3:13, 2:9]
    assert torch.equal(done, pixels)


def test_one_channel_is_the_weighted_sum() -> None:
    pixels = torch.rand(3, 5, 4, 3, generator=source())
    weights = torch.tensor([[0.0, 0.0, 1.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    done = one_channel(pixels, weights)
    expected = torch.einsum("bhwc,bc->bhw", pixels.double(), weights.double())
    for c in range(3):
        torch.testing.assert_close(done[..., c].double(), expected, rtol=0, atol=1e-7)


def test_masks_are_the_rectangles() -> None:
    box = Rectangles(*(torch.tensor(v) for v in ([0, 5, 0], [1, 3, 0], [4, 2, 0], [2, 9, 0])))
    masks = box.masks((8, 12))
    assert masks.shape == (3, 1, 8, 12)
    assert masks.dtype == torch.bool
    expected = torch.zeros(3, 1, 8, 12, dtype=torch.bool)
    expected[0, 0, 0:4, 1:3] = True
    expected[1, 0, 5:7, 3:12] = True
    assert torch.equal(masks, expected)


def test_erasing_is_handed_over_not_applied() -> None:
    images = noise(64, (48, 24))
    options = Augment(erase=Erase(probability=0.5, fill=(0.1, 0.2, 0.3), normalised=True))
    visible, infrared, erase, *_ = augment_batch(images, images, options, source())
    plain = augment_batch(images, images, Augment(), source())
    assert torch.equal(visible, plain[0])
    assert torch.equal(infrared, plain[1])
    assert erase is not None
    assert (erase.fill, erase.normalised) == ((0.1, 0.2, 0.3), True)
    assert erase.visible.shape == erase.infrared.shape == (64, 1, 48, 24)
    assert not torch.equal(erase.visible, erase.infrared)


def test_same_generator_same_batch() -> None:
    images = noise(8, (24, 12))
    generator = source(1)
    one = augment_batch(images, images, FULL, generator)
    state = generator.get_state()
    two = augment_batch(images, images, FULL, source(1))
    three = augment_batch(images, images, FULL, generator)
    assert one[2] is not None
    assert two[2] is not None
    for a, b in ((one[0], two[0]), (one[1], two[1]), (one[2].visible, two[2].visible)):
        assert torch.equal(a, b)
    assert not torch.equal(one[0], three[0])
    assert not torch.equal(state, generator.get_state())
    before = torch.get_rng_state()
    augment_batch(images, images, FULL, source(2))
    assert torch.equal(before, torch.get_rng_state())  # nothing is drawn from the global generator


def test_one_switch_leaves_the_other_draws_as_they_were() -> None:
    plain = draw(50, (288, 144), Augment(), Modality.VISIBLE, source())
    full = draw(50, (288, 144), FULL, Modality.VISIBLE, source())
    only = draw(50, (288, 144), Augment(erase=FULL.erase), Modality.VISIBLE, source())
    for name in ("top", "left", "flip"):
        assert torch.equal(getattr(plain, name), getattr(full, name))
    assert full.erase is not None
    assert only.erase is not None
    assert torch.equal(full.erase.top, only.erase.top)
    assert (plain.mixed, plain.linear, plain.erase) == (None, None, None)


def test_modalities_are_drawn_independently() -> None:
    images = noise(200, (24, 12))
    visible, infrared, *_ = augment_batch(images, images, Augment(), source())
    same = [torch.equal(a, b) for a, b in zip(visible, infrared, strict=True)]
    assert sum(same) < 10


def test_offsets_flips_and_colours_have_their_probabilities() -> None:
    draws = many(FULL)
    for offset in (draws.top, draws.left):
        counts = torch.bincount(offset, minlength=21).double() / 20_000
        assert len(counts) == 21
        assert float((counts - 1 / 21).abs().max()) < 0.0075  # 5 standard deviations
    assert abs(share(draws.flip) - 0.5) < 0.018
    correlation = np.corrcoef(draws.top.numpy(), draws.left.numpy())[0, 1]
    assert abs(correlation) < 0.036
    assert draws.mixed is not None
    assert draws.weights is not None
    assert abs(share(draws.mixed) - (1 - 0.7 * 0.5)) < 0.018
    grey = draws.weights.amax(dim=1) < 1
    assert abs(share(grey) - 0.3) < 0.017
    for c in range(3):
        picked = draws.mixed & (draws.weights[:, c] == 1)
        assert abs(share(picked) - 0.7 * 0.5 / 3) < 0.012
    infrared = many(FULL, Modality.INFRARED)
    assert infrared.mixed is not None
    assert infrared.weights is not None
    assert abs(share(infrared.mixed) - 0.4) < 0.018
    assert (infrared.weights[infrared.mixed].amax(dim=1) < 1).all()


def test_gain_has_the_arcsine_law() -> None:
    uniform = torch.linspace(0, 1, 10_001)[1:-1].double()
    gain = arcsine(uniform)
    # distribution of Beta(1/2, 1/2): F(x) = 2/π · asin √x
    torch.testing.assert_close(2 / math.pi * torch.asin(gain.sqrt()), uniform, rtol=1e-9, atol=1e-12)
    drawn = many(FULL).gain
    assert drawn is not None
    assert abs(float(drawn.mean()) - 0.5) < 0.01
    assert abs(float(drawn.var()) - 0.125) < 0.005


@pytest.mark.parametrize("size", [(288, 144), (144, 72), (384, 192)])
def test_rectangles_keep_within_area_aspect_and_image(size: tuple[int, int]) -> None:
    options = Augment(erase=Erase(probability=1.0, area=(0.02, 0.4), aspect=(0.3, 3.3333)))
    box = many(options, size=size).erase
    assert box is not None
    height, width = size
    assert (box.height > 0).all()
    assert (box.height < height).all()
    assert (box.width < width).all()
    assert (box.top >= 0).all()
    assert (box.left >= 0).all()
    assert (box.top + box.height <= height).all()
    assert (box.left + box.width <= width).all()
    areas = (box.height * box.width).double()
    slack = (box.height + box.width + 1) / 2  # both sides are rounded by at most a half
    assert (areas >= 0.02 * height * width - slack).all()
    assert (areas <= 0.4 * height * width + slack).all()
    ratio = box.height.double() / box.width
    assert (ratio > 0.3 * 0.9).all()
    assert (ratio < 3.3333 * 1.1).all()
    masks = Rectangles(box.top[:50], box.left[:50], box.height[:50], box.width[:50]).masks(size)
    assert torch.equal(masks.sum(dim=(1, 2, 3)), (box.height * box.width)[:50])
    # every place is possible: both extremes of both axes occur
    assert (box.top == 0).any()
    assert (box.top + box.height == height).any()
    assert (box.left == 0).any()
    assert (box.left + box.width == width).any()


def test_rectangles_have_the_law_of_the_field_s_loop() -> None:
    """Means of area, sides and place against the field's code, written as a loop with NumPy."""
    random, size, count = np.random.default_rng(0), (288, 144), 20_000
    slow = np.array([_field_rectangle(random, size) for _ in range(count)], dtype=np.float64)
    box = many(Augment(erase=Erase(probability=1.0))).erase
    assert box is not None
    fast = torch.stack([box.top, box.left, box.height, box.width], dim=1).double().numpy()
    for statistic in (lambda t: t.mean(axis=0), lambda t: t.std(axis=0)):
        np.testing.assert_allclose(statistic(fast), statistic(slow), rtol=0.035)
    area = [(table[:, 2] * table[:, 3]).mean() / (288 * 144) for table in (fast, slow)]
    assert abs(area[0] - area[1]) < 0.006


def _field_rectangle(random: np.random.Generator, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Random erasing as the field writes it: up to 100 tries, the first that fits."""
    for _ in range(100):
        area = random.uniform(0.02, 0.4) * size[0] * size[1]
        ratio = random.uniform(0.3, 1 / 0.3)
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if height < size[0] and width < size[1]:
            top, left = random.integers(0, size[0] - height + 1), random.integers(0, size[1] - width + 1)
            return int(top), int(left), height, width
    raise AssertionError("one in a hundred tries fits")


def test_log_uniform_aspects_are_torchvision_s() -> None:
    """Areas, sides and aspects of torchvision's ``RandomErasing``; CAJ's law differs from them."""
    image, count = torch.zeros(3, 384, 128), 6_000
    torch.manual_seed(0)
    drawn = [
        RandomErasing.get_params(image, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=[0.0])[2:4]
        for _ in range(count)
    ]
    theirs = torch.tensor(drawn, dtype=torch.float64)
    uniform = torch.rand(count, drawn_rectangles.WIDTH, generator=source())
    tall = {}
    for law in ("log_uniform", "uniform"):
        box = rectangles(uniform, 1.0, (0.02, 0.33), (0.3, 3.3), (384, 128), law)
        tall[law] = torch.stack([box.height, box.width], dim=1).double()
    torch.testing.assert_close(tall["log_uniform"].mean(0), theirs.mean(0), rtol=0.02, atol=0)
    torch.testing.assert_close(tall["log_uniform"].std(0), theirs.std(0), rtol=0.04, atol=0)
    upright = [float((sides[:, 0] > sides[:, 1]).double().mean()) for sides in (theirs, *tall.values())]
    assert abs(upright[0] - upright[1]) < 0.03
    assert upright[2] > upright[0] + 0.1


def test_probability_of_a_rectangle() -> None:
    for probability in (0.0, 0.3, 1.0):
        uniform = torch.rand(20_000, drawn_rectangles.WIDTH, generator=source())
        box = rectangles(uniform, probability, (0.02, 0.4), (0.3, 3.3333), (288, 144))
        assert abs(share(box.height > 0) - probability) < 0.017
        assert torch.equal(box.height > 0, box.width > 0)


def test_a_rectangle_that_never_fits_leaves_the_image_alone() -> None:
    uniform = torch.rand(100, drawn_rectangles.WIDTH, generator=source())
    box = rectangles(uniform, 1.0, (0.9, 1.0), (3.0, 3.3), (64, 64))  # taller than the image
    assert not box.masks((64, 64)).any()


def test_the_first_try_that_fits_is_taken() -> None:
    uniform = torch.full((1, drawn_rectangles.WIDTH), 0.5)
    tries = uniform[:, 1:].view(1, 4, drawn_rectangles.TRIES)
    tries[0, 0] = torch.linspace(0.95, 0.05, drawn_rectangles.TRIES)  # area falls from try to try
    tries[0, 1] = 0.0  # as wide as can be
    box = rectangles(uniform, 1.0, (0.02, 0.4), (0.3, 3.3333), (288, 144))
    pixels = (0.02 + 0.38 * torch.linspace(0.95, 0.05, drawn_rectangles.TRIES)) * 288 * 144
    widths = (pixels / 0.3).sqrt().round()
    assert float(widths[0]) >= 144  # the first does not fit
    assert float(box.width) == float(widths[widths < 144][0])


def test_the_highest_uniform_number_stays_in_range() -> None:
    almost = torch.full((4, COLUMNS), 1 - 2**-24)
    for count in (3, 21, 289, 100_000_003):
        assert (drawn_rectangles.uniform_integers(almost[:, 0], count) < count).all()
        assert (drawn_rectangles.uniform_integers(almost[:, 0], torch.full((4,), count)) < count).all()


@pytest.mark.parametrize("size", SIZES)
def test_work_on_all_images_equals_work_on_the_selected_ones(
    monkeypatch: pytest.MonkeyPatch, size: Size
) -> None:
    """What an accelerator does, done on the CPU."""
    images = noise(40, size)
    few = augment_batch(images, images, FULL, source())
    monkeypatch.setattr(crop, "reads_without_wait", lambda device: False)
    every = augment_batch(images, images, FULL, source())
    for one, other in zip(few[:2], every[:2], strict=True):
        assert torch.equal(one, other)


def test_no_value_is_read_back_from_an_accelerator() -> None:
    """A tensor on the meta device has no values: reading one back to the host raises."""
    images = noise(8, (24, 12)).to("meta")
    visible, infrared, erase, *_ = augment_batch(images, images, FULL, source())
    assert erase is not None
    assert visible.shape == infrared.shape == (8, 3, 24, 12)
    assert visible.device.type == erase.visible.device.type == "meta"
    with pytest.raises(RuntimeError):
        images.sum().item()


TWO_VIEWS = FULL.model_copy(
    update={"second_view": True, "exchange": ExchangeOptions(second=1.0, infrared=0.75, infrared_grey=0.5)}
)


def test_a_second_view_has_draws_of_its_own_and_moves_no_other() -> None:
    images = noise(64, (48, 24))
    one, two = (augment_batch(images, images, law, source()) for law in (FULL, TWO_VIEWS))
    assert torch.equal(one.visible, two.visible)
    assert torch.equal(one.infrared, two.infrared)
    assert (one.second, one.exchange) == (None, None)
    assert two.second is not None
    assert two.erase is not None
    assert two.erase.second is not None
    assert two.second.shape == two.visible.shape
    same = [torch.equal(a, b) for a, b in zip(two.visible, two.second, strict=True)]
    assert sum(same) < 4
    assert not torch.equal(two.erase.second, two.erase.visible)
    # Its pixels keep their colours here: they are exchanged after normalising.
    greys = Augment(visible_grey=1.0, second_view=True, exchange=ExchangeOptions(second=1.0))
    visible, _, _, second, _ = augment_batch(images, images, greys, source())
    assert torch.equal(visible[:, 0], visible[:, 1])
    assert second is not None
    assert not torch.equal(second[:, 0], second[:, 1])


def test_late_weights_have_the_law_of_channel_adapt_grey() -> None:
    weights = exchange_weights(torch.rand(3, 20_000, generator=source()), 0.75, 0.5)
    kept = share((weights == 0).all(1))
    grey = share((weights > 0).all(1))
    assert abs(kept - 0.125) < 0.012
    assert abs(grey - 0.125) < 0.012
    for c in range(3):
        assert abs(share(weights[:, c] == 1) - 0.25) < 0.016
    greyed = weights[(weights > 0).all(1)]
    torch.testing.assert_close(greyed, torch.tensor([0.2989, 0.5870, 0.1140]).expand_as(greyed))


@pytest.mark.parametrize(("visible", "infrared"), [(1.0, 0.0), (0.0, 1.0), (0.6, 0.5)])
def test_infrared_images_are_erased_with_their_own_probability(visible: float, infrared: float) -> None:
    images = noise(600, (24, 12))
    law = Erase(probability=visible, infrared_probability=infrared)
    erase = augment_batch(images, images, Augment(erase=law, second_view=True), source()).erase
    assert erase is not None
    assert erase.second is not None
    struck = [share(masks.flatten(1).any(1)) for masks in (erase.visible, erase.second, erase.infrared)]
    for result, chance in zip(struck, (visible, visible, infrared), strict=True):
        assert abs(result - chance) < 0.08
    both = augment_batch(images, images, Augment(erase=Erase(probability=0.3)), source()).erase
    assert both is not None
    assert abs(share(both.infrared.flatten(1).any(1)) - 0.3) < 0.08


def test_exchange_is_handed_over() -> None:
    images = noise(200, (24, 12))
    exchange = augment_batch(images, images, TWO_VIEWS, source()).exchange
    assert exchange is not None
    assert exchange.second is not None
    assert (exchange.second.sum(1) == 1).all()
    assert not torch.equal(exchange.second, exchange.infrared)
    alone = augment_batch(images, images, Augment(exchange=ExchangeOptions(infrared=1.0)), source()).exchange
    assert alone is not None
    assert (alone.second, alone.visible) == (None, None)
    assert (alone.infrared.amax(1) == 1).all()


def test_exchange_of_the_first_view_is_independent_and_changes_no_pixels() -> None:
    images, share = noise(600, (24, 12)), 0.5
    law = Augment(exchange=ExchangeOptions(visible=share, infrared=0.75))
    result = augment_batch(images, images, law, source())
    assert result.exchange is not None
    assert result.exchange.visible is not None
    exchanged = result.exchange.visible.sum(1) == 1
    assert set(result.exchange.visible.unique().tolist()) == {0.0, 1.0}
    assert abs(exchanged.float().mean() - share) < 0.08
    assert (result.exchange.visible.sum(0) > 60).all(), "each channel is drawn"
    both = (exchanged & (result.exchange.infrared.sum(1) == 1)).float().mean()
    assert abs(both - share * 0.75) < 0.08
    plain = augment_batch(images, images, Augment(), source())
    assert torch.equal(result.visible, plain.visible)


@pytest.mark.parametrize("pad", [0, 2])
def test_crop_to_another_size(pad: int) -> None:
    images, options = noise(40, (24, 20)), Augment(pad=pad, crop=(20, 17), erase=Erase(probability=1.0))
    draws = draw(40, (24, 20), options, Modality.VISIBLE, source())
    done = apply(images, draws, options)
    for i in range(40):
        padded = vision.pad(images[i].permute(2, 0, 1), [pad])
        expected = vision.crop(padded, int(draws.top[i]), int(draws.left[i]), 20, 17)
        expected = vision.hflip(expected) if draws.flip[i] else expected
        assert torch.equal(done[i], expected.float() / 255)
    assert int(draws.top.max()) == 4 + 2 * pad
    assert int(draws.left.max()) == 3 + 2 * pad
    batch = augment_batch(images, images, options, source())
    assert batch.erase is not None
    assert batch.erase.visible.shape == (40, 1, 20, 17)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: host synchronisation can't be seen")
def test_on_a_gpu_the_same_batch_without_waiting_for_it() -> None:
    images = noise(16, (48, 24))
    expected = augment_batch(images, images, FULL, source())
    given = images.cuda()
    augment_batch(given, given, FULL, source())  # warms up: first calls may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augment_batch(given, given, FULL, source())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert result[2] is not None
    assert expected[2] is not None
    assert torch.equal(result[2].visible.cpu(), expected[2].visible)
    for one, other in zip(result[:2], expected[:2], strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-6)
