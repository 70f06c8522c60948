"""The verb ``train``: from a recipe to a run folder, and on from a checkpoint."""

from __future__ import annotations

import functools
import shlex
import time
from dataclasses import dataclass

import numpy as np

from vireid_cli import files
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint, Position
from vireid_cli.engine.checkpoint_fit import load_optimizer, load_scaler
from vireid_cli.engine.network import build_network, starting_backbone
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session, data_folder
from vireid_cli.engine.train.allocator import keep_freed_memory
from vireid_cli.engine.train.data import identities_seen, sampler_of
from vireid_cli.engine.train.environment import announce, environment_of
from vireid_cli.engine.train.feed import Feed, Pixels
from vireid_cli.engine.train.interrupt import StopRequest, stop_on_signals
from vireid_cli.engine.train.loop import Hooks, Loop, NotFinite
from vireid_cli.engine.train.optimizer import build_optimizer
from vireid_cli.engine.train.validation import Selection, validation_plan
from vireid_cli.errors import Interrupted, VireidError
from vireid_cli.lock import locked
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import Run


@dataclass(frozen=True, slots=True)
class Job:
    """One training put together."""

    run: Run
    recipe: Recipe
    loop: Loop
    start: Position


def train(recipe: Recipe, session: Session) -> Run:
    """Train a recipe from its start.

    Returns:
        The run folder, with its last checkpoint.

    Raises:
        UsageError: The dataset is not there, or the recipe does not fit it.
        VireidError: A loss became NaN or infinite.
        Interrupted: Asked to stop; a checkpoint was written.
    """
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    start = starting_backbone(recipe, session, store.rendered)
    sampler, rows = sampler_of(recipe, store)
    if recipe.train.select == "val":
        validation_plan(store, start.identities)  # refuses what can't be validated, before there is a run
    network = build_network(recipe, start.spec, sampler.num_identities, session.runtime)
    moments = 2 if recipe.train.optimizer.name != "sgd" else int(recipe.train.optimizer.momentum > 0.0)
    kept = 2 if recipe.train.select == "val" else 1
    checkpoints.refuse_full_disk(session.runs_dir, network, moments, kept)
    run = runs.create(recipe.name, recipe.data.dataset, runs=session.runs_dir)
    tokens = identities_seen(store, sampler, start.identities)
    environment = environment_of(recipe, session, store, sampler, tokens, network, start.weights)
    files.write_json(run.folder / schema.ENVIRONMENT, environment)
    files.write_text(run.recipe_file, dump(recipe))  # last: it marks the folder as a run
    runs.name_latest(run)
    announce(recipe, session, store, sampler, network)
    with locked(run.folder, run.lock), stop_on_signals() as stop:
        job = assemble(run, session, recipe, store, sampler, rows, network, stop, tokens)
        return fit(job, session)


def assemble(
    run: Run,
    session: Session,
    recipe: Recipe,
    store: Store,
    sampler: IdentitySampler,
    rows: np.ndarray,
    network: ReIdNetwork,
    stop: StopRequest,
    tokens: list[str],
    saved: Checkpoint | None = None,
) -> Job:
    """Put the loop together, from the start or from a checkpoint."""
    optimizer = build_optimizer(network.parameter_groups(), recipe.train.optimizer)
    runtime = session.runtime
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
        selection = Selection(network, session, store, recipe.data.image_size, keep)
    hooks = Hooks(lambda row: runs.append_row(run.log, row), save, stop, session.reporter)
    hooks.validate = selection.validate if selection else None
    loop = Loop(network, optimizer, scaler, sampler, feed, recipe.train, runtime, hooks)
    if saved is not None:
        load_optimizer(optimizer, saved, run.checkpoints / checkpoints.LAST)
        load_scaler(scaler, saved, run.checkpoints / checkpoints.LAST)
        loop.meter.sums = dict(saved.extra["sums"])
        loop.meter.steps = int(saved.extra["steps"])
        if selection:
            selection.best = dict(saved.extra["best"])
    return Job(run, recipe, loop, saved.position if saved else Position())


def fit(job: Job, session: Session) -> Run:
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
        given = "" if session.data_dir == data_folder() else f" --data {shlex.quote(str(session.data_dir))}"
        resume_line = f"Resume: vireid train --resume {shlex.quote(str(job.run.folder))}{given}"
        raise Interrupted(
            f"Stopped; a checkpoint is in {job.run.checkpoints / 'last'}.", resume_line
        ) from error
    except NotFinite as error:
        raise _explain(error, job) from error
    session.reporter.say(f"trained {job.recipe.train.epochs} epochs in {time.perf_counter() - began:.0f} s")
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
