"""The runs of a study: one per row and seed, reused, resumed or trained, and their evaluations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vireid_cli import reading
from vireid_cli.engine.checkpoint import LAST, load_state
from vireid_cli.engine.evaluate import evaluate
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import trained_on
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.train import train
from vireid_cli.engine.train.trainer import Watch
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation
from vireid_cli.results.run import RunFolder


def stored_results(
    study: Study, recipe: Recipe, inside: Session, session: Session, options: EvaluateOptions
) -> tuple[RunFolder, list[tuple[str, StoredEvaluation]]] | None:
    """Return a recipe's finished run and its evaluations, or None if one of them is missing or outdated.

    Args:
        study: Names the evaluation datasets.
        recipe: The recipe.
        inside: The session whose folder of runs holds those of the study.
        session: Device, reporter and folders.
        options: Protocols of the evaluation.

    Returns:
        The run, and the evaluations as from ``evaluated``.
    """
    state, folder = inside.runtime.world.broadcast(lambda: run_state(recipe, inside))
    if state != "finished":
        return None
    run = RunFolder(Path(folder))
    named = []
    for dataset in study.evaluate.datasets or ("",):
        stored = _stored(run, session, replace(options, dataset=dataset or options.dataset))
        if stored is None:
            return None
        named += _named(dataset, stored)
    return run, named


def evaluated(
    study: Study, run: RunFolder, session: Session, options: EvaluateOptions
) -> list[tuple[str, StoredEvaluation]]:
    """Return a run's evaluations on all datasets of the study, with the names of their tables.

    Stored evaluations are reused. Other ranks than 0 get an empty list.
    """
    named = []
    for dataset in study.evaluate.datasets or ("",):
        wanted = replace(options, dataset=dataset or options.dataset)
        stored = _stored(run, session, wanted)
        if stored is None:
            folders = [evaluation.folder for evaluation in evaluate.evaluate_run(run, session, wanted)]
            stored = [read_evaluation(folder, run.command("evaluate")) for folder in folders if folder]
        named += _named(dataset, stored)
    return named


def _named(dataset: str, evaluations: list[StoredEvaluation]) -> list[tuple[str, StoredEvaluation]]:
    """Name the table of each evaluation: its protocol, after the dataset if the study names one."""
    prefix = f"{dataset}-" if dataset else ""
    return [(prefix + stored.content["protocol"], stored) for stored in evaluations]


def _holds(path: Path, recipe: Recipe, text: str) -> bool:
    """Whether a run's recipe file has this recipe with the text ``text``; False if it can't be read.

    Files of earlier versions have another text: sizes as lists, and no keys that were added later.
    """
    try:
        stored = reading.read_text(path)
        if stored == text or stored.partition("\n")[0] != text.partition("\n")[0]:  # another name
            return stored == text
        return run_recipe(RunFolder(path.parent)) == recipe
    except VireidError:
        return False


def trained(
    recipe: Recipe, session: Session, *, name: str | None = None, watch: Watch | None = None
) -> RunFolder:
    """Return a finished run of this recipe: an existing one, a resumed one or a new one.

    Args:
        recipe: The recipe.
        session: Device, reporter and folders.
        name: Name of a new run; None: composed of recipe, dataset and time.
        watch: Receives each validation of this training.
    """
    world = session.runtime.world
    state, folder = world.broadcast(
        lambda: run_state(recipe, session)
    )  # ranks that read later may see another
    if state == "finished":
        return RunFolder(Path(folder))
    if state == "started":
        return resume(RunFolder(Path(folder)), session, watch)
    return train(recipe, session, name, watch)


def run_state(recipe: Recipe, session: Session) -> list[str]:
    """Return whether a recipe is ``finished``, ``started`` or ``new`` in the study, and the run's folder."""
    text = dump(recipe)
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    for path in sorted(session.runs_dir.glob(f"*/{schema.RECIPE}")):
        if path.parent.is_symlink() or not _holds(path, recipe, text):
            continue
        run = RunFolder(path.parent)
        try:
            state = load_state(run.checkpoints / LAST)
        except (DataError, UsageError):
            continue  # the run has no readable checkpoint
        if not trained_on(run, store):
            continue
        finished = state.epoch >= recipe.train.epochs or state.extra.stopped_early
        return ["finished" if finished else "started", str(run.folder)]
    return ["new", ""]


def _stored(run: RunFolder, session: Session, options: EvaluateOptions) -> list[StoredEvaluation] | None:
    """Return a run's results under each protocol from its folder, or None if one is missing or outdated.

    Other ranks than 0 return an empty list instead of the results.
    """
    stored: list[StoredEvaluation] = []

    def is_stored() -> bool:
        """Whether rank 0 has read the results."""
        stored.extend(evaluate.stored_evaluations(run, session, options))
        return bool(stored)

    return stored if session.runtime.world.broadcast(is_stored) else None
