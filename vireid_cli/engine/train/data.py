"""The rows and identities that a training uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.data.identity import identity_tokens
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.data.store import Store
from vireid_cli.dataset_names import prepare_command
from vireid_cli.errors import UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder

SPLITS = {"train": ("train",), "trainval": ("train", "val")}
"""Splits of the images that ``data.split`` selects; ``all`` selects every image."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Images and identities of a training.

    Attributes:
        store: The prepared dataset.
        rows: (N,) rows of the store that belong to the training split.
        sampler: Draws P identities × K images from these rows.
    """

    store: Store
    rows: np.ndarray
    sampler: IdentitySampler

    def identity_hashes(self, inherited: Sequence[str] = ()) -> list[str]:
        """Return hashes of all training identities, including those of the starting weights.

        Args:
            inherited: Hashes of the training identities of the starting weights.
        """
        own = identity_tokens(self.store, np.array(list(self.sampler.labels_of)))
        return own + sorted(set(inherited) - set(own))


def training_data(recipe: Recipe, store: Store) -> TrainingData:
    """Select the rows of the recipe's split and create their sampler.

    Raises:
        UsageError: The split has no image, or too few identities for the sampler.
    """
    table = store.records_in_trial(recipe.data.trial)
    split = recipe.data.split
    chosen_splits = np.unique(table.splits) if split == "all" else SPLITS[split]
    rows = np.flatnonzero(np.isin(table.splits, chosen_splits))
    if len(rows) == 0:
        raise UsageError(
            f"The prepared dataset {recipe.data.dataset} has no image in the split '{recipe.data.split}'.",
            f"Prepare it again: {prepare_command(recipe.data.dataset)}",
        )
    selected = table.take(rows)
    options = recipe.data.sampler
    sampler = IdentitySampler(
        selected.pids,
        selected.modalities,
        identities=options.identities,
        images=options.images,
        seed=recipe.train.seed,
        steps=recipe.train.steps_per_epoch,
    )
    return TrainingData(store, rows, sampler)


def trained_on(run: RunFolder, store: Store) -> bool:
    """Return whether the run's data fingerprint equals the store's current fingerprint."""
    return bool(run.environment()["data"]["fingerprint"] == store.info.fingerprint)
