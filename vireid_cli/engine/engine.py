"""The engine: every verb of the command line for Python, on one session.

>>> from vireid_cli.engine.engine import Engine
>>> engine = Engine.choose(device="cpu")
>>> run = engine.train("quickstart.yaml", settings=["train.epochs=1"])  # doctest: +SKIP
>>> engine.evaluate(run)[0].content["metrics"]["mAP"]["mean"]  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid_cli.data import explain
from vireid_cli.data.identity import is_prepared
from vireid_cli.data.prepare import Choices, Prepared
from vireid_cli.engine import compare, cost, export, occlusion, prepare, visualize
from vireid_cli.engine.compare import StudyResult
from vireid_cli.engine.evaluate import aggregate, evaluate, features
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation
from vireid_cli.engine.export import Exported
from vireid_cli.engine.network import load_recipe, run_recipe
from vireid_cli.engine.occlusion import MadeLibrary
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.train import resume, train
from vireid_cli.errors import UsageError
from vireid_cli.occlusion.build import OccludedTree
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study, load_study
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree
from vireid_cli.results import run as runs
from vireid_cli.results.run import Run
from vireid_cli.types import RESIZE, Resize, Size


class Engine:
    """The verbs on one session; each is documented where it is defined.

    Args:
        session: Device, listener, folders; None: chosen by ``Session.choose``.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.session = session or Session.choose()

    @staticmethod
    def choose(
        device: str = "auto",
        precision: str = "auto",
        *,
        reporter: Reporter | None = None,
        data_dir: Path | None = None,
        runs_dir: Path | None = None,
    ) -> Engine:
        """An engine on a device by name; see ``Session.choose``."""
        return Engine(
            Session.choose(device, precision, reporter=reporter, data_dir=data_dir, runs_dir=runs_dir)
        )

    def synthesize(
        self, options: RenderOptions, *, root: Path | None = None, workers: int | None = None
    ) -> RenderedTree:
        """Render the embedded benchmark as a tree in the layout of SYSU-MM01, RegDB or LLCM.

        Raises:
            UsageError: The folder holds a benchmark of other parameters.
            DataError: It can't be written.
        """
        return prepare.render(options, self.session, root=root, workers=workers)

    def prepare(
        self,
        dataset: str,
        size: Size = (288, 144),
        *,
        root: Path | None = None,
        resize: Resize = RESIZE,
        depth: str | None = None,
        exif: bool | None = None,
        skip_bad: bool = False,
        workers: int | None = None,
    ) -> Prepared:
        """Fill the prepared store of a dataset at one size; see ``prepare.prepare_dataset``.

        ``depth`` and ``exif`` are the ``Choices`` of ``data.prepare``.
        """
        return prepare.prepare_dataset(
            dataset,
            self.session,
            size,
            root=root,
            resize=resize,
            choices=Choices(depth, exif),
            skip_bad=skip_bad,
            workers=workers,
        )

    def occluders(self, folder: Path | None = None, **options: Any) -> MadeLibrary:
        """Make a library of occluders; see ``occlusion.make_library``."""
        return occlusion.make_library(folder, self.session, **options)

    def occlude(self, base: str, **options: Any) -> OccludedTree:
        """Write a dataset's mirror with occluders before its people; see ``occlusion.occlude``."""
        return occlusion.occlude(base, self.session, **options)

    def verify_occluded(self, base: str, root: Path | None = None) -> list[str]:
        """What in an occluded tree differs from what was written; empty: nothing."""
        return occlusion.verify(base, self.session, root)

    def verify(self, dataset: str, *, workers: int | None = None) -> list[str]:
        """What in a prepared store differs from what was written; empty: nothing."""
        return prepare.verify(dataset, self.session, workers)

    def train(self, recipe: str | Recipe, settings: Sequence[str] = ()) -> Run:
        """Train a recipe by name or as it is; see ``train.train``."""
        loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, tuple(settings))
        return train.train(loaded, self.session)

    def train_trials(self, recipe: str, settings: Sequence[str] = ()) -> list[Run]:
        """Train a recipe once for each split of a dataset that has several (RegDB), one after the other.

        Raises:
            UsageError: The dataset has one split for all.
        """
        data = load_recipe(recipe, tuple(settings)).data
        store = prepare.ensure_prepared(data.dataset, self.session, data.image_size, data.resize)
        trials = store.records.trials
        if not trials:
            raise UsageError(f"{data.dataset} has one split for all: there are no trials to go through.")
        return [self.train(recipe, [*settings, f"data.trial={trial}"]) for trial in range(1, trials + 1)]

    def resume(self, run: Run | str | Path) -> Run:
        """Go on from a run's newest checkpoint; see ``resume.resume``."""
        return resume.resume(self.find(run), self.session)

    def evaluate(
        self, run: Run | str | Path | None = None, options: EvaluateOptions | None = None
    ) -> list[Evaluation]:
        """Evaluate a run (None: the newest) under each protocol asked for; see ``evaluate.evaluate_run``."""
        return evaluate.evaluate_run(self.find(run), self.session, options or EvaluateOptions())

    def evaluate_runs(
        self, names: Sequence[Run | str | Path], options: EvaluateOptions | None = None
    ) -> tuple[list[list[Evaluation]], list[Evaluation]]:
        """Evaluate several models: each one's results, and their means, which are written to a file.

        See ``aggregate.average_runs`` and ``write_means``.
        """
        found = [self.find(name) for name in names]
        by_run = [self.evaluate(run, options) for run in found]
        means = aggregate.average_runs(by_run)
        return by_run, aggregate.write_means(means, found, self.session)

    def runs_of_trials(self, run: Run | str | Path | None = None) -> list[Run]:
        """Find the run of each of RegDB's trials; see ``aggregate.runs_of_trials``."""
        return aggregate.runs_of_trials(self.find(run), self.session)

    def evaluate_against(
        self, run: Run | str | Path | None, other: Run | str | Path, options: EvaluateOptions | None = None
    ) -> list[Evaluation]:
        """Evaluate two runs and compare them query by query; see ``aggregate.evaluate_against``."""
        theirs = self.find(other)
        return aggregate.evaluate_against(
            self.evaluate(run, options), self.evaluate(theirs, options), theirs.name
        )

    def evaluate_features(
        self,
        path: Path,
        dataset: str,
        options: EvaluateOptions | None = None,
        against: Path | None = None,
    ) -> Evaluation:
        """Evaluate embeddings in a file, against another file; see ``features.evaluate_features``."""
        wanted = options or EvaluateOptions()
        found = features.evaluate_features(path, dataset, wanted)
        if against is None:
            return found
        theirs = features.evaluate_features(against, dataset, wanted)
        return aggregate.evaluate_against([found], [theirs], against.name)[0]

    def explain(
        self, dataset: str | None, run: Run | str | Path | None, options: EvaluateOptions | None = None
    ) -> list[str]:
        """Say the rules of a dataset's protocol (None: the run's dataset) in plain words."""
        if dataset is None:
            dataset = run_recipe(self.find(run)).data.dataset
        return explain.explain(dataset, (options or EvaluateOptions()).request)

    def cost(
        self,
        run: Run | str | Path | None = None,
        recipe: str | Recipe | None = None,
        size: Size | None = None,
    ) -> dict[str, Any]:
        """What a recipe's network, or a run's, costs; see ``cost.cost_of``."""
        if recipe is not None:
            loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
            return cost.cost_of(loaded, self.session, identities=cost.IDENTITIES, size=size)
        found = self.find(run)
        identities = int(found.environment()["num_identities"])
        return cost.cost_of(run_recipe(found), self.session, identities=identities, size=size)

    def compare(self, study: str | Study, options: EvaluateOptions | None = None) -> StudyResult:
        """Train and evaluate every row of a study with every seed; see ``compare.compare``."""
        loaded = study if isinstance(study, Study) else load_study(study)
        return compare.compare(loaded, self.session, options or EvaluateOptions())

    def visualize(
        self,
        figure: str,
        subject: Run | str | Path | Sequence[Run | str | Path] | None = None,
        *,
        output: Output | None = None,
        **options: Any,
    ) -> Path:
        """Draw a figure.

        Args:
            figure: One of ``visualize.names()``.
            subject: The run, or several; None: the newest. For a figure of a dataset or of a folder of runs
                the dataset's name or the folder.
            output: File, format, resolution; None: the figure's usual ones.
            **options: As of ``draw`` in the figure's file in ``engine/visualize``.

        Raises:
            UsageError: No such figure, or what it is drawn from is not there yet.
        """
        drawn: visualize.Subject
        if visualize.runs_taken(figure)[1] == 0 and isinstance(subject, (str, Path)):
            drawn = subject
        elif subject is None or isinstance(subject, (Run, str, Path)):
            drawn = (self.find(subject),)
        else:
            drawn = tuple(self.find(one) for one in subject)
        return visualize.draw(figure, drawn, self.session, output or Output(), **options)

    def export(self, run: Run | str | Path | None = None, **options: Any) -> Exported:
        """Export a run's network to ONNX and check it; see ``export.export_run``."""
        return export.export_run(self.find(run), self.session, **options)

    def export_backbone(self, run: Run | str | Path | None = None, **options: Any) -> Path:
        """Write a run's trunk as weights that another recipe starts from; see ``export.export_backbone``."""
        return export.export_backbone(self.find(run), self.session, **options)

    def find(self, run: Run | str | Path | None) -> Run:
        """A run by folder or name; the newest where None."""
        if isinstance(run, Run):
            return run
        try:
            return runs.find(run, runs=self.session.runs_dir)
        except UsageError as error:
            if run is None and not is_prepared("sysu", self.session.data_dir):
                raise UsageError(
                    error.message, f"{error.hint}\n{prepare.missing('sysu', self.session)}"
                ) from error
            raise
