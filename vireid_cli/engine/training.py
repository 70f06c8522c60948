"""The verb ``train``: from a recipe to a run folder, and on from a checkpoint."""

from __future__ import annotations

import functools
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from vireid_cli import files
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint, Position
from vireid_cli.engine.feed import Feed, Pixels
from vireid_cli.engine.fit import Hooks, Loop, NotFinite
from vireid_cli.engine.going_on import note_arithmetic, with_own_precision
from vireid_cli.engine.interrupt import StopRequest, stop_on_signals
from vireid_cli.engine.introduction import announce, environment_of
from vireid_cli.engine.memory import keep_freed_memory
from vireid_cli.engine.network import build_network, run_recipe, starting_backbone
from vireid_cli.engine.preparation import data_folder, ensure_prepared, identity_tokens
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.schedule import build_optimizer
from vireid_cli.engine.selection import Selection, validation_plan
from vireid_cli.errors import Interrupted, UsageError, VireidError
from vireid_cli.lock import locked
from vireid_cli.methods import Method
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import Run

SPLITS = {"train": ("train",), "trainval": ("train", "val")}


@dataclass(frozen=True, slots=True)
class Job:
    """One training put together."""

    run: Run
    recipe: Recipe
    loop: Loop
    start: Position


def train(recipe: Recipe, runtime: Runtime, reporter: Reporter, data_dir: Path, runs_dir: Path | None) -> Run:
    """Train a recipe from its start.

    Returns:
        The run folder, with its last checkpoint.

    Raises:
        UsageError: The dataset is not there, or the recipe does not fit it.
        VireidError: A loss became NaN or infinite.
        Interrupted: Asked to stop; a checkpoint was written.
    """
    store = ensure_prepared(recipe.data.dataset, recipe.data.image_size, data_dir, reporter)
    start = starting_backbone(recipe, store.rendered, reporter)
    sampler, rows = _sampler(recipe, store)
    if recipe.train.select == "val":
        validation_plan(store, start.identities)  # refuses what can't be validated, before there is a run
    network = build_network(recipe, start.spec, sampler.num_identities, runtime)
    moments = 2 if recipe.train.optimizer.name != "sgd" else int(recipe.train.optimizer.momentum > 0.0)
    kept = 2 if recipe.train.select == "val" else 1
    checkpoints.refuse_full_disk(runs_dir or runs.runs_folder(), network, moments, kept)
    run = runs.create(recipe.name, recipe.data.dataset, runs=runs_dir)
    tokens = _identities(store, sampler, start.identities)
    environment = environment_of(recipe, runtime, store, sampler, tokens, network, start.weights)
    files.write_text(run.recipe_file, dump(recipe))
    files.write_json(run.folder / schema.ENVIRONMENT, environment)
    runs.name_latest(run)
    announce(recipe, store, sampler, network, reporter)
    with locked(run.folder, run.lock), stop_on_signals() as stop:
        job = _job(run, recipe, runtime, store, sampler, rows, network, stop, reporter, tokens)
        return _fit(job, reporter, data_dir)


def resume(run: Run, runtime: Runtime, reporter: Reporter, data_dir: Path) -> Run:
    """Go on from a run's newest checkpoint, to the same weights as an uninterrupted run.

    The precision is the run's own unless another was asked for; arithmetic that differs is said and kept
    in ``environment.json``.

    Raises:
        UsageError: No checkpoint, a finished run, or prepared data that has changed since.
        DataError: Another process trains this run.
    """
    with locked(run.folder, run.lock):
        return _resume(run, runtime, reporter, data_dir)


def _resume(run: Run, runtime: Runtime, reporter: Reporter, data_dir: Path) -> Run:
    """Go on with a run that nobody else writes."""
    recipe = run_recipe(run)
    saved = checkpoints.load_checkpoint(run.checkpoints / checkpoints.LAST)
    if saved.position.epoch >= recipe.train.epochs:
        raise UsageError(
            f"{run.folder} is finished: all {recipe.train.epochs} epochs are done.",
            f"Evaluate it: vireid evaluate {run.folder}",
        )
    store = ensure_prepared(recipe.data.dataset, recipe.data.image_size, data_dir, reporter)
    _same_data(run, store)
    runtime = with_own_precision(runtime, run)
    start = starting_backbone(recipe.model_copy(update={"backbone": _bare(recipe)}), True, reporter)
    sampler, rows = _sampler(recipe, store)
    network = build_network(recipe, start.spec, sampler.num_identities, runtime)
    network.load_state_dict(saved.model)
    runs.keep_rows_until(run.log, saved.position.global_step)
    runs.name_latest(run)
    note_arithmetic(run, runtime, saved.position, reporter)
    reporter.say(f"resuming {run.folder} at epoch {saved.position.epoch + 1}, step {saved.position.step + 1}")
    with stop_on_signals() as stop:
        tokens = list(saved.extra["training_identities"])
        job = _job(run, recipe, runtime, store, sampler, rows, network, stop, reporter, tokens, saved)
        return _fit(job, reporter, data_dir)


def _bare(recipe: Recipe) -> Any:
    """The backbone without weights: a checkpoint brings its own."""
    return recipe.backbone.model_copy(update={"weights": "none"})


def _sampler(recipe: Recipe, store: Store) -> tuple[IdentitySampler, np.ndarray]:
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


def _identities(store: Store, sampler: IdentitySampler, inherited: tuple[str, ...]) -> list[str]:
    """Hashes of all identities that the network has seen, those of its starting weights included."""
    own = identity_tokens(store, np.array(list(sampler.labels_of)))
    return own + sorted(set(inherited) - set(own))


def _job(
    run: Run,
    recipe: Recipe,
    runtime: Runtime,
    store: Store,
    sampler: IdentitySampler,
    rows: np.ndarray,
    network: nn.Module,
    stop: StopRequest,
    reporter: Reporter,
    tokens: list[str],
    saved: Checkpoint | None = None,
) -> Job:
    """Put the loop together, from the start or from a checkpoint."""
    optimizer = build_optimizer(cast(Method, network).parameter_groups(), recipe.train.optimizer)
    scaler = runtime.scaler()
    pixels = Pixels(store, recipe.data.image_size, rows, runtime)
    feed = Feed(pixels, rows, store.records.camids, recipe.data.augment, recipe.train.seed, runtime)

    def save(at: Position, name: str = checkpoints.LAST) -> None:
        extra = {
            "scaler": scaler.state_dict(),
            "sums": loop.meter.sums,
            "steps": loop.meter.steps,
            "training_identities": tokens,
            "best": selection.best if selection else {},
        }
        state = Checkpoint(checkpoints.model_state(network), optimizer.state_dict(), at, extra)
        checkpoints.save_checkpoint(run.checkpoints / name, state)

    selection = None
    if recipe.train.select == "val":
        keep = functools.partial(save, name=checkpoints.BEST)
        selection = Selection(network, store, recipe.data.image_size, runtime, reporter, keep)
    hooks = Hooks(lambda row: runs.append_row(run.log, row), save, stop, reporter)
    hooks.validate = selection.validate if selection else None
    loop = Loop(network, optimizer, scaler, sampler, feed, recipe.train, runtime, hooks)
    if saved is not None:
        optimizer.load_state_dict(saved.optimizer)
        scaler.load_state_dict(saved.extra["scaler"])
        loop.meter.sums = dict(saved.extra["sums"])
        loop.meter.steps = int(saved.extra["steps"])
        if selection:
            selection.best = dict(saved.extra["best"])
    return Job(run, recipe, loop, saved.position if saved else Position())


def _fit(job: Job, reporter: Reporter, data_dir: Path) -> Run:
    """Run the loop; explain what stopped it."""
    keep_freed_memory(job.loop.runtime.device)
    began = time.perf_counter()
    try:
        job.loop.run(job.start)
    except KeyboardInterrupt as error:
        if not (job.run.checkpoints / checkpoints.LAST).exists():
            raise Interrupted(
                f"Stopped at once; {job.run.folder} has no checkpoint yet.", "Train it anew."
            ) from error
        given = "" if data_dir == data_folder() else f" --data {shlex.quote(str(data_dir))}"
        resume_line = f"Resume: vireid train --resume {shlex.quote(str(job.run.folder))}{given}"
        raise Interrupted(
            f"Stopped; a checkpoint is in {job.run.checkpoints / 'last'}.", resume_line
        ) from error
    except NotFinite as error:
        raise _explain(error, job) from error
    reporter.say(f"trained {job.recipe.train.epochs} epochs in {time.perf_counter() - began:.0f} s")
    return job.run


def _explain(error: NotFinite, job: Job) -> VireidError:
    """Save the batch that gave the bad loss and name everything."""
    loop, at = job.loop, error.at
    plan = loop.sampler.plan(at.epoch)
    batch = loop.feed.batch(plan, at.epoch, at.step)
    rows = loop.feed.store_rows(plan, at.step)
    path = files.write_npz(
        job.run.folder / f"bad-batch-{at.global_step}.npz",
        visible=batch.visible.float().cpu().numpy(),
        infrared=batch.infrared.float().cpu().numpy(),
        labels=batch.labels.cpu().numpy(),
        visible_rows=rows[0],
        infrared_rows=rows[1],
    )
    kept = "The last checkpoint before it is kept. "
    if not (job.run.checkpoints / checkpoints.LAST).exists():
        kept = "There is no checkpoint before it. "
    return VireidError(
        f"The loss term '{error.term}' became {error.value} in epoch {at.epoch + 1}, step {at.step + 1}.",
        f"The batch is saved: {path}\n{kept}Try a smaller "
        "train.optimizer.lr, --set train.optimizer.grad_clip=10, or --precision fp32.",
    )


def trained_on(run: Run, store: Store) -> bool:
    """Whether a run was trained on a store as it is now."""
    return bool(run.environment()["data"]["fingerprint"] == store.info.fingerprint)


def _same_data(run: Run, store: Store) -> None:
    """Refuse to go on with other data than the run began with."""
    if not trained_on(run, store):
        raise UsageError(
            f"{run.folder} was trained on other data: {store.folder} has changed since.",
            "Restore that data, or train anew.",
        )
