"""Options shared by the figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli import files
from vireid_cli.commands import completion
from vireid_cli.commands.visualize.print_options import given

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.engine.subjects.output import Output


@dataclass(frozen=True, slots=True)
class FigurePath:
    """Value of ``--out``.

    Attributes:
        path: File or folder.
        folder: Whether the path is a folder, which the figure's writing creates.
    """

    path: Path
    folder: bool


def figure_path(text: str) -> FigurePath:
    """Convert the value of ``--out``; a path that ends in a slash, or exists as a folder, is a folder."""
    path = files.expand(Path(text))
    return FigurePath(path, text.endswith(("/", os.sep)) or path.is_dir())


OUT_HELP = "File, or folder for a file of the figure's name."

Out = Annotated[
    FigurePath | None,
    typer.Option(metavar="PATH", help=OUT_HELP, show_default="in figures/ of the run", parser=figure_path),
]
Format = Annotated[str | None, typer.Option(help="png, svg or pdf.", show_default="from --out, else png")]
Dpi = Annotated[int, typer.Option(help="Pixels per inch, 20 to 1200.")]
Protocol = Annotated[
    str | None, typer.Option(help="Protocol of the evaluation.", show_default="of the first evaluation")
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Random seed.")]
FigureOut = Annotated[
    FigurePath | None,
    typer.Option("--out", metavar="PATH", help=OUT_HELP, show_default="./figures/…", parser=figure_path),
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
    out: FigurePath | None,
    format: str | None,
    dpi: int,
    **options: Any,
) -> None:
    """Draw one figure and print its path."""
    from vireid_cli.commands.console import print_paths

    print_paths([engine.visualize(figure, subject, output=output_of(out, format, dpi), **options)])


def output_of(out: FigurePath | None, format: str | None, dpi: int) -> Output:
    """Return the output of a figure, with the options for print."""
    from vireid_cli.engine.subjects.output import Output

    printed = given()
    path, folder = (out.path, out.folder) if out else (None, False)
    return Output(path, format, dpi, printed.width, printed.title, printed.labels, folder=folder)
