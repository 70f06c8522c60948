"""The verb ``compare``: train and evaluate every row of a study with every seed, and average.

What is finished is not done again: a run in the study's folder whose resolved recipe and data are the very
same is taken as it is, an unfinished one is resumed. So a study can be stopped and called again, and a row
can be added to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vireid_cli import files
from vireid_cli.engine import evaluate, training
from vireid_cli.engine.checkpoint import LAST, load_position
from vireid_cli.engine.evaluate import EvaluateOptions
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.preparation import ensure_prepared
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study, refuse
from vireid_cli.results import schema
from vireid_cli.results.compare import Comparison, as_json, comparison
from vireid_cli.results.run import Run

STUDY = "study.json"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study gave.

    Attributes:
        study: What was asked.
        tables: By protocol, in the study's order of rows.
        path: ``study.json``.
    """

    study: Study
    tables: dict[str, Comparison]
    path: Path


def compare(
    study: Study,
    options: EvaluateOptions,
    runtime: Runtime,
    reporter: Reporter,
    data_dir: Path,
    runs_dir: Path,
) -> StudyResult:
    """Fill a study's table; seeds outermost, so that an interrupted one has whole tables of fewer seeds.

    Args:
        study: Rows, seeds, shared settings.
        options: Protocols to evaluate under.
        runtime: Device and precision.
        reporter: Listener.
        data_dir: Datasets and stores.
        runs_dir: Run folders; the study's are in ``<runs_dir>/<study's name>/``.

    Raises:
        RecipeError: Recipes of some rows are wrong; all of them are named before anything is trained.
        Interrupted: Asked to stop; calling again goes on.
    """
    recipes = _recipes(study)
    folder = runs_dir / study.name
    found: dict[str, dict[str, dict[int, schema.EvaluationFile]]] = {}
    parameters: dict[str, int] = {}
    total = len(recipes)
    for done, ((label, seed), recipe) in enumerate(recipes.items()):
        reporter.say(f"{study.name}: {done + 1} of {total}: {label}, seed {seed}")
        run = _trained(recipe, runtime, reporter, data_dir, folder)
        parameters[label] = int(run.environment()["parameters"])
        for protocol, content in _evaluated(run, options, runtime, reporter, data_dir).items():
            found.setdefault(protocol, {}).setdefault(label, {})[seed] = content
        path = _write(folder, study, found, parameters)
    return StudyResult(study, _tables(found, parameters), path)


def _recipes(study: Study) -> dict[tuple[str, int], Recipe]:
    """Every row's recipe with every seed, checked; seeds outermost."""
    recipes: dict[tuple[str, int], Recipe] = {}
    errors: dict[str, UsageError] = {}
    for seed in study.seeds:
        for row in study.rows:
            try:
                recipes[row.label, seed] = load_recipe(row.recipe, tuple(study.settings(row, seed)))
            except UsageError as error:
                errors.setdefault(row.label, error)
    refuse(study, errors)
    return recipes


def _trained(recipe: Recipe, runtime: Runtime, reporter: Reporter, data_dir: Path, folder: Path) -> Run:
    """The run of this very recipe: found, resumed, or trained now."""
    text = dump(recipe)
    store = ensure_prepared(recipe.data.dataset, recipe.data.image_size, data_dir, reporter)
    for path in sorted(folder.glob(f"*/{schema.RECIPE}")):
        if path.parent.is_symlink() or path.read_text(encoding="utf-8") != text:
            continue
        run = Run(path.parent)
        try:
            position = load_position(run.checkpoints / LAST)
        except (DataError, UsageError):
            continue  # stopped before its first checkpoint
        if not training.trained_on(run, store):
            continue
        if position.epoch >= recipe.train.epochs:
            return run
        return training.resume(run, runtime, reporter, data_dir)
    return training.train(recipe, runtime, reporter, data_dir, folder)


def _evaluated(
    run: Run, options: EvaluateOptions, runtime: Runtime, reporter: Reporter, data_dir: Path
) -> dict[str, schema.EvaluationFile]:
    """By protocol, the run's results."""
    evaluations = evaluate.evaluate_run(run, options, runtime, reporter, data_dir)
    return {evaluation.content["protocol"]: evaluation.content for evaluation in evaluations}


def _tables(
    found: dict[str, dict[str, dict[int, schema.EvaluationFile]]], parameters: dict[str, int]
) -> dict[str, Comparison]:
    return {protocol: comparison(by_label, parameters) for protocol, by_label in found.items()}


def _write(
    folder: Path,
    study: Study,
    found: dict[str, dict[str, dict[int, schema.EvaluationFile]]],
    parameters: dict[str, int],
) -> Path:
    """``study.json``: the study as asked, and its tables so far."""
    content = {
        "version": schema.VERSION,
        "study": study.model_dump(mode="json"),
        "protocols": {name: as_json(table) for name, table in _tables(found, parameters).items()},
    }
    return files.write_json(folder / STUDY, content)
