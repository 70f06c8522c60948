"""Training on all splits of a dataset with several, as RegDB has."""

from __future__ import annotations

from collections.abc import Sequence

from vireid_cli.data import protocols
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.train import train
from vireid_cli.errors import UsageError
from vireid_cli.results import run as runs
from vireid_cli.results.run import RunFolder


def train_trials(
    recipe: str, settings: Sequence[str], session: Session, name: str | None = None
) -> list[RunFolder]:
    """Train a recipe once per split of its dataset, one after the other.

    Args:
        recipe: Name of a shipped recipe, or path of a recipe file.
        settings: ``KEY=VALUE``, as for ``--set`` on the command line.
        session: Device, reporter and folders.
        name: Name of the runs, to which ``-trial1`` … are added; None: see ``results.run.create``.

    Returns:
        One run per split, in order.

    Raises:
        UsageError: The dataset has a single split.
    """
    data = load_recipe(recipe, tuple(settings)).data
    try:
        protocols.check(data.dataset, Request(trial=1))
    except UsageError as error:
        raise UsageError(
            f"{data.dataset} has a single split and no trials.", "Remove --trial all."
        ) from error
    trials = ensure_prepared(data.dataset, session, data.image_size, data.resize).records.trials
    if not trials:
        raise UsageError(f"{data.dataset} has a single split and no trials.")
    numbers = range(1, trials + 1)
    names = {number: None if name is None else f"{name}-trial{number}" for number in numbers}
    for one in names.values():
        if one is not None and session.runtime.world.first:  # other ranks may see the new folder
            runs.check_new_name(one, session.runs_dir)
    return [
        train(load_recipe(recipe, (*settings, f"data.trial={number}")), session, names[number])
        for number in numbers
    ]
