"""Options shared by the figures."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.options import expanded

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine

Out = Annotated[
    Path | None, typer.Option(help="File to write.", show_default="in figures/ of the run", callback=expanded)
]
Format = Annotated[str | None, typer.Option(help="png or svg.", show_default="from --out, else png")]
Dpi = Annotated[int, typer.Option(help="Pixels per inch, 20 to 1200.")]
Protocol = Annotated[
    str | None, typer.Option(help="Protocol of the evaluation.", show_default="of the first evaluation")
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
FigureOut = Annotated[
    Path | None, typer.Option("--out", help="File to write.", show_default="./figures/…", callback=expanded)
]
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="Run folders or their names, each once; default: the newest run.",
        autocompletion=completion.runs,
    ),
]


class Order(StrEnum):
    """Rule that selects queries."""

    random = "random"
    best = "best"
    worst = "worst"


def draw(
    figure: str,
    subject: Path | str | Sequence[str] | None,
    engine: Engine,
    out: Path | None,
    format: str | None,
    dpi: int,
    **options: Any,
) -> None:
    """Draw one figure and print its path."""
    from vireid_cli.commands.console import print_paths
    from vireid_cli.engine.subjects.output import Output

    print_paths([engine.visualize(figure, subject, output=Output(out, format, dpi), **options)])
