"""``vireid evaluate-features``: evaluate embeddings or distances in a file, without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.evaluate_options import (
    Breakdown,
    Far,
    FarName,
    FlipName,
    Json,
    Rerank,
    RerankName,
    Verbose,
    evaluate_options,
    request_of,
)
from vireid_cli.commands.options import expanded

File = Annotated[Path, typer.Argument(help="An .npz file with embeddings or distances.", callback=expanded)]
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


def evaluate_features(
    file: File,
    dataset: DatasetName,
    rerank: Rerank = None,
    far: Far = None,
    against: AgainstFile = None,
    breakdown: Breakdown = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Evaluate the embeddings or distances in a file by the protocol of a dataset.

    Arrays: q_feat g_feat (or distance), q_pids g_pids q_camids g_camids; or the embeddings.npz of a run.

    Example: vireid evaluate-features runs/latest/evaluation/all-single-seeded/embeddings.npz --dataset sysu
    """
    print_features(file, dataset, rerank or (), far, against, breakdown, json, verbose)


def print_features(
    file: Path,
    dataset: str,
    rerank: Sequence[RerankName],
    far: FarName | None,
    against: Path | None,
    breakdown: bool,
    json: bool,
    verbose: bool,
) -> None:
    """Evaluate a file and print tables, or JSON.

    Raises:
        UsageError: The dataset or the file does not exist, or the file lacks an array.
        DataError: The file is damaged.
    """
    from vireid_cli.commands import console
    from vireid_cli.engine.evaluate import features

    request = request_of(None, None, None, None, None, None, far)
    options = evaluate_options(request, rerank, FlipName.off, breakdown, False, None)
    evaluation = features.evaluate_features(file, dataset, options, against)
    if json:
        console.print_json(evaluation.content)
    else:
        console.print_evaluations([evaluation.content], verbose)
