"""``vireid evaluate``: evaluate runs; deprecated ``--explain``, ``--cost`` and ``--features``."""

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
    Ema,
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
    Verbose,
    evaluate_options,
    refuse_verbose_json,
    request_of,
)
from vireid_cli.commands.explain import print_rules
from vireid_cli.commands.options import (
    DataDir,
    Device,
    Gpus,
    PrecisionOption,
    Processes,
    RunsDir,
    launched,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation

EVALUATION_OPTIONS = (
    "mode", "shots", "protocol", "trials", "direction", "trial", "far", "features", "dataset", "rerank",
    "flip", "against", "breakdown", "explain", "allow_overlap", "ema", "verbose",
)  # fmt: skip
"""Parameters of ``evaluate`` that have no effect on the cost of a network."""


def evaluate(
    context: typer.Context,
    run_names: Runs = None,
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
    ema: Ema = False,
    gpus: Gpus = None,
    processes: Processes = None,
    cost: Cost = False,
    recipe: CostRecipes = None,
    size: CostSize = None,
    as_json: Json = False,
    verbose: Verbose = False,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs_dir: RunsDir = None,
) -> None:
    """Evaluate a run by its dataset's protocol: CMC, mAP and mINP, or Rank-1 and VR@FAR for faces.

    Example: vireid evaluate --mode indoor --shots both
    """
    request = request_of(mode, shots, protocol, trials, direction, trial, far)
    elsewhere = None if features or explain or cost else dataset
    options = evaluate_options(request, rerank or [], flip, breakdown, allow_overlap, elsewhere, ema)
    refuse_verbose_json(context, as_json and not (cost or explain))
    if launched(gpus, processes):
        return
    names = run_names or []
    _check_cost(context, cost, bool(recipe or size))
    if cost:
        print_costs_of(make_engine(device, precision, data, runs_dir), names, recipe or [], size, as_json)
        _warn_deprecated("--cost", "cost")
    elif explain:
        _check_explain(context, names, dataset)
        print_rules(names[0] if names else None, dataset, request, as_json, data, runs_dir)
        _warn_deprecated("--explain", "explain")
    elif features is not None:
        _check_features(context, names, dataset)
        other = Path(against) if against else None
        print_features(features, str(dataset), options, other, None, as_json, verbose)
        _warn_deprecated("--features", "evaluate-features FILE")
    else:
        engine = make_engine(device, precision, data, runs_dir)
        results = _evaluate_runs(engine, names, options, against, trial == ALL_TRIALS)
        if engine.session.runtime.world.first:
            _print(results, as_json, verbose, names[0] if names else "", data, runs_dir)


def _check_cost(context: typer.Context, cost: bool, options: bool) -> None:
    """Refuse ``--cost`` with options of an evaluation, and its options without it.

    Raises:
        UsageError: The command line has such options.
    """
    if cost:
        refuse_without_effect(context, "--cost measures a network", *EVALUATION_OPTIONS)
    elif options:
        raise UsageError("--recipe and --size are options of vireid cost: remove them.")


def _warn_deprecated(option: str, command: str) -> None:
    """Print the command that replaces a deprecated option."""
    from vireid_cli.commands.console import ConsoleReporter

    ConsoleReporter().warn(f"{option} is deprecated: use vireid {command}")


def _print(
    evaluations: Sequence[Evaluation],
    as_json: bool,
    verbose: bool,
    run: str = "",
    data: Path | None = None,
    runs_dir: Path | None = None,
) -> None:
    """Print tables, paths and next commands, or JSON: one evaluation, or a list of several."""
    from vireid_cli.commands import console, evaluation_output

    if as_json:
        contents = [evaluation.content for evaluation in evaluations]
        console.print_json(contents if len(contents) > 1 else contents[0])
        return
    evaluation_output.print_evaluations((evaluation.content for evaluation in evaluations), verbose)
    folders = [evaluation.folder for evaluation in evaluations if evaluation.folder]
    console.print_paths(folders)
    if folders:
        console.print_next(
            console.command_line("visualize", "ranking", run, data=data, runs=runs_dir),
            console.command_line("export", "onnx", run, data=data, runs=runs_dir),
        )


def _check_explain(context: typer.Context, names: Sequence[str], dataset: str | None) -> None:
    """Refuse options that have no effect on the rules of a protocol.

    Raises:
        UsageError: The command line has such an option, or names several runs.
    """
    metrics = ("features", "against", "rerank", "flip", "breakdown", "allow_overlap", "precision", "ema")
    refuse_without_effect(context, "--explain prints rules and computes no metrics", *metrics, "verbose")
    if dataset is not None:
        refuse_without_effect(context, "--explain --dataset prints the rules of that dataset", "run_names")
    if len(names) > 1:
        raise UsageError("--explain prints the rules of one run: name one run, or use --dataset.")


def _evaluate_runs(
    engine: Engine, names: Sequence[str], options: EvaluateOptions, against: str | None, all_trials: bool
) -> list[Evaluation]:
    """Evaluate one run, one run against another, or several runs and their mean.

    If no run is named, the newest one is evaluated.
    """
    name = names[0] if names else None
    if len(names) > 1 and against is not None:
        raise UsageError("--against compares one run with another: name only one RUN.")
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
    refuse_without_effect(context, "The file of --features defines queries and gallery", "trial")
    refuse_without_effect(context, "The file of --features has no images", "flip")
    refuse_without_effect(
        context, "--features uses no network and no checkpoint", "precision", "allow_overlap", "ema"
    )
    if dataset is None:
        raise UsageError("--features needs --dataset, which selects the evaluation protocol.")
