"""Selection and loading of a run's checkpoint, and embedding of images in batches of one modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.counts import counted
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint_average import load_average
from vireid_cli.engine.checkpoint_fit import check_position, load_weights
from vireid_cli.engine.checkpoint_state import CheckpointState
from vireid_cli.engine.network import build_network, run_recipe
from vireid_cli.engine.plugin_record import source_warnings
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder
from vireid_cli.results.training_schema import Environment
from vireid_cli.types import Embeddings, Modality, Size

BATCH = 64


@dataclass(frozen=True, slots=True)
class SelectedCheckpoint:
    """The checkpoint of a run that its recipe selects, without its tensors.

    Attributes:
        folder: The checkpoint folder.
        recipe: The run's resolved recipe.
        environment: The run's ``environment.json``.
        epochs: Training epochs of the checkpoint.
        tokens: Hashes of its training identities.
        best: ``epoch`` and metrics of the best validation; None: the last checkpoint is selected.
        trained: Training epochs of the run so far.
        state: ``state.json`` of the checkpoint, with the hashes of its files.
        stopped_early: Whether ``train.patience`` has ended the training.
    """

    folder: Path
    recipe: Recipe
    environment: Environment
    epochs: int
    tokens: frozenset[str]
    best: Mapping[str, float] | None
    trained: int
    state: CheckpointState
    stopped_early: bool = False

    @property
    def imported(self) -> dict[str, Any] | None:
        """Origin of an imported checkpoint; None: vireid trained the run."""
        return self.environment.get("imported")

    @property
    def label(self) -> str:
        """Description of the checkpoint for fingerprints, such as ``last (epoch 60 of 60)``."""
        if self.imported:
            return f"imported (epoch {self.epochs})"
        of = f"of {self.recipe.train.epochs}"
        if self.best is None:
            return f"last (epoch {self.epochs} {of})"
        return f"best on val (epoch {self.epochs} {of}, val mAP {100 * self.best['mAP']:.2f} %)"


@dataclass(frozen=True, slots=True)
class TrainedNetwork(SelectedCheckpoint):
    """A selected checkpoint with its network.

    Attributes:
        network: In eval mode, on the device.
        averaged: Whether the network has the average of the weights (``train.ema``).
    """

    network: ReIdNetwork = field(kw_only=True)
    averaged: bool = False


def select_checkpoint(run: RunFolder) -> SelectedCheckpoint:
    """Return the checkpoint that a run's recipe selects: the last one, or the best on val.

    Raises:
        UsageError: The run has no checkpoint.
        DataError: The checkpoint is damaged.
    """
    recipe = run_recipe(run)
    last = run.checkpoints / checkpoints.LAST
    newest = checkpoints.load_state(last)  # may have more epochs than the best one
    selects = recipe.train.select == "val"
    folder = run.checkpoints / checkpoints.BEST if selects else last
    state = checkpoints.load_state(folder) if selects else newest
    for place, its_state in ((last, newest), (folder, state)):
        check_position(place, checkpoints.position_of(its_state), recipe.train.epochs)
    extra = state.extra
    if extra.training_identities is None or (selects and not extra.best):
        raise DataError(
            f"{folder / checkpoints.STATE} lacks extra.training_identities or extra.best.",
            checkpoints.recovery_hint(folder),
        )
    return SelectedCheckpoint(
        folder,
        recipe,
        run.environment(),
        state.epoch,
        frozenset(extra.training_identities),
        extra.best if selects else None,
        newest.epoch,
        state,
        newest.extra.stopped_early,
    )


def warn_if_unfinished(run: RunFolder, selected: SelectedCheckpoint, session: Session) -> None:
    """Warn if a training has neither reached its last epoch nor stopped by ``train.patience``."""
    ended = selected.imported or selected.stopped_early
    if not ended and selected.trained < selected.recipe.train.epochs:
        session.reporter.warn(
            f"{run.folder} is unfinished: {selected.trained} of "
            f"{counted(selected.recipe.train.epochs, 'epoch')}"
        )


def _load_selected(run: RunFolder) -> tuple[SelectedCheckpoint, dict[str, Tensor]]:
    """Load the selected checkpoint and its weights; retry if a training replaces them meanwhile."""
    for _ in range(checkpoints.ATTEMPTS):
        selected = select_checkpoint(run)
        try:
            return selected, checkpoints.load_model(selected.folder, selected.state)
        except checkpoints.CheckpointReplaced:
            continue
    raise checkpoints.busy_error(run.checkpoints)


def load_trained(
    run: RunFolder, session: Session, *, fold: bool = True, averaged: bool = False
) -> TrainedNetwork:
    """Load the network of the checkpoint that the recipe selects: the last one, or the best on val.

    Args:
        run: The run.
        session: Device, reporter and folders.
        fold: Fold batch norms into convolutions: faster, with the same embeddings.
        averaged: Load the average of the weights (``train.ema``).

    Raises:
        UsageError: The run has no checkpoint, or no average.
        DataError: The checkpoint is damaged or does not fit the recipe.
    """
    selected, model = _load_selected(run)
    recipe, folder = selected.recipe, selected.folder
    for changed in source_warnings(run):
        session.reporter.warn(changed)
    if not selected.state.hashed:
        session.reporter.warn(checkpoints.missing_hashes_warning(folder))
    identities = int(selected.environment["num_identities"])
    network = build_network(recipe, identities, session.runtime)
    if averaged:
        model = load_average(folder)
    load_weights(network, model, folder, run.recipe_file)
    network.eval()
    if fold:
        network = fold_batch_norms(network)
    values = {each.name: getattr(selected, each.name) for each in fields(selected)}
    return TrainedNetwork(**values, network=network, averaged=averaged)


def embed_pixels(
    network: ReIdNetwork, pixels: np.ndarray, modality: Modality, runtime: Runtime
) -> np.ndarray:
    """Embed one batch.

    Args:
        network: In eval mode.
        pixels: (N, H, W, 3) uint8, RGB.
        modality: Modality of all N images.
        runtime: Device and precision.

    Returns:
        (N, D) float32, rows of unit length.
    """
    with torch.inference_mode(), runtime.autocast():
        embedding = network.embed(to_images(pixels, runtime.device), modality)
    return embedding.float().cpu().numpy()


def to_images(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Convert pixels to images: (N, H, W, 3) uint8 → (N, 3, H, W) float in [0, 1], channels last."""
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
    """Embed rows of the store, each by the path of its modality.

    Args:
        network: In eval mode.
        session: Device, precision and reporter.
        store: The prepared store.
        size: (height, width) of the prepared pixels.
        rows: (N,) row indices.
        mirror: Embed the images flipped left to right.

    Returns:
        Embeddings in the order of ``rows``. Ranks share the batches; each one gets all embeddings.

    Raises:
        DataError: ``rows`` is empty.
    """
    table = store.records.take(rows)
    batches = [
        (modality, places[start : start + BATCH])
        for modality in Modality
        for places in [np.flatnonzero(table.modalities == modality.code)]
        for start in range(0, len(places), BATCH)
    ]
    if not batches:
        raise DataError("No images to embed.")
    world, parts = session.runtime.world.connected, []
    own = batches[world.rank :: world.size]  # whole batches, so that all numbers equal those of one process
    total = sum(len(places) for _, places in own)
    done = 0
    for modality, places in own:
        pixels = store.batch(size, rows[places])
        pixels = pixels[:, :, ::-1] if mirror else pixels
        parts.append(embed_pixels(network, pixels, modality, session.runtime))
        done += len(places)
        session.reporter.advance("embedding", done, total)
    shared = world.gather_rows(np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32))
    features = np.empty((len(rows), max(part.shape[1] for part in shared)), dtype=np.float32)
    for rank, part in enumerate(shared):
        if len(part):
            features[np.concatenate([places for _, places in batches[rank :: world.size]])] = part
    return Embeddings(features, table.pids, table.camids, table.modalities, table.paths)
