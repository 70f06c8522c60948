"""Speed of extraction and augmentation, and the difficulty of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.bench import reference
from vireid_cli.bench.naive import measure_tree
from vireid_cli.bench.timing import interleaved
from vireid_cli.bench.training import about, random_pixels
from vireid_cli.data.augment import apply
from vireid_cli.data.augment_draws import draw
from vireid_cli.data.crop import crop_flip
from vireid_cli.data.locate import locate
from vireid_cli.engine.cost import IDENTITIES
from vireid_cli.engine.embed import to_images
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import generator
from vireid_cli.engine.session import Session
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.types import Modality, Size


def extract(session: Session, *, recipe: str, settings: list[str], repeats: int) -> dict[str, Any]:
    """Measure images per second of embedding: unchanged, channels-last, and also with folded batch norms.

    ``engine.embed`` uses the last form. For arguments and errors, see ``train``.
    """
    loaded, runtime = load_recipe(recipe, tuple(settings)), session.runtime
    plain = build_network(loaded, IDENTITIES, runtime).eval()
    plain.to(memory_format=torch.contiguous_format)
    fast = build_network(loaded, IDENTITIES, runtime).eval()
    images = to_images(random_pixels(loaded), runtime.device)
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
    return {**about(loaded), **speeds, "folded_over_plain": seconds["plain"] / seconds["folded"]}


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
