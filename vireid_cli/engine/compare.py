"""The verb ``compare``: train and evaluate every row of a study with every seed, and average.

A finished run with the same resolved recipe and data in the study's folder is reused, and so are its
evaluations with the same fingerprint. An unfinished run is resumed. A stopped study therefore continues
when it is called a second time, and rows can be added to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from vireid_cli import documents
from vireid_cli.engine.evaluate import evaluate
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.export_backbone import export_backbone
from vireid_cli.engine.network import load_recipe, run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.study_runs import evaluated, stored_results, trained
from vireid_cli.engine.study_tables import (
    STUDY,
    Results,
    StudyProgress,
    draw_differences,
)
from vireid_cli.engine.world import ONE
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.lock import locked
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.strict import LISTS
from vireid_cli.recipe.study import Study, StudyFile, raise_row_errors
from vireid_cli.results.compare import Comparison
from vireid_cli.results.evaluation import StoredEvaluation
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


def compare(study: Study, session: Session, options: EvaluateOptions, *, spread: bool = False) -> StudyResult:
    """Train and evaluate all rows of a study, seed by seed.

    After an interruption the table is complete for the finished seeds. Under torchrun, all ranks train each
    row together, or, with ``spread``, each rank trains rows of its own.

    Args:
        study: Rows, seeds and shared settings.
        session: Device, reporter and folders. The study's runs are in ``<runs_dir>/<study's name>/``, or in
            the folder of the study that ``runs`` names.
        options: Protocols of the evaluation.
        spread: Distribute rows and seeds over the ranks.

    Returns:
        The result; without tables on other ranks than 0.

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
    folder, world = session.runs_dir / study.name, session.runtime.world
    with world.joined(session.runtime.device), ExitStack() as stack:

        def prepare() -> None:
            """Prepare all data."""
            for dataset, size, resize in _needed(study, recipes):
                ensure_prepared(dataset, session, size, resize)

        def lock() -> None:
            """Lock the study, on the rank that writes its table."""
            if world.first:
                stack.enter_context(locked(folder, folder / ".lock"))

        world.in_turn(prepare)
        world.together(lock)
        if start and weights and not world.broadcast(weights.is_file):
            session.reporter.info(f"{study.name}: training the common start of all rows, {start.name}")
            run = trained(start, inside)
            if world.first:
                export_backbone(run, session, modality=Modality.VISIBLE, out=weights)
            world.together(lambda: None)  # the others read the file
        if not (spread and world.several):
            return _fill(study, recipes, session, inside, options)
    with locked(folder, folder / ".lock") if world.first else nullcontext():
        return _spread(study, recipes, session, options)


def empty_result(study: Study, session: Session) -> StudyResult:
    """Return the result of a study on other ranks than 0."""
    return StudyResult(study, {}, session.runs_dir / study.name / STUDY)


def _spread(
    study: Study, recipes: Mapping[tuple[str, int], Recipe], session: Session, options: EvaluateOptions
) -> StudyResult:
    """Train and evaluate this rank's rows; rank 0 waits for the others and makes the table."""
    world = session.runtime.world
    alone = replace(session, runtime=replace(session.runtime, world=ONE))
    inside = replace(alone, runs_dir=session.runs_dir / (study.runs or study.name))
    for (label, seed), recipe in list(recipes.items())[world.rank :: world.size]:
        alone.reporter.info(f"{study.name}: {label}, seed {seed} on rank {world.rank}")
        evaluated(study, trained(recipe, inside), alone, options)
    session.reporter.info(f"{study.name}: waiting for the rows of other ranks")
    world.meet(f"{study.name}/{sha256(str(sorted(recipes)).encode()).hexdigest()[:8]}")
    return _fill(study, recipes, alone, inside, options) if world.first else empty_result(study, session)


def _fill(
    study: Study,
    recipes: Mapping[tuple[str, int], Recipe],
    session: Session,
    inside: Session,
    options: EvaluateOptions,
) -> StudyResult:
    """Read all finished rows, then train and evaluate the others; ``study.json`` is written on rank 0.

    Its tables have every finished row and seed before the first training begins, and again after each.
    """
    folder, first = session.runs_dir / study.name, session.runtime.world.first
    progress = StudyProgress(folder, study, recipes)

    def add(row: tuple[str, int], run: RunFolder, evaluations: list[tuple[str, StoredEvaluation]]) -> None:
        """Add the results of a row with one seed, on rank 0."""
        if first:
            progress.add(*row, evaluations, int(run.environment()["parameters"]))

    missing = []
    for row, recipe in recipes.items():
        stored = stored_results(study, recipe, inside, session, options)
        if stored is None:
            missing.append(row)
        else:
            add(row, *stored)
    if first and progress.results:
        progress.write()
    finished = len(recipes) - len(missing)
    if finished:
        session.reporter.info(f"{study.name}: {finished} of {len(recipes)} finished")
    for number, row in enumerate(missing, start=finished + 1):
        label, seed = row
        session.reporter.info(f"{study.name}: {number} of {len(recipes)}: {label}, seed {seed}")
        run = trained(recipes[row], inside)
        add(row, run, evaluated(study, run, session, options))
        if first:
            progress.write()
    if not first:
        return empty_result(study, session)
    tables = progress.tables
    figures = draw_differences(folder, study, tables)
    return StudyResult(study, tables, folder / STUDY, progress.results, figures)


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
