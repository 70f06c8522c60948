"""``vireid evaluate-features``: evaluate embeddings or distances in a file, without importing torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.evaluate_options import (
    Breakdown,
    Direction,
    Far,
    FlipName,
    Json,
    Mode,
    Protocol,
    Rerank,
    Shots,
    TrialCount,
    Verbose,
    evaluate_options,
    refuse_verbose_json,
    request_of,
)
from vireid_cli.commands.options import expanded

if TYPE_CHECKING:
    from vireid_cli.engine.evaluate.result import EvaluateOptions

File = Annotated[
    Path,
    typer.Argument(
        help="An .npz file with embeddings or distances, or a file of vireid embed.", callback=expanded
    ),
]
DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Dataset of the file; selects the protocol.",
        autocompletion=completion.datasets,
    ),
]
AgainstFile = Annotated[
    Path | None, typer.Option(help="Another file: paired difference with p-value.", callback=expanded)
]


OutFolder = Annotated[
    Path | None,
    typer.Option("--out", help="Folder that keeps the results, for vireid results.", callback=expanded),
]


def evaluate_features(
    context: typer.Context,
    file: File,
    dataset: DatasetName,
    mode: Mode = None,
    shots: Shots = None,
    protocol: Protocol = None,
    trials: TrialCount = None,
    direction: Direction = None,
    rerank: Rerank = None,
    far: Far = None,
    against: AgainstFile = None,
    breakdown: Breakdown = False,
    out: OutFolder = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Evaluate the embeddings or distances in a file by the protocol of a dataset.

    Arrays: q_feat g_feat (or distance), q_pids g_pids q_camids g_camids; or the embeddings.npz of a run, or
    a file of vireid embed, with pid, camid and modality of each image.
    With q_paths and g_paths, the galleries of SYSU-MM01 and LLCM are drawn as in papers.

    Example: vireid evaluate-features runs/latest/evaluation/all-single-seeded/embeddings.npz --dataset sysu
    """
    refuse_verbose_json(context, json)
    request = request_of(mode, shots, protocol, trials, direction, None, far)
    options = evaluate_options(request, rerank or (), FlipName.off, breakdown, False, None)
    print_features(file, dataset, options, against, out, json, verbose)


def print_features(
    file: Path,
    dataset: str,
    options: EvaluateOptions,
    against: Path | None,
    out: Path | None,
    json: bool,
    verbose: bool,
) -> None:
    """Evaluate a file, and print tables or JSON: one evaluation, or a list of several.

    Raises:
        UsageError: The dataset or the file does not exist, or the file lacks an array.
        DataError: The file is damaged.
    """
    from vireid_cli.commands import console, evaluation_output
    from vireid_cli.engine.evaluate import features

    results = features.evaluate_features_by_protocol(file, dataset, options, against, out)
    contents = [result.content for result in results]
    if json:
        console.print_json(contents if len(contents) > 1 else contents[0])
        return
    evaluation_output.print_evaluations(contents, verbose)
    if out is not None:
        console.print_paths(result.folder for result in results if result.folder)
        console.print_next(console.command_line("results", out))
