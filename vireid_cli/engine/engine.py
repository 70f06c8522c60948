"""The engine: every verb of the command line for Python, on one session.

>>> from vireid_cli import Engine
>>> engine = Engine()  # picks the device
>>> run = engine.train("quickstart.yaml", epochs=1)  # doctest: +SKIP
>>> engine.evaluate(run, mode="all").rank1  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from torch import Tensor

from vireid_cli.data import explain, protocols
from vireid_cli.data.choices import Choices
from vireid_cli.data.identity import is_prepared
from vireid_cli.data.prepare import Prepared
from vireid_cli.data.protocols.request import Direction, Draw, LlcmProtocol, Mode, Request, Shots, request_of
from vireid_cli.engine import compare, cost, dials, export, import_run, occlusion, prepare, visualize
from vireid_cli.engine.compare import StudyResult
from vireid_cli.engine.dataset import PersonDataset, dataset_of
from vireid_cli.engine.evaluate import aggregate, evaluate, features, pairing
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, Evaluations
from vireid_cli.engine.evaluate.scoring import Flip, Rerank
from vireid_cli.engine.export import Exported
from vireid_cli.engine.import_run import Imported
from vireid_cli.engine.model import Model, parse_modality
from vireid_cli.engine.network import load_recipe, run_recipe
from vireid_cli.engine.occlusion import MadeLibrary
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.run import Run
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.train import resume, train
from vireid_cli.errors import UsageError
from vireid_cli.metrics.verification import FarReading
from vireid_cli.occlusion.build import OccludedTree
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study, load_study
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.tree import RenderedTree
from vireid_cli.results import run as runs
from vireid_cli.results.run import RunFolder
from vireid_cli.types import RESIZE, SIZE, Modality, Resize, Size

RunName = RunFolder | str | Path
"""A run: itself, its folder, or the folder's name in the folder of runs."""


class FigureOptions(TypedDict, total=False):
    """Options of figures; each figure takes those that ``draw`` in its file of ``engine/visualize`` names."""

    all_pairs: bool
    amplitude: str
    by: str
    columns: int
    component: str
    ids: int
    images: Any
    key: str | None
    latency: bool
    library: Path | None
    library_sheet: bool
    metrics: Sequence[str]
    modality: Modality | None
    order: str | None
    paths: Sequence[str]
    phase_source: str
    pid: int | None
    pids: Sequence[int]
    protocol: str | None
    queries: int | None
    ranks: int
    rows: int
    seed: int
    size: Size
    steps: int
    weight: float
    where: Sequence[str]


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
        size: Size = SIZE,
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

    def occluders(
        self,
        folder: Path | None = None,
        *,
        categories: Sequence[str] = (),
        coco: Path | None = None,
        images: Path | None = None,
        detector: str | None = None,
        weights: str = "torchvision",
        refine: str = "none",
        sam_weights: Path | None = None,
        sam_kind: str = "vit_b",
    ) -> MadeLibrary:
        """Draw a library of occluders, or cut one out of photographs; see ``occlusion.make_library``."""
        return occlusion.make_library(
            folder,
            self.session,
            categories=categories,
            coco=coco,
            images=images,
            detector=detector,
            weights=weights,
            refine=refine,
            sam_weights=sam_weights,
            sam_kind=sam_kind,
        )

    def occlude(
        self,
        base: str,
        *,
        preset_name: str | None = None,
        changes: Mapping[str, Any] | None = None,
        seed: int = 0,
        library: Path | None = None,
        root: Path | None = None,
        part: tuple[int, int] = (1, 1),
        trial: int = 1,
        workers: int | None = None,
    ) -> OccludedTree:
        """Write a dataset's mirror with occluders in front of its people; see ``occlusion.occlude``."""
        return occlusion.occlude(
            base,
            self.session,
            preset_name=preset_name,
            changes=dict(changes or {}),
            seed=seed,
            library=library,
            root=root,
            part=part,
            trial=trial,
            workers=workers,
        )

    def verify_occluded(self, base: str, root: Path | None = None) -> list[str]:
        """What in an occluded tree differs from what was written; empty: nothing."""
        return occlusion.verify(base, self.session, root)

    def verify_rendered(self, layout: str, root: Path | None = None) -> list[str]:
        """Differences between a rendered tree and its hashes, and how to repair it; empty: none."""
        return prepare.verify_rendered(layout, self.session, root)

    def verify(self, dataset: str, *, workers: int | None = None) -> list[str]:
        """What in a prepared store differs from what was written; empty: nothing."""
        return prepare.verify(dataset, self.session, workers)

    def train(
        self,
        recipe: str | Path | Recipe,
        settings: Sequence[str] = (),
        *,
        dataset: str | None = None,
        epochs: int | None = None,
        seed: int | None = None,
    ) -> Run:
        """Train a recipe from its start.

        Args:
            recipe: Name of a shipped recipe, path of a recipe file, or a recipe.
            settings: ``KEY=VALUE``, as ``--set`` on the command line takes them.
            dataset: Short for ``data.dataset=…``.
            epochs: Short for ``train.epochs=…``.
            seed: Short for ``train.seed=…``.

        Returns:
            The run, with its last checkpoint.

        Raises:
            UsageError: The dataset is missing, the recipe is wrong or does not fit the dataset.
            VireidError: A loss became NaN or infinite.
            Interrupted: The training was interrupted; a checkpoint was written.
        """
        short = {"data.dataset": dataset, "train.epochs": epochs, "train.seed": seed}
        changes = [*settings, *(f"{key}={value}" for key, value in short.items() if value is not None)]
        if isinstance(recipe, Recipe):
            if changes:
                raise UsageError(f"A loaded recipe takes no settings ({', '.join(changes)}): pass its name.")
            loaded = recipe
        else:
            loaded = load_recipe(str(recipe), tuple(changes))
        return self.find(train.train(loaded, self.session))

    def train_trials(self, recipe: str, settings: Sequence[str] = ()) -> list[Run]:
        """Train a recipe once for each split of a dataset that has several (RegDB), one after the other.

        Raises:
            UsageError: The dataset has one split for all.
        """
        data = load_recipe(recipe, tuple(settings)).data
        try:
            protocols.check(data.dataset, Request(trial=1))
        except UsageError as error:
            raise UsageError(
                f"{data.dataset} has one split for all: there are no trials to go through.",
                "Remove --trial all.",
            ) from error
        store = prepare.ensure_prepared(data.dataset, self.session, data.image_size, data.resize)
        trials = store.records.trials
        if not trials:
            raise UsageError(f"{data.dataset} has one split for all: there are no trials to go through.")
        return [self.train(recipe, [*settings, f"data.trial={trial}"]) for trial in range(1, trials + 1)]

    def import_run(self, path: Path, release: str, **options: Any) -> Imported:
        """Write a run folder from a checkpoint of a public release; see ``import_run.import_run``."""
        return import_run.import_run(path, self.session, release, **options)

    def resume(self, run: RunName) -> Run:
        """Continue a training from the run's newest checkpoint; see ``resume.resume``."""
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
        """Evaluate a run under each protocol requested.

        Args:
            run: The run; None: the newest.
            options: All options at once, instead of the keywords below.
            mode, shots, protocol, trials, direction, trial, far: Settings of the dataset's protocol; see
                ``data.protocols.request.request_of``. None: as the papers on the dataset report.
            dataset: Evaluate on this dataset of the same kind instead of the run's own.
            rerank: Re-ranking methods, each reported beside the plain result.
            flip: Test-time averaging with mirror images, reported beside the plain result.
            breakdown: Also compute tables by camera pair and identity.
            allow_overlap: Evaluate although the network was trained on test identities; the result is marked.

        Returns:
            One result per protocol. Where there is one, ``rank1``, ``mAP`` and ``mINP`` are its metrics.

        Raises:
            UsageError: No data, no checkpoint, a wrong setting, or training identities in the test set.
            DataError: Data that the protocol needs is missing or damaged.
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
        """Evaluate several models: each one's results, and their means, which are written to a file.

        See ``aggregate.average_runs`` and ``write_means``.
        """
        found = [self.find(name) for name in names]
        aggregate.refuse_same_trial(found)
        by_run = [self.evaluate(run, options) for run in found]
        means = aggregate.average_runs(by_run)
        return by_run, aggregate.write_means(means, found, self.session)

    def runs_of_trials(self, run: RunName | None = None) -> list[RunFolder]:
        """Find the run of each of RegDB's trials; see ``aggregate.runs_of_trials``."""
        return aggregate.runs_of_trials(self.find(run), self.session)

    def evaluate_against(
        self, run: RunName | None, other: RunName, options: EvaluateOptions | None = None
    ) -> list[Evaluation]:
        """Evaluate two runs and compare them query by query; see ``pairing.evaluate_against``."""
        theirs = self.find(other)
        return pairing.evaluate_against(
            self.evaluate(run, options), self.evaluate(theirs, options), theirs.name
        )

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
        """Say the rules of a dataset's protocol (None: the run's dataset) in plain words."""
        if dataset is None:
            dataset = run_recipe(self.find(run)).data.dataset
        return explain.explain(dataset, (options or EvaluateOptions()).request)

    def cost(
        self,
        run: RunName | None = None,
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
        """Train and evaluate every row of a study with every seed; see ``compare.compare``.

        A study with a ``dial`` is repeated at each of its values; see ``dials.compare_dial``.
        """
        loaded = study if isinstance(study, Study) else load_study(study)
        verb = dials.compare_dial if loaded.dial else compare.compare
        return verb(loaded, self.session, options or EvaluateOptions())

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
            subject: The run, or several; None: the newest. For a figure of a dataset or of a folder of runs
                the dataset's name (None: ``sysu``) or the folder.
            output: File, format, resolution; None: the figure's usual ones.
            **options: Those of ``draw`` in the figure's file in ``engine/visualize``.

        Returns:
            The path of the written file.

        Raises:
            UsageError: No such figure, an option that it does not take, or its data do not exist yet.
        """
        drawn: visualize.Subject
        if visualize.runs_taken(figure)[1] == 0 and (subject is None or isinstance(subject, (str, Path))):
            drawn = "sysu" if subject is None else subject
        elif subject is None or isinstance(subject, (RunFolder, str, Path)):
            drawn = (self.find(subject),)
        else:
            drawn = tuple(self.find(one) for one in subject)
        return visualize.draw(figure, drawn, self.session, output or Output(), **options)

    def export(
        self,
        run: RunName | None = None,
        *,
        layout: Literal["split", "joint"] = "split",
        out: Path | None = None,
    ) -> Exported:
        """Export a run's network to ONNX and check it; see ``export.export_run``."""
        return export.export_run(self.find(run), self.session, layout=layout, out=out)

    def export_backbone(
        self,
        run: RunName | None = None,
        *,
        modality: Modality = Modality.VISIBLE,
        out: Path | None = None,
        half: bool = False,
    ) -> Path:
        """Write a run's trunk as weights that another recipe starts from; see ``export.export_backbone``."""
        return export.export_backbone(self.find(run), self.session, modality=modality, out=out, half=half)

    def load(self, run: RunName | None = None) -> Model:
        """Load a run's network for embedding; see ``Run.load``."""
        return self.find(run).load()

    def dataset(
        self,
        name: str = "sysu",
        split: str = "train",
        *,
        size: Size = SIZE,
        resize: Resize = RESIZE,
        modality: Modality | str | None = None,
        trial: int = 1,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> PersonDataset:
        """A prepared dataset for a training loop of your own; a missing size is prepared first.

        Args:
            name: The dataset's name, as of ``vireid prepare``.
            split: ``train``, ``val``, ``trainval``, ``test`` or ``all``.
            size: (height, width) of the images.
            resize: Rule by which images are resized.
            modality: ``visible`` or ``infrared``; None: both.
            trial: Number of the split, from 1, of a dataset that has several (RegDB).
            transform: Applied to each (3, H, W) float image in [0, 1].

        Raises:
            UsageError: The dataset is missing, or the split has no images.
        """
        store = prepare.ensure_prepared(name, self.session, size, resize)
        kind = None if modality is None else parse_modality(modality)
        return dataset_of(store, size, split, modality=kind, trial=trial, transform=transform)

    def find(self, run: RunName | None = None) -> Run:
        """A run by its folder or name; None: the newest.

        Raises:
            UsageError: There is no such run; the error lists the newest ones.
        """
        if isinstance(run, Run):
            return run if run.session is not None else replace(run, session=self.session)
        if isinstance(run, RunFolder):
            return Run(run.folder, self.session)
        try:
            return Run(runs.find(run, runs=self.session.runs_dir).folder, self.session)
        except UsageError as error:
            if run is None and not is_prepared("sysu", self.session.data_dir):
                raise UsageError(
                    error.message, f"{error.hint}\n{prepare.preparation_hint('sysu', self.session)}"
                ) from error
            raise
