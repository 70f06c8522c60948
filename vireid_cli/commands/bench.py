"""``vireid bench``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from vireid_cli.commands.options import (
    DataDir,
    Device,
    PrecisionOption,
    make_engine,
    parse_size,
    refuse_idle,
    refuse_overridden,
)
from vireid_cli.errors import Interrupted, UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="Measure speed and print it with machine, versions and commit.\n\nExample: vireid bench train",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Repeats = Annotated[int, typer.Option(min=1, max=100, help="Interleaved repetitions; medians are printed.")]


FEATURE_MAPS = ("2048x18x9", "2048x24x12", "512x36x18", "512x48x24", "256x72x36", "256x96x48")
"""After the stages of a ResNet-50 at 288×144 and 384×192."""


class Shape(StrEnum):
    """Query and gallery counts of the field's protocols."""

    sysu_single = "3803x301"
    sysu_multi = "3803x3010"
    regdb = "2060x2060"


class TransportShape(StrEnum):
    """Pairs × rows × columns."""

    large = "32x162x162"
    half_spectrum = "32x90x90"
    small = "256x18x9"


@app.command()
def train(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Whose step is timed.")] = "quickstart.yaml",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key.")
    ] = None,
    repeats: Repeats = 5,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    json: Json = False,
) -> None:
    """Images a second of a whole training step (forward, backward, update) on random pixels.

    Example: vireid bench train --recipe sepg.yaml --set data.sampler.images=2
    """
    refuse_overridden(settings or [])
    _print("train", json, device, precision, recipe=recipe, settings=settings or [], repeats=repeats)


@app.command()
def extract(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Whose network embeds.")] = "quickstart.yaml",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key.")
    ] = None,
    repeats: Repeats = 5,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    json: Json = False,
) -> None:
    """Images a second of embedding: plain, channels-last, batch norms folded.

    Example: vireid bench extract
    """
    refuse_overridden(settings or [])
    _print("extract", json, device, precision, recipe=recipe, settings=settings or [], repeats=repeats)


@app.command()
def augment(
    images: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 96,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH.")] = "288x144",
    repeats: Repeats = 7,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Crop and flip, batched on uint8, against the field's PIL chain.

    Example: vireid bench augment
    """
    _print("augment", json, device, "fp32", images=images, size=parse_size(size), repeats=repeats)


@app.command()
def evaluate(
    context: typer.Context,
    shape: Annotated[
        list[Shape] | None, typer.Option(help="Queries × gallery; all three by default; may be repeated.")
    ] = None,
    gallery: Annotated[
        int | None, typer.Option(min=400, help="Instead: stream a gallery of so many images.")
    ] = None,
    width: Annotated[int, typer.Option(min=1, help="Of the embeddings of --gallery.")] = 512,
    repeats: Repeats = 5,
    json: Json = False,
) -> None:
    """CMC, mAP and mINP from a distance matrix against a loop over queries, or a large gallery in blocks.

    Example: vireid bench evaluate --gallery 100000 --json
    """
    if gallery is not None:
        if shape:
            raise UsageError("--gallery and --shape are two benchmarks: give one of them.")
        refuse_idle(context, "--gallery is measured once, at three sizes", "repeats")
        _print("gallery", json, "cpu", "fp32", images=gallery, width=width)
        return
    refuse_idle(context, "Distances are given without --gallery", "width")
    _print("evaluate", json, "cpu", "fp32", shapes=[s.value for s in shape or Shape], repeats=repeats)


@app.command()
def difficulty(
    dataset: Annotated[str, typer.Option(help="A dataset in SYSU-MM01's layout.")] = "sysu",
    data: DataDir = None,
    json: Json = False,
) -> None:
    """How far naive matchers get across modalities: raw pixels, grey-level histograms, HOG.

    Example: vireid bench difficulty
    """
    _print("difficulty", json, "cpu", "fp32", data=data, dataset=dataset)


@app.command()
def spectra(
    shape: Annotated[
        list[str] | None, typer.Option(metavar="CxHxW", help="A feature map; the field's by default.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Maps a batch.")] = 16,
    compiled: Annotated[bool, typer.Option("--compiled", help="Also compiled, which takes minutes.")] = False,
    repeats: Repeats = 5,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """An amplitude edit of feature maps, forward and backward: complex numbers, products, rfft2.

    Example: vireid bench spectra --shape 2048x18x9
    """
    shapes = shape or list(FEATURE_MAPS)
    for given in shapes:
        if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5}){2}", given):
            raise UsageError(f"--shape {given}: expected CHANNELSxHEIGHTxWIDTH.", "Such as 2048x18x9.")
    options: dict[str, Any] = {"shapes": shapes, "images": images, "repeats": repeats, "compiled": compiled}
    _print("spectra", json, device, "fp32", **options)


@app.command()
def steps(
    recipe: Annotated[list[str], typer.Option("--recipe", "-r", help="Given twice or more.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key in all.")
    ] = None,
    repeats: Repeats = 3,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    json: Json = False,
) -> None:
    """Steps of several recipes in turn: time and multiply-adds that each adds to the first.

    Example: vireid bench steps -r fdnm-global-local -r fdnm-agp -r fdnm-anm -r fdnm
    """
    if len(recipe) < 2:
        raise UsageError(
            "bench steps compares recipes: give --recipe twice or more.",
            "Such as: vireid bench steps -r fdnm-global-local -r fdnm",
        )
    refuse_overridden(settings or [])
    _print("steps", json, device, precision, recipes=recipe, settings=settings or [], repeats=repeats)


@app.command()
def scan(
    batch: Annotated[int, typer.Option(min=1, help="Images.")] = 16,
    length: Annotated[int, typer.Option(min=1, help="Steps of the sequence.")] = 162,
    channels: Annotated[int, typer.Option(min=1, help="Channels.")] = 256,
    state: Annotated[int, typer.Option(min=1, help="Numbers of a channel's state.")] = 16,
    repeats: Repeats = 3,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Selective scan, forward and backward, against autograd through a loop and an associative scan.

    Example: vireid bench scan --batch 4
    """
    sizes: dict[str, Any] = {"batch": batch, "length": length, "channels": channels, "state": state}
    _print("scan", json, device, "fp32", **sizes, repeats=repeats)


@app.command()
def prepare(
    images: Annotated[int, typer.Option(min=8, help="Image files.")] = 600,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH.")] = "288x144",
    repeats: Repeats = 5,
    json: Json = False,
) -> None:
    """Images a second of `prepare` on all cores, against PIL and Lanczos on one; growth of memory.

    Example: vireid bench prepare --images 200
    """
    _print("prepare", json, "cpu", "fp32", images=images, size=parse_size(size), repeats=repeats)


@app.command()
def sampler(repeats: Repeats = 5, json: Json = False) -> None:
    """Index and an epoch's plan for 34,167 training images, against lists and loops.

    Example: vireid bench sampler
    """
    _print("sampler", json, "cpu", "fp32", repeats=repeats)


@app.command()
def transport(
    shape: Annotated[TransportShape, typer.Option(help="Pairs × rows × columns.")] = TransportShape.large,
    epsilon: Annotated[float, typer.Option(min=1e-6, help="ε, relative to the mean cost.")] = 0.05,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations.")] = 20,
    repeats: Repeats = 7,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Sinkhorn transport plans of a batch, against the POT library where it is installed.

    Example: vireid bench transport --shape 256x18x9
    """
    options: dict[str, Any] = {"shape": shape.value, "epsilon": epsilon, "iterations": iterations}
    _print("transport", json, device, "fp32", **options, repeats=repeats)


@app.command()
def activity(
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", "-r", help="May be repeated; all by default.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 30,
    device: Device = "auto",
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Whether every loss term and every switch of a recipe acts, on a small rendered benchmark.

    A term acts if its value moves or its gradient is not negligible; a switch acts if a training with the
    value of the extended recipe ends elsewhere. Takes minutes for all recipes.

    Example: vireid bench activity --recipe dselacfp --steps 3
    """
    from vireid_cli.bench.measure import measure
    from vireid_cli.commands import console

    if json and markdown:
        raise UsageError("--json and --markdown are two formats.", "Give one of them.")
    session = make_engine(device, "fp32").session
    try:
        result = measure("activity", session, recipe=recipe or [], steps=steps)
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped: nothing is kept of a benchmark.", "The same command starts again."
        ) from error
    if json:
        console.print_json(result)
        return
    for row in result["recipes"]:
        terms = [_term(term) for term in row["terms"]]
        switches = [_switch(switch) for switch in row["switches"]]
        idle = ", ".join(row["idle"]) or "none"
        if markdown:
            line = f"| {row['recipe']} | {', '.join(terms)} | {', '.join(switches)} | {idle} |"
        else:
            line = f"{row['recipe']}: idle: {idle}; {', '.join([*terms, *switches])}"
        console.out.print(line, markup=False, soft_wrap=True)


def _term(term: Mapping[str, Any]) -> str:
    """``ort 0.09→0.08 (3e-03)``: the values, and the gradient norm over the largest term's."""
    return f"{term['name']} {term['start']:.3g}→{term['end']:.3g} ({term['gradient']:.0e})"


def _switch(switch: Mapping[str, Any]) -> str:
    """``ort.weight: 3e-02, 9e-03``: relative differences of the losses and of the embedding."""
    return f"{' '.join(switch['keys'])}: {switch['losses']:.0e}/{switch['embedding']:.0e}"


def _print(
    subject: str, json: bool, device: str, precision: str, *, data: DataDir = None, **options: Any
) -> None:
    """Measure and print."""
    from vireid_cli.bench.measure import measure
    from vireid_cli.commands import console

    try:
        result = measure(subject, make_engine(device, precision, data=data).session, **options)
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped: nothing is kept of a benchmark.", "The same command starts again."
        ) from error
    if json:
        console.print_json(result)
        return
    _print_values(result, console.print_line)


def _print_values(values: Mapping[str, Any], say: Callable[[str], None], before: str = "") -> None:
    """Print values a line each, those of a part with the part's name before them."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            _print_values(value, say, f"{before}{key} ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, part in enumerate(value, 1):
                _print_values(part, say, f"{before}{key} {number} ")
        else:
            shown = _shown(value) if isinstance(value, float) else value
            say(f"{before}{key}: {shown}")


def _shown(value: float) -> str:
    """Three decimals, or two digits of what would be 0.000 with them."""
    return f"{value:,.3f}" if value == 0.0 or abs(value) >= 0.01 else f"{value:.2g}"
