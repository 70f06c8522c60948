"""``vireid evaluate``: evaluate runs; old spellings of ``explain``, ``cost`` and ``evaluate-features``."""

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
    """Evaluate a run by its dataset's protocol: CMC, mAP and mINP, or Rank-1 and VR@FAR for faces.

    Example: vireid evaluate --mode indoor --shots both
    """
    options = evaluate_options(
        request_of(mode, shots, protocol, trials, direction, trial, far),
        rerank or [],
        flip,
        breakdown,
        allow_overlap,
        None if features or explain or cost else dataset,
    )
    names = run or []
    if not cost and (recipe or size):
        raise UsageError("--recipe and --size are options of vireid cost: remove them.")
    if cost:
        if features or dataset or against or explain or trial or options != type(options)():
            raise UsageError("--cost measures a network: remove the options of an evaluation.")
        print_costs_of(make_engine(device, precision, data, runs), names, recipe or [], size, json)
        _warn_deprecated("cost")
    elif explain:
        _check_explain(context, names, dataset)
        print_rules(names[0] if names else None, dataset, options.request, json, data, runs)
        _warn_deprecated("explain")
    elif features is not None:
        _check_features(context, names, dataset)
        other = Path(against) if against else None
        print_features(features, str(dataset), rerank or (), far, other, breakdown, json)
        _warn_deprecated("evaluate-features FILE")
    else:
        engine = make_engine(device, precision, data, runs)
        results = _evaluate_runs(engine, names, options, against, trial == ALL_TRIALS)
        _print(results, json, names[0] if names else "", data, runs)


def _warn_deprecated(command: str) -> None:
    """Print the command that replaces an old spelling."""
    from vireid_cli.commands.console import ConsoleReporter

    ConsoleReporter().warn(f"this option will be removed: use vireid {command}")


def _print(
    evaluations: Sequence[Evaluation],
    json: bool,
    run: str = "",
    data: Path | None = None,
    runs: Path | None = None,
) -> None:
    """Print tables, paths and next commands, or JSON: one evaluation, or a list of several."""
    from vireid_cli.commands import console

    if json:
        contents = [evaluation.content for evaluation in evaluations]
        console.print_json(contents if len(contents) > 1 else contents[0])
        return
    console.print_evaluations(evaluation.content for evaluation in evaluations)
    folders = [evaluation.folder for evaluation in evaluations if evaluation.folder]
    console.print_paths(folders)
    if folders:
        console.print_next(
            console.command_line("visualize", "ranking", run, data=data, runs=runs),
            console.command_line("export", "onnx", run, data=data, runs=runs),
        )


def _check_explain(context: typer.Context, names: Sequence[str], dataset: str | None) -> None:
    """Refuse options that have no effect on the rules of a protocol.

    Raises:
        UsageError: The command line has such an option, or names several runs.
    """
    idle = ("features", "against", "rerank", "flip", "breakdown", "allow_overlap", "precision")
    refuse_idle(context, "--explain prints rules and computes no metrics", *idle)
    if dataset is not None:
        refuse_idle(context, "--explain --dataset prints the rules of that dataset", "run")
    if len(names) > 1:
        raise UsageError("--explain prints the rules of one run: name one run, or use --dataset.")


def _evaluate_runs(
    engine: Engine, names: Sequence[str], options: EvaluateOptions, against: str | None, all_trials: bool
) -> list[Evaluation]:
    """Evaluate one run, a pair, or several runs and their mean; the newest run if none is named."""
    name = names[0] if names else None
    if len(names) > 1 and against is not None:
        raise UsageError("--against compares one run with another: name only one RUN.")
    if len(set(names)) != len(names):
        raise UsageError("The same run is named twice: remove one.")
    if all_trials:
        if len(names) > 1 or against is not None:
            raise UsageError(
                "--trial all collects the runs of all trials.",
                "Name at most one of these runs, and remove --against.",
            )
        by_run, means = engine.evaluate_runs(engine.runs_of_trials(name), options)
    elif len(names) > 1:
        by_run, means = engine.evaluate_runs(names, options)
    elif against is not None:
        return engine.evaluate_against(name, against, options)
    else:
        return engine.evaluate(name, options)
    return [*(evaluation for evaluations in by_run for evaluation in evaluations), *means]


def _check_features(context: typer.Context, names: Sequence[str], dataset: str | None) -> None:
    """Refuse options that have no effect on the evaluation of a file of features.

    Raises:
        UsageError: The command line has such an option or names a run, or ``--dataset`` is missing.
    """
    if names:
        raise UsageError("RUN and --features exclude each other: use one of them.")
    idle = ("mode", "shots", "protocol", "trials", "direction", "trial")
    refuse_idle(context, "The file of --features defines queries and gallery", *idle)
    refuse_idle(context, "The file of --features has no images", "flip")
    refuse_idle(context, "--features uses no network and no checkpoint", "precision", "allow_overlap")
    if dataset is None:
        raise UsageError("--features needs --dataset: the dataset of the file, for its evaluation protocol.")
