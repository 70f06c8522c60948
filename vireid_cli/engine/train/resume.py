"""Resume a training from its newest checkpoint, with its own precision unless the user requests another."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from vireid_cli import files
from vireid_cli.counts import counted
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint, Position
from vireid_cli.engine.checkpoint_fit import check_extra, check_position
from vireid_cli.engine.network import build_network, run_recipe
from vireid_cli.engine.plugin_record import source_warnings
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.runtime import PRECISIONS
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import trained_on, training_data
from vireid_cli.engine.train.gradients import check_gradients
from vireid_cli.engine.train.run_log import LoggedReporter, run_log
from vireid_cli.engine.train.trainer import Trainer, Watch
from vireid_cli.errors import UsageError
from vireid_cli.lock import locked
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

NUMERICS = ("device", "precision", "threads", "ranks", "torch")
"""Keys of ``environment.json`` on which the last bits of the weights depend."""


def with_own_precision(session: Session, run: RunFolder) -> Session:
    """Return the session with the run's own precision, unless the user requested another.

    Raises:
        DataError: ``environment.json`` can't be read.
    """
    own = run.environment().get("precision")
    if not session.runtime.automatic or own not in PRECISIONS:
        return session
    return replace(session, runtime=replace(session.runtime, precision=own))


def record_numerics(run: RunFolder, session: Session, at: Position) -> None:
    """Warn if device, precision, threads or PyTorch differ, and record it in ``environment.json``."""
    environment, now = run.environment(), session.runtime.describe()
    defaults = {"ranks": 1}  # earlier versions trained in one process
    former = {key: environment.get(key, defaults.get(key)) for key in NUMERICS}
    changed = {key: now[key] for key in NUMERICS if former[key] != now[key]}
    if changed:
        pairs = ", ".join(f"{key} {value} (was {former[key]})" for key, value in changed.items())
        session.reporter.warn(f"resuming with different {pairs}: results will not be bit-identical")
        resumed = [*environment.get("resumed", []), {"global_step": at.global_step, **changed}]
        files.write_sealed(run.folder / schema.ENVIRONMENT, {**environment, "resumed": resumed})


def resume(run: RunFolder, session: Session, watch: Watch | None = None) -> RunFolder:
    """Resume a run from its newest checkpoint; the weights equal those of an uninterrupted run.

    Uses the run's own precision unless the user requested another. A different device, precision,
    number of threads or PyTorch version causes a warning and is recorded in ``environment.json``.

    Args:
        run: The run.
        session: Device, reporter and folders.
        watch: Receives each validation; an exception of it ends the training.

    Raises:
        UsageError: The run has no checkpoint or is finished, or its prepared data has changed.
        DataError: Another process trains this run, or its checkpoint is damaged or does not fit.
    """
    world = session.runtime.world
    session = replace(session, reporter=LoggedReporter(session.reporter))
    with (
        run_log(world.first) as log,
        world.joined(session.runtime.device),
        ExitStack() as stack,
    ):

        def lock() -> None:
            """Lock the run, on the rank that writes."""
            if world.first:
                stack.enter_context(locked(run.folder, run.lock))

        world.together(lock)
        log.write_to(run.folder)
        recipe, saved = world.together(lambda: _load(run, session))
        data = recipe.data
        store = world.in_turn(lambda: ensure_prepared(data.dataset, session, data.image_size, data.resize))
        return world.together(lambda: _restored(run, session, recipe, saved, store, watch)).fit()


def _load(run: RunFolder, session: Session) -> tuple[Recipe, Checkpoint]:
    """Load the recipe and the newest checkpoint of a locked run that can be resumed."""
    recipe, last = run_recipe(run), run.checkpoints / checkpoints.LAST
    if run.environment().get("imported"):
        raise UsageError(
            f"{run.folder} was imported and has no optimizer state: it can't be resumed.",
            f"Start a new training from its trunk: {run.command('export', 'backbone')}",
        )
    saved = checkpoints.load_checkpoint(last)
    check_position(last, saved.position, recipe.train.epochs)
    check_extra(last, saved.extra)
    for changed in source_warnings(run):
        session.reporter.warn(changed)
    if not saved.hashed:
        session.reporter.warn(checkpoints.missing_hashes_warning(last))
    if saved.extra.get("stopped_early"):
        raise UsageError(
            f"{run.folder} has stopped after {counted(saved.position.epoch, 'epoch')}, "
            f"{recipe.train.patience} of them "
            "without a better validation (train.patience).",
            f"Evaluate it: {run.command('evaluate')}",
        )
    if saved.position.epoch >= recipe.train.epochs:
        raise UsageError(
            f"{run.folder} has finished: {counted(recipe.train.epochs, 'epoch')}.",
            f"Evaluate it: {run.command('evaluate')}",
        )
    return recipe, saved


def _restored(
    run: RunFolder,
    session: Session,
    recipe: Recipe,
    saved: Checkpoint,
    store: Store,
    watch: Watch | None,
) -> Trainer:
    """Return a trainer at the position of a checkpoint."""
    _check_data(run, store)
    last = run.checkpoints / checkpoints.LAST
    session = with_own_precision(session, run)
    images = training_data(recipe, store)
    check_position(last, saved.position, recipe.train.epochs, images.sampler.steps)
    network = build_network(recipe, images.sampler.num_identities, session.runtime)
    identity_hashes = list(saved.extra["training_identities"])
    check_gradients(recipe, network, session.runtime.world)
    trainer = Trainer(run, session, recipe, images, network, identity_hashes, watch)
    trainer.restore(saved)
    if session.runtime.world.first:
        runs.truncate_log(run.log, saved.position.global_step)
        runs.set_latest(run)
        record_numerics(run, session, saved.position)
    session.reporter.info(
        f"resuming {run.folder} at epoch {saved.position.epoch + 1}, step {saved.position.step + 1}"
    )
    return trainer


def _check_data(run: RunFolder, store: Store) -> None:
    """Raise ``UsageError`` if the prepared data has changed since the run started."""
    if not trained_on(run, store):
        raise UsageError(
            f"The data in {store.folder} has changed since {run.folder} was trained.",
            "Restore the old data, or start a new training.",
        )
