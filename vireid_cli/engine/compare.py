"""The verb ``compare``: train and evaluate every row of a study with every seed, and average.

What is finished is not done again: a run in the study's folder whose resolved recipe and data are the very
same is taken as it is, with its evaluations of the same fingerprint; an unfinished one is resumed. So a study
can be stopped and called again, and a row can be added to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from vireid_cli import documents, reading
from vireid_cli.engine.checkpoint import LAST, load_position
from vireid_cli.engine.evaluate import evaluate
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.export import export_backbone
from vireid_cli.engine.network import load_recipe, run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.study_tables import STUDY, Results, SeedResult, tables_of, write_study
from vireid_cli.engine.train.data import trained_on
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.train import train
from vireid_cli.errors import DataError, RecipeError, UsageError
from vireid_cli.lock import locked
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study, StudyFile, refuse
from vireid_cli.results import schema
from vireid_cli.results.compare import Comparison
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation
from vireid_cli.results.people import people_of
from vireid_cli.results.run import RunFolder, runs_in
from vireid_cli.types import Modality, Resize, Size


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study gave.

    Attributes:
        study: What was asked.
        tables: By protocol, in the study's order of rows; by ``<dataset>-<protocol>`` where the study names
            the datasets to evaluate on.
        path: ``study.json``.
        results: The evaluations by the names of the tables, label and seed.
        figures: Files of the figures that were drawn.
    """

    study: Study
    tables: dict[str, Comparison]
    path: Path
    results: Results = field(default_factory=dict, compare=False, repr=False)
    figures: tuple[Path, ...] = ()


def compare(study: Study, session: Session, options: EvaluateOptions) -> StudyResult:
    """Fill a study's table; seeds outermost, so that an interrupted one has whole tables of fewer seeds.

    Args:
        study: Rows, seeds, shared settings.
        session: Device, listener, folders; the study's runs are in ``<runs_dir>/<study's name>/``, or in the
            folder of the study that ``runs`` names.
        options: Protocols to evaluate under.

    Raises:
        RecipeError: Recipes of some rows are wrong, or rows and datasets do not fit each other; all that is
            wrong is named before anything is trained.
        UsageError: A dataset is not there.
        DataError: Another process compares the same study.
        Interrupted: Asked to stop; calling again goes on.
    """
    home = session.runs_dir / (study.runs or study.name)
    inside = replace(session, runs_dir=home)
    start = _start(study)
    weights = _weights(home, start) if start else None
    recipes = _recipes(study, weights)
    _check_datasets(study, recipes)
    for dataset, size, resize in _needed(study, recipes):
        ensure_prepared(dataset, session, size, resize)
    folder = session.runs_dir / study.name
    with locked(folder, folder / ".lock"):
        if start and weights and not weights.is_file():
            session.reporter.info(f"{study.name}: first the run that all rows start from, {start.name}")
            run = _trained(start, inside)
            export_backbone(run, session, modality=Modality.VISIBLE, out=weights)
        return _fill(study, recipes, session, inside, options)


def _fill(
    study: Study,
    recipes: Mapping[tuple[str, int], Recipe],
    session: Session,
    inside: Session,
    options: EvaluateOptions,
) -> StudyResult:
    """Train and evaluate every row with every seed; ``study.json`` is written after each."""
    folder = session.runs_dir / study.name
    results: Results = {}
    parameters: dict[str, int] = {}
    total = len(recipes)
    for done, ((label, seed), recipe) in enumerate(recipes.items()):
        session.reporter.info(f"{study.name}: {done + 1} of {total}: {label}, seed {seed}")
        run = _trained(recipe, inside)
        parameters[label] = int(run.environment()["parameters"])
        for dataset in study.evaluate.datasets or ("",):
            wanted = replace(options, dataset=dataset or options.dataset)
            for stored in _evaluated(run, session, wanted):
                protocol = stored.content["protocol"]
                name = f"{dataset}-{protocol}" if dataset else protocol
                result = SeedResult(stored.content, people_of(stored))
                results.setdefault(name, {}).setdefault(label, {})[seed] = result
        tables = tables_of(study, results, parameters, recipes)
        path = write_study(folder, study, tables)
    return StudyResult(study, tables, path, results)


def runs_of_study(folder: Path) -> list[RunFolder]:
    """The runs of a study that was compared, by its own recipes, wherever they lie (``Study.runs``).

    Args:
        folder: The study's, with its ``study.json``; without one there are none.

    Raises:
        UsageError: A recipe that the study names is not there any more, or has become wrong.
    """
    path = folder / STUDY
    if not path.is_file():
        return []
    study = documents.read_form(path, StudyFile, hint="Compare again: vireid compare STUDY").study
    home = folder.parent / (study.runs or study.name)
    start = _start(study)
    weights = _weights(home, start) if start else None
    wanted = {_by_name(recipe) for recipe in _recipes(study, weights).values()}
    return [run for run in runs_in(home) if _by_name(run_recipe(run)) in wanted]


def _by_name(recipe: Recipe) -> str:
    """A resolved recipe with its weights by name: the folder may be called by another path now."""
    name = Path(recipe.backbone.weights).name
    return dump(recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"weights": name})}))


def _weights(home: Path, start: Recipe) -> Path:
    """Where the trunk that all rows start from is kept."""
    return home / f"start-{sha256(dump(start).encode()).hexdigest()[:8]}.safetensors"


def _start(study: Study) -> Recipe | None:
    """The recipe that all rows start from, checked."""
    if study.start is None:
        return None
    try:
        return load_recipe(study.start.recipe, tuple(study.start.settings()))
    except UsageError as error:
        refuse(study, {"start": error})
        raise


def _recipes(study: Study, weights: Path | None) -> dict[tuple[str, int], Recipe]:
    """Every row's recipe with every seed, checked; seeds outermost."""
    given = [] if weights is None else [f"backbone.weights={weights}"]
    recipes: dict[tuple[str, int], Recipe] = {}
    errors: dict[str, UsageError] = {}
    for seed in study.seeds:
        for row in study.rows:
            try:
                recipes[row.label, seed] = load_recipe(row.recipe, (*study.settings(row, seed), *given))
            except UsageError as error:
                errors.setdefault(row.label, error)
    refuse(study, errors)
    return recipes


def _check_datasets(study: Study, recipes: Mapping[tuple[str, int], Recipe]) -> None:
    """Refuse rows that can't stand in one table, and datasets that a row can't be evaluated on."""
    trained = {label: recipe.data.dataset for (label, _), recipe in recipes.items()}
    wanted = study.evaluate.datasets
    if not wanted and len(set(trained.values())) > 1:
        names = ", ".join(sorted(set(trained.values())))
        raise RecipeError(
            f"The study {study.name} is refused: its rows are trained on {names}, and figures on each "
            "row's own dataset can't stand in one table.",
            "Name what all are evaluated on: evaluate: {datasets: [...]}",
        )
    errors: dict[str, UsageError] = {}
    for label, own in trained.items():
        for dataset in wanted:
            try:
                evaluate.check_kind(own, dataset)
            except UsageError as error:
                errors[label] = error
    refuse(study, errors)


def _needed(study: Study, recipes: Mapping[tuple[str, int], Recipe]) -> list[tuple[str, Size, Resize]]:
    """Pixels that training and evaluation will read: dataset, size and resize rule, each once."""
    pairs = [
        (dataset, recipe.data.image_size, recipe.data.resize)
        for recipe in recipes.values()
        for dataset in (recipe.data.dataset, *study.evaluate.datasets)
    ]
    return list(dict.fromkeys(pairs))


def _holds(path: Path, text: str) -> bool:
    """Whether a recipe's file has this text; one that can't be read has not."""
    try:
        return reading.read_text(path) == text
    except DataError:
        return False


def _trained(recipe: Recipe, session: Session) -> RunFolder:
    """The run of this very recipe in the session's run folder: finished already, resumed, or trained now."""
    text = dump(recipe)
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    for path in sorted(session.runs_dir.glob(f"*/{schema.RECIPE}")):
        if path.parent.is_symlink() or not _holds(path, text):
            continue
        run = RunFolder(path.parent)
        try:
            position = load_position(run.checkpoints / LAST)
        except (DataError, UsageError):
            continue  # stopped before its first checkpoint
        if not trained_on(run, store):
            continue
        if position.epoch >= recipe.train.epochs:
            return run
        return resume(run, session)
    return train(recipe, session)


def _evaluated(run: RunFolder, session: Session, options: EvaluateOptions) -> list[StoredEvaluation]:
    """A run's results under each protocol: loaded from its folder, or computed."""
    there = evaluate.stored_evaluations(run, session, options)
    if there:
        return there
    folders = [evaluation.folder for evaluation in evaluate.evaluate_run(run, session, options)]
    return [read_evaluation(folder, f"vireid evaluate {run.folder}") for folder in folders if folder]
