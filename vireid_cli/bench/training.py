"""Speed of training steps, extraction and augmentation, and the difficulty of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.bench import reference
from vireid_cli.bench.naive import measure_tree
from vireid_cli.bench.timing import interleaved
from vireid_cli.data.augment import apply, augment_batch
from vireid_cli.data.augment_draws import draw
from vireid_cli.data.crop import crop_flip
from vireid_cli.data.locate import locate
from vireid_cli.engine.cost import IDENTITIES
from vireid_cli.engine.embed import to_images
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import Runtime, generator
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.allocator import keep_freed_memory
from vireid_cli.engine.train.optimizer import build_optimizer
from vireid_cli.engine.train.step import total_loss
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.recipe.schema import Recipe
from vireid_cli.types import Batch, Modality, Size


def train(session: Session, *, recipe: str, settings: list[str], repeats: int) -> dict[str, Any]:
    """Measure a whole training step of a recipe on random pixels, and the share of augmentation.

    Args:
        session: Session with device and precision.
        recipe: Name or path of the recipe.
        settings: ``KEY=VALUE`` changes of the recipe.
        repeats: Interleaved repetitions.

    Raises:
        UsageError: The recipe does not exist or is invalid.
    """
    loaded, runtime = load_recipe(recipe, tuple(settings)), session.runtime
    network = _network(loaded, runtime).train()
    optimizer = build_optimizer(network.parameter_groups(), loaded.train.optimizer)
    pixels = _pixels(loaded)
    random = generator(torch.device("cpu"), "bench")
    labels = torch.arange(loaded.data.sampler.identities).repeat_interleave(loaded.data.sampler.images)
    sides = [
        torch.from_numpy(pixels[:1]).to(runtime.device).expand(len(labels), -1, -1, -1) for _ in Modality
    ]

    def augment() -> Batch:
        """Augment one batch on the device."""
        images = augment_batch(sides[0], sides[1], loaded.data.augment, random)
        return Batch(**images._asdict(), labels=labels.to(runtime.device))

    def step() -> None:
        """Run one training step."""
        batch = augment()
        with runtime.autocast():
            losses = network.losses(batch)
        optimizer.zero_grad(set_to_none=True)
        total_loss(losses).backward()
        optimizer.step()

    keep_freed_memory(runtime.device)  # training does the same
    seconds = interleaved({"step": step, "augment": augment}, repeats, runtime)
    images = 2 * len(labels)
    return {
        **_about(loaded),
        "images_per_step": images,
        "seconds_per_step": seconds["step"],
        "images_per_second": images / seconds["step"],
        "augmentation_share": seconds["augment"] / seconds["step"],
    }


def extract(session: Session, *, recipe: str, settings: list[str], repeats: int) -> dict[str, Any]:
    """Measure images per second of embedding: unchanged, channels-last, and also with folded batch norms.

    ``engine.embed`` uses the last form. For arguments and errors, see ``train``.
    """
    loaded, runtime = load_recipe(recipe, tuple(settings)), session.runtime
    plain = _network(loaded, runtime).eval()
    plain.to(memory_format=torch.contiguous_format)
    fast = _network(loaded, runtime).eval()
    images = to_images(_pixels(loaded), runtime.device)
    with torch.no_grad():
        for network in (plain, fast):
            network.calibrate(lambda _: iter([images]))
    folded = fold_batch_norms(fast)

    def embed(network: ReIdNetwork, format: torch.memory_format) -> Callable[[], object]:
        """Return a call that embeds the images in a memory format."""
        batch = images.contiguous(memory_format=format)

        def work() -> object:
            """Embed the images."""
            with torch.inference_mode(), runtime.autocast():
                return network.embed(batch, Modality.VISIBLE)

        return work

    works = {
        "plain": embed(plain, torch.contiguous_format),
        "channels_last": embed(fast, torch.channels_last),
        "folded": embed(folded, torch.channels_last),
    }
    seconds = interleaved(works, repeats, runtime)
    count = len(images)
    speeds: dict[str, Any] = {f"{name}_images_per_second": count / value for name, value in seconds.items()}
    return {**_about(loaded), **speeds, "folded_over_plain": seconds["plain"] / seconds["folded"]}


def augment(session: Session, *, images: int, size: Size, repeats: int) -> dict[str, Any]:
    """Compare batched pad, crop and flip, on uint8 and including the conversion to float, with a PIL chain.

    Args:
        session: Session with the device.
        images: Images per batch.
        size: (height, width) of the images.
        repeats: Interleaved repetitions.
    """
    runtime = session.runtime
    pixels = np.random.default_rng(0).integers(0, 256, (images, *size, 3), dtype=np.uint8)
    batch = torch.from_numpy(pixels).to(runtime.device)
    random, options = generator(torch.device("cpu"), "bench"), Augment()
    draws = draw(images, size, options, Modality.VISIBLE, random, runtime.device)
    works = {
        "pil": lambda: reference.pil_chain(pixels, draws, options.pad, options.pad_value),
        "uint8": lambda: crop_flip(batch, draws.top, draws.left, draws.flip, options.pad, options.pad_value),
        "to_float": lambda: apply(batch, draws, options),
    }
    seconds = interleaved(works, repeats, runtime)
    speeds: dict[str, Any] = {f"{name}_images_per_second": images / value for name, value in seconds.items()}
    return {
        "images": images,
        "size": f"{size[0]}x{size[1]}",
        **speeds,
        "uint8_over_pil": seconds["pil"] / seconds["uint8"],
        "to_float_over_pil": seconds["pil"] / seconds["to_float"],
    }


def difficulty(session: Session, *, dataset: str, split: str = "test") -> dict[str, Any]:
    """Compute cross-modality Rank-1 and mAP of nearest neighbours on raw pixels, grey histograms and HOG.

    Args:
        session: Session with the data directory.
        dataset: Dataset in the layout of SYSU-MM01.
        split: Split to evaluate.
    """
    located = locate(dataset, session.data_dir)
    values: dict[str, Any] = {"root": str(located.root), "rendered": located.rendered, "split": split}
    for name, score in measure_tree(located.root, split).items():
        values |= {
            f"{name}_rank1": score.rank1,
            f"{name}_mAP": score.mean_average_precision,
            f"{name}_rank1_over_chance": score.rank1 / score.chance,
            "chance_rank1": score.chance,
            "queries": score.queries,
        }
    return values


def _network(recipe: Recipe, runtime: Runtime) -> ReIdNetwork:
    """Build the network of a recipe with random weights."""
    return build_network(recipe, IDENTITIES, runtime)


def _pixels(recipe: Recipe) -> np.ndarray:
    """Draw random pixels for a batch of one modality, (B, H, W, 3) uint8."""
    count = recipe.data.sampler.identities * recipe.data.sampler.images
    return np.random.default_rng(0).integers(0, 256, (count, *recipe.data.image_size, 3), dtype=np.uint8)


def _about(recipe: Recipe) -> dict[str, Any]:
    height, width = recipe.data.image_size
    return {
        "recipe": recipe.name,
        "method": recipe.method.name,
        "backbone": recipe.backbone.name,
        "size": f"{height}x{width}",
    }
