"""Resume a training from its newest checkpoint, in its own precision unless another one is requested."""

from __future__ import annotations

from dataclasses import replace

from vireid_cli import files
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Position
from vireid_cli.engine.checkpoint_fit import check_extra, check_position
from vireid_cli.engine.network import build_network, run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.runtime import PRECISIONS
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import trained_on, training_data
from vireid_cli.engine.train.trainer import Trainer
from vireid_cli.errors import UsageError
from vireid_cli.lock import locked
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

ARITHMETIC = ("device", "precision", "threads", "torch")
"""What the last bits of the weights depend on, beside recipe and data."""


def with_own_precision(session: Session, run: RunFolder) -> Session:
    """The session in the run's own precision, unless another one was asked for.

    Raises:
        DataError: ``environment.json`` can't be read.
    """
    own = run.environment().get("precision")
    if not session.runtime.automatic or own not in PRECISIONS:
        return session
    return replace(session, runtime=replace(session.runtime, precision=own))


def note_arithmetic(run: RunFolder, session: Session, at: Position) -> None:
    """Say and keep that a run goes on with another arithmetic than it began with, in ``environment.json``."""
    environment, now = run.environment(), session.runtime.describe()
    changed = {key: now[key] for key in ARITHMETIC if environment.get(key) != now[key]}
    if changed:
        told = ", ".join(f"{key} {environment.get(key)} → {value}" for key, value in changed.items())
        session.reporter.warn(f"goes on with another arithmetic, so not to the same bits: {told}")
        resumed = [*environment.get("resumed", []), {"global_step": at.global_step, **changed}]
        files.write_json(run.folder / schema.ENVIRONMENT, {**environment, "resumed": resumed})


def resume(run: RunFolder, session: Session) -> RunFolder:
    """Go on from a run's newest checkpoint, to the same weights as an uninterrupted run.

    The precision is the run's own unless another was asked for; arithmetic that differs is said and kept
    in ``environment.json``.

    Raises:
        UsageError: No checkpoint, a finished run, or prepared data that has changed since.
        DataError: Another process trains this run, or its checkpoint is damaged or of another training.
    """
    with locked(run.folder, run.lock):
        return _resume(run, session)


def _resume(run: RunFolder, session: Session) -> RunFolder:
    """Go on with a run that nobody else writes."""
    recipe, last = run_recipe(run), run.checkpoints / checkpoints.LAST
    if run.environment().get("imported"):
        raise UsageError(
            f"{run.folder} was imported: its file holds no optimizer state to resume from.",
            f"Start a training from its trunk: vireid export backbone {run.folder}",
        )
    saved = checkpoints.load_checkpoint(last)
    check_position(last, saved.position, recipe.train.epochs)
    check_extra(last, saved.extra)
    if not saved.hashed:
        session.reporter.warn(checkpoints.without_hashes(last))
    if saved.position.epoch >= recipe.train.epochs:
        raise UsageError(
            f"{run.folder} is finished: all {recipe.train.epochs} epochs are done.",
            f"Evaluate it: vireid evaluate {run.folder}",
        )
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    _same_data(run, store)
    session = with_own_precision(session, run)
    chosen = training_data(recipe, store)
    check_position(last, saved.position, recipe.train.epochs, chosen.sampler.steps)
    network = build_network(recipe, chosen.sampler.num_identities, session.runtime)
    tokens = list(saved.extra["training_identities"])
    trainer = Trainer(run, session, recipe, chosen, network, tokens)
    trainer.restore(saved)
    runs.keep_rows_until(run.log, saved.position.global_step)
    runs.name_latest(run)
    note_arithmetic(run, session, saved.position)
    session.reporter.say(
        f"resuming {run.folder} at epoch {saved.position.epoch + 1}, step {saved.position.step + 1}"
    )
    return trainer.fit()


def _same_data(run: RunFolder, store: Store) -> None:
    """Refuse to go on with other data than the run began with."""
    if not trained_on(run, store):
        raise UsageError(
            f"{run.folder} was trained on other data: {store.folder} has changed since.",
            "Restore that data, or train anew.",
        )
