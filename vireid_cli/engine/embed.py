"""Embed images of the store: batches of one modality, batch norms folded, bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint_fit import check_position, load_weights
from vireid_cli.engine.checkpoint_state import CheckpointState
from vireid_cli.engine.network import build_network, run_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, Modality, Size

BATCH = 64


@dataclass(frozen=True, slots=True)
class Chosen:
    """The checkpoint of a run that its recipe selects, as far as it is known without reading a tensor.

    Attributes:
        folder: The checkpoint's.
        recipe: The run's resolved recipe.
        environment: The run's ``environment.json``.
        epochs: Epochs that the checkpoint has seen.
        tokens: Hashes of the identities that it was trained on.
        best: The validation that chose it: ``epoch`` and figures; None where the last one was taken.
        trained: Epochs that the run has done.
        state: ``state.json`` of the checkpoint, with the hashes of its files.
    """

    folder: Path
    recipe: Recipe
    environment: schema.Environment
    epochs: int
    tokens: frozenset[str]
    best: Mapping[str, float] | None
    trained: int
    state: CheckpointState

    @property
    def imported(self) -> dict[str, Any] | None:
        """Where the checkpoint was imported from; None: it was trained here."""
        return self.environment.get("imported")

    @property
    def choice(self) -> str:
        """Which checkpoint this is, in words for a fingerprint."""
        if self.imported:
            return f"imported (epoch {self.epochs})"
        of = f"of {self.recipe.train.epochs}"
        if self.best is None:
            return f"last (epoch {self.epochs} {of})"
        return f"best on val (epoch {self.epochs} {of}, val mAP {100 * self.best['mAP']:.2f} %)"


@dataclass(frozen=True, slots=True)
class Trained(Chosen):
    """That checkpoint with its network, ready to embed.

    Attributes:
        network: In eval mode, on the device.
    """

    network: ReIdNetwork


def chosen_checkpoint(run: RunFolder) -> Chosen:
    """The checkpoint that a run's recipe selects: the last, or the best on val.

    Raises:
        UsageError: There is none.
        DataError: It is damaged.
    """
    recipe = run_recipe(run)
    last = run.checkpoints / checkpoints.LAST
    newest = checkpoints.load_state(last)  # a run may have gone on since its best epoch
    selects = recipe.train.select == "val"
    folder = run.checkpoints / checkpoints.BEST if selects else last
    state = checkpoints.load_state(folder) if selects else newest
    for place, its_state in ((last, newest), (folder, state)):
        check_position(place, checkpoints.position_of(its_state), recipe.train.epochs)
    extra = state.extra
    if extra.training_identities is None or (selects and not extra.best):
        raise DataError(
            f"{folder / checkpoints.STATE} lacks extra.training_identities or extra.best.",
            checkpoints.advice(folder),
        )
    return Chosen(
        folder,
        recipe,
        run.environment(),
        state.epoch,
        frozenset(extra.training_identities),
        extra.best if selects else None,
        newest.epoch,
        state,
    )


def _chosen_model(run: RunFolder) -> tuple[Chosen, dict[str, Tensor]]:
    """The chosen checkpoint and its weights, of one moment: a training may replace it meanwhile."""
    for _ in range(checkpoints.ATTEMPTS):
        chosen = chosen_checkpoint(run)
        try:
            return chosen, checkpoints.load_model(chosen.folder, chosen.state)
        except checkpoints.Replaced:
            continue
    raise DataError(f"{run.checkpoints} is replaced again and again while it is read.", "Try again later.")


def load_trained(run: RunFolder, session: Session, *, fold: bool = True) -> Trained:
    """Load the network of the checkpoint that the recipe selects: the last, or the best on val.

    Args:
        run: The run.
        session: Device, listener, folders.
        fold: Fold batch norms into convolutions (the same embedding, faster).

    Raises:
        UsageError: There is no checkpoint.
        DataError: The checkpoint does not fit the recipe.
    """
    chosen, model = _chosen_model(run)
    recipe, folder = chosen.recipe, chosen.folder
    if not chosen.state.hashed:
        session.reporter.warn(checkpoints.without_hashes(folder))
    identities = int(chosen.environment["num_identities"])
    network = build_network(recipe, identities, session.runtime)
    load_weights(network, model, folder, run.recipe_file)
    network.eval()
    if fold:
        network = fold_batch_norms(network)
    known = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    return Trained(**known, network=network)


def embed_pixels(
    network: ReIdNetwork, pixels: np.ndarray, modality: Modality, runtime: Runtime
) -> np.ndarray:
    """Embed one batch.

    Args:
        network: In eval mode.
        pixels: (N, H, W, 3) uint8, RGB.
        modality: Of all N.
        runtime: Device and precision.

    Returns:
        (N, D) float32, rows of unit length.
    """
    with torch.inference_mode(), runtime.autocast():
        embedding = network.embed(to_images(pixels, runtime.device), modality)
    return embedding.float().cpu().numpy()


def to_images(pixels: np.ndarray, device: torch.device) -> Tensor:
    """(N, H, W, 3) uint8 → (N, 3, H, W) float in [0, 1], channels last."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return tensor.permute(0, 3, 1, 2).float().div_(255.0)


def embed_rows(
    network: ReIdNetwork,
    session: Session,
    store: Store,
    size: Size,
    rows: np.ndarray,
    *,
    mirror: bool = False,
) -> Embeddings:
    """Embed rows of the store, each with its own modality.

    Args:
        network: In eval mode.
        session: Device, precision, listener.
        store: The prepared store.
        size: (height, width) of the prepared pixels.
        rows: (N,) row indices.
        mirror: Embed the images flipped left to right.

    Returns:
        Embeddings in the order of ``rows``.
    """
    table = store.records.take(rows)
    features: np.ndarray | None = None
    done = 0
    for modality in Modality:
        places = np.flatnonzero(table.modalities == modality.code)
        for start in range(0, len(places), BATCH):
            chosen = places[start : start + BATCH]
            pixels = store.batch(size, rows[chosen])
            part = embed_pixels(network, pixels[:, :, ::-1] if mirror else pixels, modality, session.runtime)
            if features is None:
                features = np.empty((len(rows), part.shape[1]), dtype=np.float32)
            features[chosen] = part
            done += len(chosen)
            session.reporter.advance("embedding", done, len(rows))
    if features is None:
        raise DataError("There is no image to embed.")
    return Embeddings(features, table.pids, table.camids, table.modalities, table.paths)
