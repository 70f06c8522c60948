"""Amplitude and phase components of images' last feature maps, computed by a run's network, for t-SNE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from vireid_cli.backbones.last_map import last_map
from vireid_cli.data.identity import marks
from vireid_cli.data.store import Store
from vireid_cli.engine.embed import BATCH, load_trained, to_images
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.embeddings import RunEmbeddings
from vireid_cli.engine.subjects.evaluations import rows_of
from vireid_cli.errors import DataError
from vireid_cli.frequency.components import amplitude_component, folded, phase_component
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Modality, Size

LENGTH = 8192
"""Dimension after folding a component; the root mean square error of cosines is at most 0.016."""

COMPONENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "amplitude": amplitude_component,
    "phase": phase_component,
}


def components_of(one: RunEmbeddings, session: Session, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Compute components of an evaluation's images with the run's current network.

    Args:
        one: Embeddings of the evaluation; its images are read from the prepared store.
        session: Device, reporter and folders.
        names: Keys of ``COMPONENTS``.

    Returns:
        For each name (N, D) float32, D at most ``LENGTH``.

    Raises:
        UsageError: The data or the checkpoint are missing.
        DataError: The store's images differ from the evaluated ones.
    """
    trained = load_trained(one.run, session)
    size = trained.recipe.data.image_size
    dataset = one.fingerprint.get("source", trained.recipe.data.dataset)
    store = ensure_prepared(dataset, session, size, trained.recipe.data.resize)
    evaluated, now = one.fingerprint.get("data"), marks(store)["data"]
    if evaluated is not None and evaluated != now:
        raise DataError(
            f"{one.run.name} was evaluated on other images ({evaluated}) than {store.folder} holds ({now}).",
            f"Evaluate it again: {one.run.command('evaluate')}",
        )
    checkpoint = one.fingerprint.get("checkpoint", trained.label)
    if checkpoint != trained.label:
        session.reporter.warn(
            f"{one.run.name} was evaluated at checkpoint {checkpoint}; its amplitudes and phases are "
            f"those of {trained.label}"
        )
    rows = rows_of(store, one.embeddings.paths.tolist())
    return component_rows(trained.network, session, names, store, size, rows)


def component_rows(
    network: ReIdNetwork,
    session: Session,
    names: Sequence[str],
    store: Store,
    size: Size,
    rows: np.ndarray,
) -> dict[str, np.ndarray]:
    """Compute components of rows of the store, each by the path of its modality.

    Args:
        network: In eval mode, on the device.
        session: Device, precision and reporter; the transforms run in float32 for any precision.
        names: Keys of ``COMPONENTS``.
        store: The prepared store.
        size: (height, width) of the prepared pixels.
        rows: (N,) row indices.

    Returns:
        For each name (N, D) float32 in the order of ``rows``.
    """
    modalities = store.records.modalities[rows]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    order: list[np.ndarray] = []
    done = 0
    with torch.inference_mode(), last_map(network) as newest:
        for modality in Modality:
            places = np.flatnonzero(modalities == modality.code)
            for start in range(0, len(places), BATCH):
                batch = places[start : start + BATCH]
                images = to_images(store.batch(size, rows[batch]), session.runtime.device)
                with session.runtime.autocast():
                    network.embed(images, modality)
                maps = newest()[: len(batch)].float()  # (n, C, h, w)
                for name in names:
                    parts[name].append(folded(COMPONENTS[name](maps), LENGTH).cpu().numpy())
                order.append(batch)
                done += len(batch)
                session.reporter.advance("amplitudes and phases", done, len(rows))
    back = np.argsort(np.concatenate(order))
    return {name: np.concatenate(batches)[back] for name, batches in parts.items()}
