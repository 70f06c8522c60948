"""``vireid explain``: print the rules of an evaluation protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.evaluate_options import (
    Direction,
    Far,
    Json,
    Mode,
    Protocol,
    Shots,
    Trial,
    TrialCount,
    request_of,
)
from vireid_cli.commands.options import DataDir, RunName, RunsDir, make_engine, refuse_without_effect

if TYPE_CHECKING:
    from vireid_cli.data.protocols.request import Request

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Dataset.",
        show_default="of the newest run",
        autocompletion=completion.datasets,
    ),
]


def explain(
    context: typer.Context,
    run: RunName = None,
    dataset: DatasetName = None,
    mode: Mode = None,
    shots: Shots = None,
    protocol: Protocol = None,
    trials: TrialCount = None,
    direction: Direction = None,
    trial: Trial = None,
    far: Far = None,
    json: Json = False,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Print the rules of an evaluation protocol, without evaluating.

    Example: vireid explain --dataset sysu --mode indoor
    """
    if dataset is not None:
        refuse_without_effect(context, "--dataset selects the protocol", "run")
    request = request_of(mode, shots, protocol, trials, direction, trial, far)
    print_rules(run, dataset, request, json, data, runs)


def print_rules(
    run: str | None, dataset: str | None, request: Request, json: bool, data: DataDir, runs: RunsDir
) -> None:
    """Print the rules of a dataset's protocol, or of a run's dataset, one sentence per line."""
    from vireid_cli.commands import console
    from vireid_cli.engine.evaluate.result import EvaluateOptions

    lines = make_engine("cpu", data=data, runs=runs).explain(dataset, run, EvaluateOptions(request))
    if json:
        console.print_json(lines)
    else:
        console.print_lines(lines)
