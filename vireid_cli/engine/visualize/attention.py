"""Where the embeddings of runs look, in both modalities of the same people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vireid_cli.data.identity import find_people
from vireid_cli.engine.embed import load_trained, to_images
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.attention import BLUR, SMOOTHING, attention_maps
from vireid_cli.engine.subjects.images import Picture, chosen_people, pair
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import UsageError
from vireid_cli.figures import attention
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Data
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality

RUNS = (1, 6)


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    ids: int = 4,
    steps: int = 6,
    pids: Sequence[int] = (),
) -> Path:
    """Heat over a visible and an infrared image of each person, a row a run.

    People that a run was trained on are marked.

    Args:
        runs: TrainedNetwork runs of one dataset.
        session: Device, listener, folders.
        output: File, format, resolution.
        ids: People shown: the first test identities with both modalities.
        steps: Points of the path whose gradients are averaged; see ``engine.attention``.
        pids: People shown instead.

    Raises:
        UsageError: A run has no checkpoint, runs are of several datasets, an unknown person, or too few
            with both modalities.
        DataError: An image can't be read, or a checkpoint doesn't fit.
    """
    settings = [run_recipe(run, checked=False).data for run in runs]
    dataset = settings[0].dataset
    for run, data in zip(runs, settings, strict=True):
        if data.dataset != dataset:
            raise UsageError(
                f"{run.name} is of {data.dataset}, {runs[0].name} of {dataset}.",
                "Draw runs of one dataset, whose people they all know.",
            )
    people = find_people(dataset, session.data_dir)
    named = chosen_people(people, pids, ids, settings[0].trial)
    pairs = [pair(people, pid) for pid in named]
    progress, total = session.reporter.progress("attention"), len(runs) * len(pairs)
    rows = []
    for i, run in enumerate(runs):
        trained = load_trained(run, session)
        data = trained.recipe.data
        network = _Quick(trained.network, session.runtime)
        seen = people.known(np.array(named), trained.tokens).tolist()
        if any(seen):
            who = ", ".join(str(pid) for pid, one in zip(named, seen, strict=True) if one)
            session.reporter.warn(f"{run.name} was trained on pid {who}: marked in the figure")
        looks = []
        for j, images in enumerate(pairs):
            looks.append(_look(network, images, data, steps, seen[j]))
            progress(i * len(pairs) + j + 1, total)
        rows.append(attention.RunRow(trained.recipe.method.name, run.name, tuple(looks)))
    shown = [
        attention.PersonImages(f"pid {pid}", (images[0].detail, images[1].detail), look.images)
        for pid, images, look in zip(named, pairs, rows[0].looks, strict=True)
    ]
    title = f"{people.title}: where the embedding looks"
    note = _note(steps, any(look.seen for row in rows for look in row.looks))
    figure = attention.attention_figure(shown, rows, title, note)
    return output.save(figure, runs[0].figures / "attention")


@dataclass(frozen=True)
class _Quick:
    """A network whose convolutions run in the runtime's precision; its pixels and embeddings stay in fp32."""

    network: ReIdNetwork
    runtime: Runtime

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """As the network's own."""
        with self.runtime.autocast():
            found = self.network.embed(images, modality)
        return found.float()


def _look(
    network: _Quick, pictures: tuple[Picture, Picture], data: Data, steps: int, seen: bool
) -> attention.Look:
    """Both images of a person through one network."""
    images, heat, embeddings = [], [], []
    for picture, modality in zip(pictures, Modality, strict=True):
        pixels = picture.pixels(data.image_size, data.resize)  # (H, W, 3)
        image = to_images(pixels[None], network.runtime.device)
        with torch.no_grad():  # in fp32: the cosine is a number, the heat a picture
            embeddings.append(network.network.embed(image, modality))
        heat.append(attention_maps(network, image, modality, steps, embeddings[-1])[0].cpu().numpy())
        images.append(pixels / np.float32(255))
    cosine = float((embeddings[0] * embeddings[1]).sum())
    return attention.Look((images[0], images[1]), (heat[0], heat[1]), cosine, seen)


def _note(steps: int, seen: bool) -> str:
    words = (
        "Heat: what brings about the cosine to the image's own embedding, "
        f"by integrated gradients ({steps} steps)\n"
        f"from the image blurred by 1/{1 / BLUR:.0f} of its height to the image; smoothed by "
        f"1/{1 / SMOOTHING:.0f}; each map from 0 to its maximum."
    )
    if seen:
        words += (
            f"\n{attention.SEEN}: the run has seen this person's images in training; "
            "its heat and cosine say nothing about others."
        )
    return words
