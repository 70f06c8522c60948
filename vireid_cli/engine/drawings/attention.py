"""Where the embeddings of runs look, in both modalities of the same people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from vireid_cli.engine.attention import BLUR, SMOOTHING, attention_maps
from vireid_cli.engine.drawings import Studio
from vireid_cli.engine.embed import embed_pixels, load_trained, to_images
from vireid_cli.engine.pictures import Picture, chosen_people, pair
from vireid_cli.engine.preparation import find_people
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.spectral import as_pixels
from vireid_cli.errors import UsageError
from vireid_cli.figures import attention
from vireid_cli.recipe.load import load as load_recipe
from vireid_cli.types import Modality, Size

RUNS = (1, 6)


def draw(studio: Studio, *, ids: int, steps: int, pids: Sequence[int] = ()) -> Path:
    """Heat over a visible and an infrared image of each person, a row a run.

    Args:
        studio: What it is drawn with; trained runs of one dataset.
        ids: People shown: the first test identities with both modalities.
        steps: Points of the path whose gradients are averaged; see ``engine.attention``.
        pids: People shown instead.

    Raises:
        UsageError: A run has no checkpoint, runs are of several datasets, an unknown person, or too few
            with both modalities.
        DataError: An image can't be read, or a checkpoint doesn't fit.
    """
    settings = [load_recipe(str(run.recipe_file)).data for run in studio.runs]
    dataset = settings[0].dataset
    for run, data in zip(studio.runs, settings, strict=True):
        if data.dataset != dataset:
            raise UsageError(
                f"{run.name} is of {data.dataset}, {studio.runs[0].name} of {dataset}.",
                "Draw runs of one dataset, whose people they all know.",
            )
    people = find_people(dataset, studio.data_dir)
    named = chosen_people(people, pids, ids, settings[0].trial)
    pairs = [pair(people, pid) for pid in named]
    progress, total = studio.reporter.progress("attention"), len(studio.runs) * len(pairs)
    rows = []
    for i, run in enumerate(studio.runs):
        trained = load_trained(run, studio.runtime, studio.reporter)
        size = trained.recipe.data.image_size
        looks = []
        for j, images in enumerate(pairs):
            looks.append(_look(trained.network, images, size, steps, studio.runtime))
            progress(i * len(pairs) + j + 1, total)
        rows.append(attention.RunRow(trained.recipe.method.name, run.name, tuple(looks)))
    shown = [
        attention.Person(f"pid {pid}", (images[0].detail, images[1].detail), look.images)
        for pid, images, look in zip(named, pairs, rows[0].looks, strict=True)
    ]
    title = f"{people.title}: where the embedding looks"
    figure = attention.attention_figure(shown, rows, title, _note(steps))
    return studio.output.save(figure, studio.runs[0].figures / "attention")


def _look(
    network: nn.Module, pictures: tuple[Picture, Picture], size: Size, steps: int, runtime: Runtime
) -> attention.Look:
    """Both images of a person through one network."""
    images, heat, embeddings = [], [], []
    for picture, modality in zip(pictures, Modality, strict=True):
        pixels = picture.pixels(size)[None]  # (1, H, W, 3)
        image = to_images(pixels, runtime.device)
        heat.append(attention_maps(network, image, modality, steps)[0].cpu().numpy())
        embeddings.append(torch.from_numpy(embed_pixels(network, pixels, modality, runtime)[0]))
        images.append(as_pixels(image[0].cpu()))
    cosine = float(embeddings[0] @ embeddings[1])
    return attention.Look((images[0], images[1]), (heat[0], heat[1]), cosine)


def _note(steps: int) -> str:
    return (
        "Heat: what brings about the cosine to the image's own embedding, "
        f"by integrated gradients ({steps} steps)\n"
        f"from the image blurred by 1/{1 / BLUR:.0f} of its height to the image; smoothed by "
        f"1/{1 / SMOOTHING:.0f}; each map from 0 to its maximum."
    )
