"""Amplitude and phase of images' last feature maps, through a run's network: what t-SNE lays out."""

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
from vireid_cli.engine.subjects.embeddings import Embedded
from vireid_cli.engine.subjects.evaluations import rows_of
from vireid_cli.errors import DataError
from vireid_cli.frequency.components import amplitude_component, folded, phase_component
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Modality, Size

LENGTH = 8192
"""Coordinates that a component is folded to: cosines are off by 0.016 at most in the root mean square."""

COMPONENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "amplitude": amplitude_component,
    "phase": phase_component,
}


def components_of(one: Embedded, session: Session, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Components of the images of an evaluation, by the run's network as it is now.

    Args:
        one: The evaluation; its images are read from the prepared store.
        session: Device, listener, folders.
        names: Some of ``COMPONENTS``.

    Returns:
        For each name (N, D) float32, D at most ``LENGTH``.

    Raises:
        UsageError: No data, or no checkpoint.
        DataError: The images are others than those evaluated.
    """
    trained = load_trained(one.run, session)
    size = trained.recipe.data.image_size
    dataset = one.fingerprint.get("source", trained.recipe.data.dataset)
    store = ensure_prepared(dataset, session, size, trained.recipe.data.resize)
    evaluated, now = one.fingerprint.get("data"), marks(store)["data"]
    if evaluated is not None and evaluated != now:
        raise DataError(
            f"{one.run.name} was evaluated on other images ({evaluated}) than {store.folder} holds ({now}).",
            f"Evaluate it again: vireid evaluate {one.run.folder}",
        )
    seen = one.fingerprint.get("checkpoint", trained.label)
    if seen != trained.label:
        session.reporter.warn(
            f"{one.run.name} was evaluated at checkpoint {seen}; its amplitudes and phases are those of "
            f"{trained.label}"
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
    """Components of rows of the store, each with its own modality.

    Args:
        network: In eval mode, on the device.
        session: Device, precision, listener; the transforms are in float32 all the same.
        names: Some of ``COMPONENTS``.
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
                chosen = places[start : start + BATCH]
                images = to_images(store.batch(size, rows[chosen]), session.runtime.device)
                with session.runtime.autocast():
                    network.embed(images, modality)
                maps = newest()[: len(chosen)].float()  # (n, C, h, w)
                for name in names:
                    parts[name].append(folded(COMPONENTS[name](maps), LENGTH).cpu().numpy())
                order.append(chosen)
                done += len(chosen)
                session.reporter.advance("amplitudes and phases", done, len(rows))
    back = np.argsort(np.concatenate(order))
    return {name: np.concatenate(found)[back] for name, found in parts.items()}
