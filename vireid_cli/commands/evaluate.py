"""``vireid evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vireid_cli.commands.cost import print_costs_of
from vireid_cli.commands.evaluate_features import print_features
from vireid_cli.commands.evaluate_options import (
    ALL_TRIALS,
    Against,
    AllowOverlap,
    Breakdown,
    Cost,
    CostRecipes,
    CostSize,
    Dataset,
    Direction,
    Explain,
    Far,
    Features,
    Flip,
    FlipName,
    Json,
    Mode,
    Protocol,
    Rerank,
    Runs,
    Shots,
    Trial,
    TrialCount,
    evaluate_options,
    request_of,
)
from vireid_cli.commands.explain import print_rules
from vireid_cli.commands.options import (
    DataDir,
    Device,
    PrecisionOption,
    RunsDir,
    make_engine,
    refuse_idle,
)
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation


def evaluate(
    context: typer.Context,
    run: Runs = None,
    mode: Mode = None,
    shots: Shots = None,
    protocol: Protocol = None,
    trials: TrialCount = None,
    direction: Direction = None,
    trial: Trial = None,
    far: Far = None,
    features: Features = None,
    dataset: Dataset = None,
    rerank: Rerank = None,
    flip: Flip = FlipName.off,
    against: Against = None,
    breakdown: Breakdown = False,
    explain: Explain = False,
    allow_overlap: AllowOverlap = False,
    cost: Cost = False,
    recipe: CostRecipes = None,
    size: CostSize = None,
    json: Json = False,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Evaluate a run as the papers on its dataset do: CMC, mAP and mINP, or Rank-1 and VR@FAR for faces.

    Example: vireid evaluate --mode indoor --shots both
    """
    wanted = evaluate_options(
        request_of(mode, shots, protocol, trials, direction, trial, far),
        rerank or [],
        flip,
        breakdown,
        allow_overlap,
        None if features or explain or cost else dataset,
    )
    names = run or []
    if not cost and (recipe or size):
        raise UsageError("--recipe and --size belong to vireid cost; a run is evaluated as it was trained.")
    if cost:
        if features or dataset or against or explain or trial or wanted != type(wanted)():
            raise UsageError("--cost measures a network: remove the options of an evaluation.")
        print_costs_of(make_engine(device, precision, data, runs), names, recipe or [], size, json)
        _replaced_by("cost")
    elif explain:
        _refuse_beside_explain(context, names, dataset)
        print_rules(names[0] if names else None, dataset, wanted.request, json, data, runs)
        _replaced_by("explain")
    elif features is not None:
        _refuse_beside_features(context, names, dataset)
        other = Path(against) if against else None
        print_features(features, str(dataset), rerank or (), far, other, breakdown, json)
        _replaced_by("evaluate-features FILE")
    else:
        engine = make_engine(device, precision, data, runs)
        results = _evaluate_runs(engine, names, wanted, against, trial == ALL_TRIALS)
        _print(results, json, names[0] if names else "", data, runs)


def _replaced_by(command: str) -> None:
    """Print that an option has become a command of its own."""
    from vireid_cli.commands.console import ConsoleReporter

    ConsoleReporter().warn(f"this option will be removed: use vireid {command}")


def _print(
    found: Sequence[Evaluation],
    json: bool,
    run: str = "",
    data: Path | None = None,
    runs: Path | None = None,
) -> None:
    """Tables, paths and the next commands of a run, or the content of ``metrics.json``: a list of several."""
    from vireid_cli.commands import console

    if json:
        console.print_json([e.content for e in found] if len(found) > 1 else found[0].content)
        return
    console.print_evaluations(e.content for e in found)
    folders = [e.folder for e in found if e.folder]
    console.print_paths(folders)
    if folders:
        console.print_next(
            console.line("visualize", "ranking", run, data=data, runs=runs),
            console.line("export", "onnx", run, data=data, runs=runs),
        )


def _refuse_beside_explain(context: typer.Context, names: Sequence[str], dataset: str | None) -> None:
    """Refuse what changes no rule of a protocol.

    Raises:
        UsageError: One of them was typed, or several runs.
    """
    measured = ("features", "against", "rerank", "flip", "breakdown", "allow_overlap", "precision")
    refuse_idle(context, "--explain says rules and measures nothing", *measured)
    if dataset is not None:
        refuse_idle(context, "--explain --dataset says the rules of that dataset", "run")
    if len(names) > 1:
        raise UsageError("--explain says the rules of one run: name one, or --dataset.")


def _evaluate_runs(
    engine: Engine, names: Sequence[str], options: EvaluateOptions, against: str | None, all_trials: bool
) -> list[Evaluation]:
    """One run, one against another, or several and their mean; the newest where none is named."""
    name = names[0] if names else None
    if len(names) > 1 and against is not None:
        raise UsageError("--against compares one run with another: name one.")
    if len(set(names)) != len(names):
        raise UsageError("the same run is named twice.")
    if all_trials:
        if len(names) > 1 or against is not None:
            raise UsageError(
                "--trial all finds the runs of all trials itself.",
                "Name one of them at most, and leave --against out.",
            )
        by_run, means = engine.evaluate_runs(engine.runs_of_trials(name), options)
    elif len(names) > 1:
        by_run, means = engine.evaluate_runs(names, options)
    elif against is not None:
        return engine.evaluate_against(name, against, options)
    else:
        return engine.evaluate(name, options)
    return [*(evaluation for evaluations in by_run for evaluation in evaluations), *means]


def _refuse_beside_features(context: typer.Context, names: Sequence[str], dataset: str | None) -> None:
    """Refuse what a file of features makes idle.

    Raises:
        UsageError: One such option was typed, or the dataset is missing.
    """
    if names:
        raise UsageError("Name a run or --features, not both.")
    drawn = ("mode", "shots", "protocol", "trials", "direction", "trial")
    refuse_idle(context, "--features brings its own queries and gallery", *drawn)
    refuse_idle(context, "--features holds no images", "flip")
    refuse_idle(context, "--features runs no network, knows no checkpoint", "precision", "allow_overlap")
    if dataset is None:
        raise UsageError("--features needs --dataset: the dataset whose rules apply to the file.")
