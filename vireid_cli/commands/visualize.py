"""``vireid visualize``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vireid_cli.commands.options import DataDir, RunName, RunsDir, make_engine, parse_size
from vireid_cli.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="Draw figures from a run folder or from images.\n\nExample: vireid visualize phase-swap",
)

Out = Annotated[Path | None, typer.Option(help="File to write.", show_default="the run's figures folder")]
Format = Annotated[str | None, typer.Option(help="png or svg.", show_default="by --out, else png")]
Dpi = Annotated[int, typer.Option(help="Pixels an inch, 20 to 1200.")]
Protocol = Annotated[
    str | None, typer.Option(help="Which evaluation of the run.", show_default="the first there is")
]
Seed = Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")]


class By(StrEnum):
    """How points are coloured."""

    modality = "modality"
    identity = "identity"
    both = "both"


class Order(StrEnum):
    """Which queries."""

    random = "random"
    best = "best"
    worst = "worst"


@app.command("phase-swap")
def phase_swap(
    dataset: Annotated[str, typer.Option(help="Dataset that the person is taken from.")] = "sysu",
    pid: Annotated[int | None, typer.Option(help="The person.", show_default="a test identity")] = None,
    visible: Annotated[Path | None, typer.Option(help="A visible image file, with --infrared.")] = None,
    infrared: Annotated[Path | None, typer.Option(help="An infrared image file, with --visible.")] = None,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH that the images are taken at.")] = "288x144",
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="./figures/…")] = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """A person in both modalities: images, amplitudes, phases, swapped, phase-only, amplitude-only.

    Example: vireid visualize phase-swap --pid 6 --out swap.svg
    """
    if (visible is None) != (infrared is None):
        raise UsageError("--visible and --infrared go together.")
    if visible is not None and pid is not None:
        raise UsageError("Name a person with --pid or two files, not both.")
    images = (visible, infrared) if visible is not None else None
    _draw(
        "phase-swap",
        None,
        make_engine("cpu", data=data),
        out,
        format,
        dpi,
        dataset=dataset,
        pid=pid,
        images=images,
        size=parse_size(size),
    )


@app.command()
def sheet(
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "sysu",
    images: Annotated[int, typer.Option(min=1, max=400, help="How many.")] = 40,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images in a row.")] = 12,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="./figures/…")] = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """A contact sheet of a dataset: people by identity and camera, framed by modality.

    Example: vireid visualize sheet --images 40
    """
    engine = make_engine("cpu", data=data)
    _draw("sheet", None, engine, out, format, dpi, dataset=dataset, images=images, columns=columns, seed=seed)


@app.command()
def tsne(
    run: RunName = None,
    ids: Annotated[int, typer.Option(min=2, help="Identities shown.")] = 24,
    by: Annotated[By, typer.Option(help="How points are coloured.")] = By.both,
    protocol: Protocol = None,
    seed: Seed = 0,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """The test embeddings of a run on a plane, by modality and by identity.

    Example: vireid visualize tsne --ids 24
    """
    engine = make_engine("cpu", runs=runs)
    _draw("tsne", run, engine, out, format, dpi, protocol=protocol, ids=ids, seed=seed, by=by.value)


@app.command()
def ranking(
    run: RunName = None,
    queries: Annotated[int, typer.Option(min=1, max=50, help="How many queries.")] = 6,
    order: Annotated[
        Order, typer.Option(help="Which: random, or best or worst by average precision.")
    ] = Order.random,
    protocol: Protocol = None,
    seed: Seed = 0,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Queries with their first ten matches: right ones framed green, wrong ones red.

    Example: vireid visualize ranking --order worst
    """
    engine = make_engine("cpu", data=data, runs=runs)
    _draw(
        "ranking",
        run,
        engine,
        out,
        format,
        dpi,
        protocol=protocol,
        queries=queries,
        order=order.value,
        seed=seed,
    )


@app.command()
def curves(
    run: RunName = None, out: Out = None, format: Format = None, dpi: Dpi = 150, runs: RunsDir = None
) -> None:
    """Loss terms and learning rate over the steps of a run.

    Example: vireid visualize curves
    """
    _draw("curves", run, make_engine("cpu", runs=runs), out, format, dpi)


def _draw(
    figure: str, run: str | None, engine: Any, out: Path | None, format: str | None, dpi: int, **options: Any
) -> None:
    """Draw one figure and print where it is."""
    from vireid_cli.commands.console import print_paths
    from vireid_cli.engine.output import Output

    print_paths([engine.visualize(figure, run, output=Output(out, format, dpi), **options)])
