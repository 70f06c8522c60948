"""The rows and identities that a training uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.data.identity import identity_tokens
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder

SPLITS = {"train": ("train",), "trainval": ("train", "val")}


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a training reads.

    Attributes:
        store: The prepared dataset.
        rows: (N,) its rows that are trained on.
        sampler: Draws P identities × K images of them.
    """

    store: Store
    rows: np.ndarray
    sampler: IdentitySampler

    def identities_seen(self, inherited: Sequence[str] = ()) -> list[str]:
        """Hashes of all identities that the network will have seen.

        Args:
            inherited: Those of its starting weights.
        """
        own = identity_tokens(self.store, np.array(list(self.sampler.labels_of)))
        return own + sorted(set(inherited) - set(own))


def training_data(recipe: Recipe, store: Store) -> TrainingData:
    """The rows of the recipe's split, and the sampler over them.

    Raises:
        UsageError: The split has no image, or too few identities for the sampler.
    """
    table = store.table(recipe.data.trial)
    rows = np.flatnonzero(np.isin(table.splits, SPLITS[recipe.data.split]))
    if len(rows) == 0:
        raise UsageError(
            f"{recipe.data.dataset} as prepared has no image of the split '{recipe.data.split}'.",
            f"Prepare it again: vireid prepare {recipe.data.dataset}",
        )
    chosen = table.take(rows)
    wanted = recipe.data.sampler
    sampler = IdentitySampler(
        chosen.pids,
        chosen.modalities,
        identities=wanted.identities,
        images=wanted.images,
        seed=recipe.train.seed,
        steps=recipe.train.steps_per_epoch,
    )
    return TrainingData(store, rows, sampler)


def trained_on(run: RunFolder, store: Store) -> bool:
    """Whether a run was trained on a store as it is now."""
    return bool(run.environment()["data"]["fingerprint"] == store.info.fingerprint)
