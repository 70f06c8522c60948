"""The verb ``compare``: train and evaluate every row of a study with every seed, and average.

A finished run with the same resolved recipe and data in the study's folder is reused, and so are its
evaluations with the same fingerprint. An unfinished run is resumed. A stopped study therefore continues
when it is called a second time, and rows can be added to it.
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
from vireid_cli.engine.export_backbone import export_backbone
from vireid_cli.engine.network import load_recipe, run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.study_tables import (
    STUDY,
    Results,
    SeedResult,
    draw_differences,
    tables_of,
    write_study,
)
from vireid_cli.engine.train.data import trained_on
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.train import train
from vireid_cli.errors import DataError, RecipeError, UsageError, VireidError
from vireid_cli.lock import locked
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.strict import LISTS
from vireid_cli.recipe.study import Study, StudyFile, raise_row_errors
from vireid_cli.results import schema
from vireid_cli.results.compare import Comparison
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation
from vireid_cli.results.people import people_of
from vireid_cli.results.run import RunFolder, runs_in
from vireid_cli.types import Modality, Resize, Size


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Result of a study.

    Attributes:
        study: The study.
        tables: Tables with the study's rows, keyed by protocol; by ``<dataset>-<protocol>`` if the study
            names its evaluation datasets.
        path: Path of ``study.json``.
        results: The evaluations by the names of the tables, label and seed.
        figures: Files of the study's figures.
    """

    study: Study
    tables: dict[str, Comparison]
    path: Path
    results: Results = field(default_factory=dict, compare=False, repr=False)
    figures: tuple[Path, ...] = ()


def compare(study: Study, session: Session, options: EvaluateOptions) -> StudyResult:
    """Train and evaluate all rows of a study, seed by seed.

    After an interruption the table is complete for the finished seeds.

    Args:
        study: Rows, seeds and shared settings.
        session: Device, reporter and folders. The study's runs are in ``<runs_dir>/<study's name>/``, or in
            the folder of the study that ``runs`` names.
        options: Protocols of the evaluation.

    Raises:
        RecipeError: Recipes of rows are wrong, or rows and datasets do not fit each other; the error lists
            all mistakes before any training.
        UsageError: A dataset is missing.
        DataError: Another process compares the same study.
        Interrupted: A signal stopped the study; a second call continues.
    """
    home = session.runs_dir / (study.runs or study.name)
    inside = replace(session, runs_dir=home)
    start = _start(study)
    weights = start_weights(home, start) if start else None
    recipes = _recipes(study, weights)
    _check_datasets(study, recipes)
    for dataset, size, resize in _needed(study, recipes):
        ensure_prepared(dataset, session, size, resize)
    folder = session.runs_dir / study.name
    with locked(folder, folder / ".lock"):
        if start and weights and not weights.is_file():
            session.reporter.info(f"{study.name}: training the common start of all rows, {start.name}")
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
    """Train and evaluate every row with every seed, and write ``study.json`` after each."""
    folder = session.runs_dir / study.name
    results: Results = {}
    parameters: dict[str, int] = {}
    total = len(recipes)
    for done, ((label, seed), recipe) in enumerate(recipes.items()):
        session.reporter.info(f"{study.name}: {done + 1} of {total}: {label}, seed {seed}")
        run = _trained(recipe, inside)
        parameters[label] = int(run.environment()["parameters"])
        for dataset in study.evaluate.datasets or ("",):
            options_of_dataset = replace(options, dataset=dataset or options.dataset)
            for stored in _evaluations(run, session, options_of_dataset):
                protocol = stored.content["protocol"]
                name = f"{dataset}-{protocol}" if dataset else protocol
                result = SeedResult(stored.content, people_of(stored))
                results.setdefault(name, {}).setdefault(label, {})[seed] = result
        tables = tables_of(study, results, parameters, recipes)
        path = write_study(folder, study, tables)
    return StudyResult(study, tables, path, results, draw_differences(folder, study, tables))


def runs_of_study(folder: Path) -> list[RunFolder]:
    """Return the runs of a study's recipes, in its own folder or in that of ``Study.runs``.

    Args:
        folder: Folder of the study; without ``study.json`` the list is empty.

    Raises:
        UsageError: A recipe of the study is missing or wrong.
    """
    path = folder / STUDY
    if not path.is_file():
        return []
    study = documents.read_form(path, StudyFile, hint="Compare again: vireid compare STUDY").study
    home = folder.parent / (study.runs or study.name)
    start = _start(study)
    weights = start_weights(home, start) if start else None
    texts = {_portable(recipe) for recipe in _recipes(study, weights).values()}
    return [run for run in runs_in(home) if _portable(run_recipe(run)) in texts]


def _portable(recipe: Recipe) -> str:
    """Dump a resolved recipe with the file name of its weights only, because the folder may have moved."""
    name = Path(recipe.backbone.weights).name
    return dump(recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"weights": name})}))


def start_weights(home: Path, start: Recipe) -> Path:
    """Return the path of the trunk from which all rows start."""
    # the text of earlier versions, so that existing studies keep their start
    return home / f"start-{sha256(dump(start, LISTS).encode()).hexdigest()[:8]}.safetensors"


def _start(study: Study) -> Recipe | None:
    """Load and validate the recipe of the common start of all rows; None: the study has none."""
    if study.start is None:
        return None
    try:
        return load_recipe(study.start.recipe, tuple(study.start.settings()))
    except UsageError as error:
        raise_row_errors(study, {"start": error})
        raise


def _recipes(study: Study, weights: Path | None) -> dict[tuple[str, int], Recipe]:
    """Load and validate the recipe of every row with every seed, ordered by seed."""
    start = [] if weights is None else [f"backbone.weights={weights}"]
    recipes: dict[tuple[str, int], Recipe] = {}
    errors: dict[str, UsageError] = {}
    for seed in study.seeds:
        for row in study.rows:
            try:
                recipes[row.label, seed] = load_recipe(row.recipe, (*study.settings(row, seed), *start))
            except UsageError as error:
                errors.setdefault(row.label, error)
    raise_row_errors(study, errors)
    return recipes


def _check_datasets(study: Study, recipes: Mapping[tuple[str, int], Recipe]) -> None:
    """Check that all rows have a common evaluation dataset that fits their training datasets."""
    trained = {label: recipe.data.dataset for (label, _), recipe in recipes.items()}
    datasets = study.evaluate.datasets
    if not datasets and len(set(trained.values())) > 1:
        names = ", ".join(sorted(set(trained.values())))
        raise RecipeError(
            f"The study {study.name} is wrong: its rows are trained on {names}, and metrics on different "
            "datasets are not comparable.",
            "Name common evaluation datasets: evaluate: {datasets: [...]}",
        )
    errors: dict[str, UsageError] = {}
    for label, own in trained.items():
        for dataset in datasets:
            try:
                evaluate.check_kind(own, dataset)
            except UsageError as error:
                errors[label] = error
    raise_row_errors(study, errors)


def _needed(study: Study, recipes: Mapping[tuple[str, int], Recipe]) -> list[tuple[str, Size, Resize]]:
    """Return dataset, size and resize rule of all pixels that training and evaluation read, each once."""
    pairs = [
        (dataset, recipe.data.image_size, recipe.data.resize)
        for recipe in recipes.values()
        for dataset in (recipe.data.dataset, *study.evaluate.datasets)
    ]
    return list(dict.fromkeys(pairs))


def _holds(path: Path, recipe: Recipe, text: str) -> bool:
    """Whether a run's recipe file has this recipe, whose text is ``text``; False if it can't be read.

    Files of earlier versions have another text: sizes as lists, and no keys that were added later.
    """
    try:
        stored = reading.read_text(path)
        if stored == text or stored.partition("\n")[0] != text.partition("\n")[0]:  # another name
            return stored == text
        return run_recipe(RunFolder(path.parent)) == recipe
    except VireidError:
        return False


def _trained(recipe: Recipe, session: Session) -> RunFolder:
    """Return a finished run of this recipe: an existing one, a resumed one or a new one."""
    text = dump(recipe)
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    for path in sorted(session.runs_dir.glob(f"*/{schema.RECIPE}")):
        if path.parent.is_symlink() or not _holds(path, recipe, text):
            continue
        run = RunFolder(path.parent)
        try:
            position = load_position(run.checkpoints / LAST)
        except (DataError, UsageError):
            continue  # the run has no readable checkpoint
        if not trained_on(run, store):
            continue
        if position.epoch >= recipe.train.epochs:
            return run
        return resume(run, session)
    return train(recipe, session)


def _evaluations(run: RunFolder, session: Session, options: EvaluateOptions) -> list[StoredEvaluation]:
    """Return a run's results under each protocol, from its folder or by a new evaluation."""
    stored = evaluate.stored_evaluations(run, session, options)
    if stored:
        return stored
    folders = [evaluation.folder for evaluation in evaluate.evaluate_run(run, session, options)]
    return [read_evaluation(folder, f"vireid evaluate {run.folder}") for folder in folders if folder]
