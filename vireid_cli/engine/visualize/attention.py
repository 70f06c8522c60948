"""Attention maps of runs for visible and infrared images of the same people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vireid_cli.counts import counted
from vireid_cli.data.identity import find_people
from vireid_cli.engine.embed import load_trained, to_images
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.attention import BLUR, SMOOTHING, attention_maps
from vireid_cli.engine.subjects.images import ImageFile, pair, select_people
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
    """Draw attention maps over a visible and an infrared image of each person, one row per run.

    Training identities of a run are marked.

    Args:
        runs: Trained runs of one dataset.
        session: Device, reporter and folders.
        output: File, format and resolution.
        ids: Number of people, the first test identities with both modalities.
        steps: Number of points of the path; see ``engine.subjects.attention``.
        pids: Persons to show instead.

    Raises:
        UsageError: A run has no checkpoint, the runs are of several datasets, a person is unknown, or too few
            people have both modalities.
        DataError: An image can't be read, or a checkpoint does not fit.
    """
    settings = [run_recipe(run, checked=False).data for run in runs]
    _check_dataset(runs, [data.dataset for data in settings])
    people = find_people(settings[0].dataset, session.data_dir)
    selected = select_people(people, pids, ids, settings[0].trial)
    pairs = [pair(people, pid) for pid in selected]
    progress, total = session.reporter.progress("attention"), len(runs) * len(pairs)
    rows = []
    labels = output.names(runs) if output.labels else [run.name for run in runs]
    for i, run in enumerate(runs):
        trained = load_trained(run, session)
        data = trained.recipe.data
        network = _Autocast(trained.network, session.runtime)
        seen = people.known(np.array(selected), trained.tokens).tolist()
        if any(seen):
            listed = ", ".join(str(pid) for pid, marked in zip(selected, seen, strict=True) if marked)
            session.reporter.warn(f"{run.name} was trained on pid {listed}: marked in the figure")
        looks = []
        for j, images in enumerate(pairs):
            looks.append(_look(network, images, data, steps, seen[j]))
            progress(i * len(pairs) + j + 1, total)
        rows.append(attention.RunRow(trained.recipe.method.name, labels[i], tuple(looks)))
    shown = [
        attention.PersonImages(f"pid {pid}", (images[0].detail, images[1].detail), look.images)
        for pid, images, look in zip(selected, pairs, rows[0].looks, strict=True)
    ]
    title = f"{people.title}: attention of the embedding"
    note = _note(steps, any(look.seen for row in rows for look in row.looks))
    figure = attention.attention_figure(shown, rows, title, note)
    return output.save(figure, runs[0].figures / "attention")


def _check_dataset(runs: Sequence[RunFolder], datasets: Sequence[str]) -> None:
    """Raise ``UsageError`` if the runs are of several datasets."""
    for run, dataset in zip(runs, datasets, strict=True):
        if dataset != datasets[0]:
            raise UsageError(
                f"{run.name} is a run of {dataset}, {runs[0].name} of {datasets[0]}.",
                "Name runs of one dataset.",
            )


@dataclass(frozen=True)
class _Autocast:
    """A network with convolutions in the runtime's precision, and pixels and embeddings in fp32."""

    network: ReIdNetwork
    runtime: Runtime

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """Embed images: (N, 3, H, W) in [0, 1] → (N, D) float32 of unit length."""
        with self.runtime.autocast():
            embedding = self.network.embed(images, modality)
        return embedding.float()


def _look(
    network: _Autocast, pair: tuple[ImageFile, ImageFile], data: Data, steps: int, seen: bool
) -> attention.Look:
    """Compute the maps and the cosine of a person's two images with one network."""
    images, heat, embeddings = [], [], []
    for file, modality in zip(pair, Modality, strict=True):
        pixels = file.pixels(data.image_size, data.resize)  # (H, W, 3)
        image = to_images(pixels[None], network.runtime.device)
        with torch.no_grad():  # fp32, because the figure prints the cosine
            embeddings.append(network.network.embed(image, modality))
        heat.append(attention_maps(network, image, modality, steps, embeddings[-1])[0].cpu().numpy())
        images.append(pixels / np.float32(255))
    cosine = float((embeddings[0] * embeddings[1]).sum())
    return attention.Look((images[0], images[1]), (heat[0], heat[1]), cosine, seen)


def _note(steps: int, seen: bool) -> str:
    words = (
        "Heat: contributions of pixels to the cosine with the image's own embedding, "
        f"by integrated gradients ({counted(steps, 'step')})\n"
        f"from the image blurred by 1/{1 / BLUR:.0f} of its height to the image; smoothed by "
        f"1/{1 / SMOOTHING:.0f}; each map from 0 to its maximum."
    )
    if seen:
        words += (
            f"\n{attention.SEEN}: this person is a training identity of the run; "
            "heat and cosine do not generalise to others."
        )
    return words
