"""The engine: all verbs of the command line as a Python class with one session.

>>> from vireid_cli import Engine
>>> engine = Engine()  # picks the device
>>> run = engine.train("quickstart.yaml", epochs=1)  # doctest: +SKIP
>>> engine.evaluate(run, mode="all").rank1  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from vireid_cli.data import explain
from vireid_cli.data.protocols.request import Direction, Draw, LlcmProtocol, Mode, Shots, request_of
from vireid_cli.engine import compare, cost, dial_study, import_run, visualize
from vireid_cli.engine.compare import StudyResult
from vireid_cli.engine.evaluate import aggregate, evaluate, features, pairing
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, Evaluations
from vireid_cli.engine.evaluate.scoring import Flip, Rerank
from vireid_cli.engine.export_verbs import ExportVerbs
from vireid_cli.engine.figure_options import FigureOptions
from vireid_cli.engine.import_run import ImportedRun
from vireid_cli.engine.loggers.results import log_figure
from vireid_cli.engine.model_verbs import ModelVerbs
from vireid_cli.engine.network import resolve_recipe, run_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.run import Run, RunName
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.train import resume, train, trials
from vireid_cli.engine.tune import tune
from vireid_cli.engine.tune.report import TuningResult
from vireid_cli.metrics.verification import FarReading
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study, load_study
from vireid_cli.recipe.tuning import TuningStudy, load_tuning
from vireid_cli.results.run import RunFolder, check_distinct
from vireid_cli.types import Size


class Engine(ExportVerbs, ModelVerbs):
    """All verbs, with one session; those on datasets, exported files and models are inherited.

    Args:
        session: Device, reporter and folders; None: those of ``Session.choose``.
    """

    @staticmethod
    def choose(
        device: str = "auto",
        precision: str = "auto",
        *,
        reporter: Reporter | None = None,
        data_dir: Path | None = None,
        runs_dir: Path | None = None,
    ) -> Engine:
        """Create an engine on a device by name; see ``Session.choose``."""
        return Engine(
            Session.choose(device, precision, reporter=reporter, data_dir=data_dir, runs_dir=runs_dir)
        )

    def train(
        self,
        recipe: str | Path | Recipe,
        settings: Sequence[str] = (),
        *,
        dataset: str | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
    ) -> Run:
        """Train a recipe from its start.

        Args:
            recipe: Name of a shipped recipe, path of a recipe file, or a recipe.
            settings: ``KEY=VALUE``, as for ``--set`` on the command line.
            dataset: Sets ``data.dataset``.
            epochs: Sets ``train.epochs``.
            seed: Sets ``train.seed``.
            name: Name of the run folder; None: composed of recipe, dataset and time.

        Returns:
            The run, with its last checkpoint.

        Raises:
            UsageError: The dataset is missing, or the recipe is wrong or does not fit the dataset.
            VireidError: A loss became NaN or infinite.
            Interrupted: A signal stopped the training; a checkpoint was saved.
        """
        short = {"data.dataset": dataset, "train.epochs": epochs, "train.seed": seed}
        changes = [*settings, *(f"{key}={value}" for key, value in short.items() if value is not None)]
        return self.find(train.train(resolve_recipe(recipe, changes), self.session, name))

    def train_trials(self, recipe: str, settings: Sequence[str] = (), name: str | None = None) -> list[Run]:
        """Train a recipe once per split of a dataset with several splits; see ``trials.train_trials``."""
        return [self.find(run) for run in trials.train_trials(recipe, settings, self.session, name)]

    def import_run(
        self,
        path: Path,
        release: str,
        *,
        dataset: str | None = None,
        trial: int | None = None,
        settings: Sequence[str] = (),
    ) -> ImportedRun:
        """Write a run folder from a checkpoint of a public release; see ``import_run.import_run``."""
        return import_run.import_run(
            path, self.session, release, dataset=dataset, trial=trial, settings=settings
        )

    def resume(self, run: RunName) -> Run:
        """Resume a training from the run's newest checkpoint; see ``resume.resume``."""
        return self.find(resume.resume(self.find(run), self.session))

    def evaluate(
        self,
        run: RunName | None = None,
        options: EvaluateOptions | None = None,
        *,
        mode: Mode | Literal["both"] | None = None,
        shots: Shots | Literal["both"] | None = None,
        protocol: Draw | LlcmProtocol | None = None,
        trials: int | None = None,
        direction: Direction | Literal["both"] | None = None,
        trial: int | None = None,
        far: FarReading | None = None,
        dataset: str | None = None,
        rerank: Sequence[Rerank] = (),
        flip: Flip = "off",
        breakdown: bool = False,
        allow_overlap: bool = False,
    ) -> Evaluations:
        """Evaluate a run under each requested protocol.

        Args:
            run: The run; None: the newest.
            options: All options in one object, instead of the keywords below.
            mode, shots, protocol, trials, direction, trial, far: Settings of the dataset's protocol; see
                ``data.protocols.request.request_of``. None: the setting of the papers on the dataset.
            dataset: Evaluate on this dataset of the same protocol family instead of the run's own.
            rerank: Re-ranking methods, each reported in addition to the plain result.
            flip: Test-time averaging with mirror images, reported in addition to the plain result.
            breakdown: Compute tables by camera pair and identity.
            allow_overlap: Allow training identities in the test set; the result is marked.

        Returns:
            One result per protocol. ``rank1``, ``mAP`` and ``mINP`` are the metrics of a single result.

        Raises:
            UsageError: Data or checkpoint are missing, a setting is wrong, or training identities are in the
                test set.
            DataError: Data that the protocol needs are missing or damaged.
        """
        if options is None:
            request = request_of(
                mode=mode,
                shots=shots,
                protocol=protocol,
                trials=trials,
                direction=direction,
                trial=trial,
                far=far,
            )
            options = EvaluateOptions(request, dataset, allow_overlap, tuple(rerank), flip, breakdown)
        return Evaluations(evaluate.evaluate_run(self.find(run), self.session, options))

    def evaluate_runs(
        self, names: Sequence[RunName], options: EvaluateOptions | None = None
    ) -> tuple[list[Evaluations], list[Evaluation]]:
        """Evaluate several models, average their results and write the means to files.

        See ``aggregate.average_runs`` and ``write_means``. Unlike conditions are a warning.

        Returns:
            The results of each model, and their means.

        Raises:
            UsageError: A run is named twice, or the results can't be averaged.
        """
        models = [self.find(name) for name in names]
        aggregate.check_runs(models, options.dataset if options else None)
        by_run = [self.evaluate(run, options) for run in models]
        if not self.session.runtime.world.first:
            return by_run, []
        means = aggregate.average_runs(by_run)
        for text in aggregate.unlike_conditions(by_run, [run.name for run in models]):
            self.session.reporter.warn(text)
        return by_run, aggregate.write_means(means, models, self.session)

    def runs_of_trials(self, run: RunName | None = None) -> list[RunFolder]:
        """Find the run of each of RegDB's trials; see ``aggregate.runs_of_trials``."""
        return aggregate.runs_of_trials(self.find(run), self.session)

    def evaluate_against(
        self, run: RunName | None, other: RunName, options: EvaluateOptions | None = None
    ) -> list[Evaluation]:
        """Evaluate two runs and compute their paired differences; see ``pairing.evaluate_against``.

        Raises:
            UsageError: Both are the same run, or the results are of different images.
        """
        models = [self.find(run), self.find(other)]
        check_distinct(models)
        ours, others = (self.evaluate(model, options) for model in models)
        if not self.session.runtime.world.first:
            return []
        names = [model.name for model in models]
        results = pairing.evaluate_against(ours, others, names[1])
        for text in aggregate.unlike_conditions((ours, others), names):
            self.session.reporter.warn(text)
        return results

    def evaluate_features(
        self,
        path: str | Path,
        dataset: str,
        options: EvaluateOptions | None = None,
        against: str | Path | None = None,
    ) -> Evaluation:
        """Evaluate embeddings or distances in a file; see ``features.evaluate_features``."""
        other = None if against is None else Path(against)
        return features.evaluate_features(Path(path), dataset, options or EvaluateOptions(), other)

    def explain(
        self, dataset: str | None, run: RunName | None, options: EvaluateOptions | None = None
    ) -> list[str]:
        """Describe the rules of the protocol of a dataset (None: the run's dataset) in plain words."""
        name = run_recipe(self.find(run)).data.dataset if dataset is None else dataset
        return explain.explain(name, (options or EvaluateOptions()).request)

    def cost(
        self,
        run: RunName | None = None,
        recipe: str | Recipe | None = None,
        size: Size | None = None,
    ) -> dict[str, Any]:
        """Measure the cost of the network of a run or a recipe; see ``cost.cost_of``."""
        if recipe is None:
            return cost.cost_of_run(self.find(run), self.session, size=size)
        return cost.cost_of(resolve_recipe(recipe), self.session, size=size)

    def compare(
        self, study: str | Study, options: EvaluateOptions | None = None, *, spread: bool = False
    ) -> StudyResult:
        """Train and evaluate every row of a study with every seed; see ``compare.compare``.

        A study with a ``dial`` is repeated at each of its values; see ``dial_study.compare_dial``.
        """
        loaded = study if isinstance(study, Study) else load_study(study)
        verb = dial_study.compare_dial if loaded.dial else compare.compare
        return verb(loaded, self.session, options or EvaluateOptions(), spread=spread)

    def tune(self, study: str | TuningStudy, trials: int | None = None) -> TuningResult:
        """Search for the values of a recipe's keys with the best validation; see ``tune.tune``."""
        loaded = study if isinstance(study, TuningStudy) else load_tuning(study)
        source = "" if isinstance(study, TuningStudy) else study
        return tune.tune(loaded, self.session, trials, source)

    def visualize(
        self,
        figure: str,
        subject: RunName | Sequence[RunName] | None = None,
        *,
        output: Output | None = None,
        **options: Unpack[FigureOptions],
    ) -> Path:
        """Draw a figure.

        Args:
            figure: One of ``visualize.names()``.
            subject: One run or several; None: the newest. For figures of a dataset or of a folder of runs:
                the dataset's name (None: ``sysu``) or the folder.
            output: File, format and resolution; None: the figure's defaults.
            **options: Options of ``draw`` in the figure's file in ``engine/visualize``.

        Returns:
            Path of the written file.

        Raises:
            UsageError: The figure or an option does not exist, or the data of the figure are missing.
        """
        resolved: visualize.Subject
        if visualize.run_limits(figure)[1] == 0 and (subject is None or isinstance(subject, (str, Path))):
            resolved = "sysu" if subject is None else subject
        elif subject is None or isinstance(subject, (RunFolder, str, Path)):
            resolved = (self.find(subject),)
        else:
            resolved = tuple(self.find(run) for run in subject)
        path = visualize.draw(figure, resolved, self.session, output or Output(), **options)
        if isinstance(resolved, tuple) and len(resolved) == 1:
            log_figure(resolved[0], figure, path, self.session)
        return path
