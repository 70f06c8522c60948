"""The rows and identities that a training uses."""

from __future__ import annotations

import numpy as np

from vireid_cli.data.identity import identity_tokens
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import Run

SPLITS = {"train": ("train",), "trainval": ("train", "val")}


def sampler_of(recipe: Recipe, store: Store) -> tuple[IdentitySampler, np.ndarray]:
    """The P×K sampler over the rows of the recipe's split, and those rows."""
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
    return sampler, rows


def identities_seen(store: Store, sampler: IdentitySampler, inherited: tuple[str, ...]) -> list[str]:
    """Hashes of all identities that the network has seen, those of its starting weights included."""
    own = identity_tokens(store, np.array(list(sampler.labels_of)))
    return own + sorted(set(inherited) - set(own))


def trained_on(run: Run, store: Store) -> bool:
    """Whether a run was trained on a store as it is now."""
    return bool(run.environment()["data"]["fingerprint"] == store.info.fingerprint)
