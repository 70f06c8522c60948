"""Embeddings of earlier evaluations of a run, reused if network, images and precision are the same."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vireid_cli
from vireid_cli import methods
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.embed import SelectedCheckpoint, TrainedNetwork, embed_rows
from vireid_cli.engine.session import Session
from vireid_cli.errors import VireidError
from vireid_cli.recipe.load import dump
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation, stored_names
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

KEY = "embedding_key"
"""Key of ``metrics.json``: hash of everything on which the embeddings depend besides the images."""

CODE = ("methods", "layers", "backbones", "frequency", "losses", "engine/embed.py", "engine/network.py")
"""Parts of the package that compute embeddings."""

SETTINGS = ("data", "source", "precision", "image_size", "resize")
"""Keys of the fingerprint that must be equal."""


@dataclass(frozen=True, slots=True)
class KeptEmbeddings:
    """Embeddings of some rows of a store.

    Attributes:
        features: (N, D) float32; D is 0 without any embedding.
        present: (N,) bool: rows with an embedding.
    """

    features: np.ndarray
    present: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether every row has an embedding."""
        return bool(self.present.all())


def embedding_key(selected: SelectedCheckpoint, session: Session, *, averaged: bool = False) -> str:
    """Hash of weights, recipe, precision, kind of device, versions and source code; empty without hashes.

    Args:
        selected: The checkpoint; those of early versions have no hash of their weights.
        session: Device and precision.
        averaged: Whether the averaged weights of the checkpoint are used.
    """
    weights = (selected.state.files or {}).get(checkpoints.MODEL)
    if weights is None:
        return ""
    plugin = methods.external().get(selected.recipe.method.name)
    parts = (
        *(weights, dump(selected.recipe), session.runtime.precision, session.runtime.device.type),
        *(torch.__version__, code_hash(), plugin.sha256() if plugin else "", f"averaged {averaged}"),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@functools.cache
def code_hash() -> str:
    """Hash of the source files that compute embeddings."""
    root = Path(vireid_cli.__file__).parent
    total = hashlib.sha256()
    for part in CODE:
        place = root / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            total.update(f"{path.relative_to(root)}\n".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def kept_embeddings(
    run: RunFolder,
    store: Store,
    rows: np.ndarray,
    key: str,
    settings: dict[str, Any],
    session: Session,
) -> KeptEmbeddings:
    """Collect the embeddings of these rows from the run's stored evaluations.

    Args:
        run: The run.
        store: The evaluated dataset, with records sorted by path.
        rows: (N,) row indices, ascending.
        key: See ``embedding_key``; empty: none are collected.
        settings: The values of ``SETTINGS`` of the new evaluation.
        session: Ranks of a job, which share the embedding, reuse nothing: all need the same rows.
    """
    features = np.empty((len(rows), 0), dtype=np.float32)
    present = np.zeros(len(rows), dtype=bool)
    paths = store.records.paths[rows]
    for stored in _matching(run, key, settings) if key and session.runtime.world.size == 1 else ():
        try:
            arrays = stored.embeddings()
        except VireidError:
            continue  # damaged: computed again
        places = np.minimum(np.searchsorted(paths, arrays["paths"]), len(rows) - 1)
        here = paths[places] == arrays["paths"]
        if features.shape[1] == 0:
            features = np.zeros((len(rows), arrays["features"].shape[1]), dtype=np.float32)
        if features.shape[1] == arrays["features"].shape[1]:
            features[places[here]] = arrays["features"][here]
            present[places[here]] = True
    return KeptEmbeddings(features, present)


def _matching(run: RunFolder, key: str, settings: dict[str, Any]) -> Sequence[StoredEvaluation]:
    """List the stored evaluations with this key and these settings; damaged ones are skipped."""
    home, command = run.folder / "evaluation", run.command("evaluate")
    matches = []
    for name in stored_names(home):
        try:
            stored = read_evaluation(home / name, command)
        except VireidError:
            continue
        mark = stored.content["fingerprint"]
        if stored.content.get(KEY) == key and all(mark.get(k) == v for k, v in settings.items()):
            matches.append(stored)
    return matches


def complete_embeddings(
    kept: KeptEmbeddings, trained: TrainedNetwork, session: Session, store: Store, rows: np.ndarray
) -> Embeddings:
    """Embed the rows without a kept embedding, and return the embeddings of all rows.

    Args:
        kept: Result of ``kept_embeddings`` for these rows.
        trained: The network.
        session: Device, precision and reporter.
        store: The evaluated dataset.
        rows: (N,) row indices, ascending.
    """
    missing, size = rows[~kept.present], trained.recipe.data.image_size
    if len(missing) == len(rows):
        return embed_rows(trained.network, session, store, size, rows)
    session.reporter.info(
        f"using {len(rows) - len(missing):,} of {len(rows):,} embeddings from earlier evaluations: the "
        "weights, images and precision are the same"
    )
    features, table = kept.features, store.records.take(rows)
    if len(missing):
        features[~kept.present] = embed_rows(trained.network, session, store, size, missing).features
    return Embeddings(features, table.pids, table.camids, table.modalities, table.paths)


def replaced_settings(folder: Path, fingerprint: dict[str, Any], command: str) -> list[str]:
    """List the settings of a stored evaluation that a new one changes, such as ``precision fp32 → bf16``.

    Args:
        folder: Folder of the evaluation; the list is empty if it holds none, or a damaged one.
        fingerprint: Fingerprint of the new evaluation.
        command: Command that repeats the evaluation, for errors.
    """
    try:
        before = read_evaluation(folder, command).content["fingerprint"]
    except VireidError:
        return []
    keys = dict.fromkeys((*before, *fingerprint))
    return [
        f"{key.replace('_', ' ')} {_text(before.get(key))} → {_text(fingerprint.get(key))}"
        for key in keys
        if _text(before.get(key)) != _text(fingerprint.get(key))
    ]


def _text(value: object) -> str:
    return "none" if value in (None, "") else str(value)
