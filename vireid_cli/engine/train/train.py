"""The verb ``train``: train a recipe in a new run folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from vireid_cli import files
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.loggers.run_loggers import check_packages
from vireid_cli.engine.network import build_network, starting_weights
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import TrainingData, training_data
from vireid_cli.engine.train.environment import announce, environment_of
from vireid_cli.engine.train.gradients import check_gradients
from vireid_cli.engine.train.run_log import LoggedReporter, RunLog, run_log
from vireid_cli.engine.train.trainer import Trainer, Watch
from vireid_cli.engine.train.validation import validation_plan
from vireid_cli.lock import locked
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder


def train(recipe: Recipe, session: Session, name: str | None = None, watch: Watch | None = None) -> RunFolder:
    """Train a recipe from its start.

    Args:
        recipe: The recipe.
        session: Device, reporter and folders.
        name: Name of the run folder; None: composed of recipe, dataset and time.
        watch: Receives each validation; an exception of it ends the training.

    Returns:
        The run folder, with its last checkpoint.

    Raises:
        UsageError: The dataset is missing, the recipe does not fit it, a run has this name, or the package
            of a logger is not installed.
        VireidError: A loss became NaN or infinite.
        Interrupted: A signal stopped the training; a checkpoint was saved.
    """
    runtime = session.runtime
    with run_log(runtime.world.first) as log, runtime.world.joined(runtime.device):
        logged = replace(session, reporter=LoggedReporter(session.reporter))
        return _train(recipe, logged, name, watch, log)


def _train(recipe: Recipe, session: Session, name: str | None, watch: Watch | None, log: RunLog) -> RunFolder:
    """Train with connected ranks."""
    data, world = recipe.data, session.runtime.world

    def check_name() -> None:
        """Check that the folder is new; others may create it at the same time."""
        if name is not None:
            runs.check_new_name(name, session.runs_dir)

    world.broadcast(check_name)
    world.together(lambda: check_packages(recipe))
    store = world.in_turn(lambda: ensure_prepared(data.dataset, session, data.image_size, data.resize))
    start = world.in_turn(lambda: starting_weights(recipe, session, store.rendered))
    images = world.together(lambda: training_data(recipe, store))
    if recipe.train.select == "val":
        world.together(lambda: validation_plan(store, start.identities))  # raises before a run folder exists
    network = build_network(recipe, images.sampler.num_identities, session.runtime, start.state)
    world.together(lambda: check_gradients(recipe, network, world))
    identity_hashes = images.identity_hashes(start.identities)

    def create() -> str:
        """Create the run folder."""
        return str(_create(recipe, session, images, network, identity_hashes, start.source, name).folder)

    run = RunFolder(Path(world.broadcast(create)))
    log.write_to(run.folder)
    announce(recipe, session, images, network)
    with locked(run.folder, run.lock) if world.first else nullcontext():
        return Trainer(run, session, recipe, images, network, identity_hashes, watch).fit()


def _create(
    recipe: Recipe,
    session: Session,
    images: TrainingData,
    network: ReIdNetwork,
    identity_hashes: list[str],
    weights: str,
    name: str | None,
) -> RunFolder:
    """Create the run folder with its recipe and environment."""
    moments = 2 if recipe.train.optimizer.name != "sgd" else int(recipe.train.optimizer.momentum > 0.0)
    copies = 2 if recipe.train.select == "val" else 1
    averaged = recipe.train.ema > 0.0
    checkpoints.check_free_space(session.runs_dir, network, moments, copies, averaged=averaged)
    run = runs.create(recipe.name, recipe.data.dataset, runs=session.runs_dir, name=name)
    environment = environment_of(recipe, session, images, network, identity_hashes, weights)
    files.write_sealed(run.folder / schema.ENVIRONMENT, environment)
    files.write_text(run.recipe_file, dump(recipe))  # last: it marks the folder as a run
    return run
