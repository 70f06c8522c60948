"""The subject of an export: a run's network on the CPU, sample images, and the metadata of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vireid_cli.data.identity import store_title
from vireid_cli.data.store import Store
from vireid_cli.engine.embed import TrainedNetwork, load_trained, to_images, warn_if_unfinished
from vireid_cli.engine.model import fingerprint_of
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.results.run import RunFolder
from vireid_cli.tensor_files.sealed import content_hash
from vireid_cli.types import Modality, Resize, Size

LICENCE = "Apache-2.0"
"""Licence of weights that were trained on rendered people."""

SAMPLES = 8
"""Number of images per modality that verify an export."""


@dataclass(frozen=True)
class ExportSubject:
    """A run's network in float32 on the CPU, with everything that an export writes about it.

    Attributes:
        run: The run.
        session: The session on the CPU.
        trained: Network and checkpoint.
        store: The prepared dataset.
        samples: Test images per modality that verify the files.
        origin: Recipe, method, dataset, epochs, weights and commit.
        metadata: ``origin``, fingerprint, hash of the training identities, resize rule, licence.
    """

    run: RunFolder
    session: Session
    trained: TrainedNetwork
    store: Store
    samples: Mapping[Modality, Tensor]
    origin: dict[str, str]
    metadata: dict[str, str]

    @property
    def size(self) -> Size:
        """(height, width) of the network's input in pixels."""
        return self.trained.recipe.data.image_size

    @property
    def resize(self) -> Resize:
        """Resize rule of the network's images."""
        return self.trained.recipe.data.resize

    def identifier(self, **options: object) -> str:
        """Identifier of an export with these options: a hash of weights, origin and options."""
        about = {**self.origin, **{key: str(value) for key, value in options.items()}}
        return content_hash(self.trained.network.state_dict(), about)[:32]


def export_subject(run: RunFolder, session: Session) -> ExportSubject:
    """Load a run for an export.

    Raises:
        UsageError: The run has no checkpoint, or its dataset is missing.
        DataError: The checkpoint or the dataset is damaged.
    """
    on_cpu = cpu_session(session)
    trained = load_trained(run, on_cpu)
    warn_if_unfinished(run, trained, session)
    data = trained.recipe.data
    store = ensure_prepared(data.dataset, on_cpu, data.image_size, data.resize)
    samples = {m: sample_images(store, data.image_size, m, SAMPLES, data.trial) for m in Modality}
    origin = {
        "recipe": trained.recipe.name,
        "method": trained.recipe.method.name,
        "dataset": store_title(store),
        "epochs": str(trained.epochs),
        "weights": str(trained.environment["weights"]),
        "commit": str(trained.environment.get("commit", "")),
    }
    tokens = sorted(trained.tokens)
    metadata = {
        **origin,
        "vireid": str(trained.environment.get("vireid", "")),
        "resize": data.resize,
        "fingerprint": json.dumps(fingerprint_of(trained, on_cpu.runtime), sort_keys=True),
        "identities": str(len(tokens)),
        "identities_sha256": hashlib.sha256("\n".join(tokens).encode()).hexdigest(),
        "licence": licence_note(trained, store_title(store)),
    }
    return ExportSubject(run, on_cpu, trained, store, samples, origin, metadata)


def licence_note(trained: TrainedNetwork, dataset: str) -> str:
    """Licence of exported weights: that of rendered people, or a note about the dataset's terms."""
    if "rendered" in trained.environment["data"]:
        return f"{LICENCE} (trained on rendered people)"
    return (
        f"The weights were trained on {dataset}. Its terms of use apply to them; most datasets of people "
        "permit research only. Check the terms before you distribute or deploy this file."
    )


def cpu_session(session: Session) -> Session:
    """Return the session on the CPU in fp32, for exports."""
    return replace(session, runtime=Runtime(torch.device("cpu"), "fp32"))


def sample_images(store: Store, size: Size, modality: Modality, count: int, trial: int = 1) -> Tensor:
    """Return test images of one modality, evenly spread over the table: (count, 3, H, W) in [0, 1]."""
    table = store.records_in_trial(trial)
    rows = np.flatnonzero((table.modalities == modality.code) & table.tested)
    samples = rows[np.linspace(0, len(rows) - 1, num=min(count, len(rows)), dtype=np.int64)]
    return to_images(store.batch(size, samples), torch.device("cpu")).contiguous()
