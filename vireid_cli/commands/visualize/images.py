"""Commands for figures of images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    expanded,
    expanded_all,
    finite,
    make_engine,
    parse_size,
    refuse_without_effect,
)
from vireid_cli.commands.visualize.options import Dpi, FigureOut, Format, Seed, draw
from vireid_cli.counts import counted
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality

PersonDataset = Annotated[str, typer.Option("--dataset", help="Dataset of the person.")]
Pid = Annotated[int | None, typer.Option(help="Identity of the person.", show_default="a test identity")]
ImageSize = Annotated[str, typer.Option("--size", help="HEIGHTxWIDTH to resize images to.")]

MOST = 6
"""Maximum number of images side by side."""


class PairModality(StrEnum):
    """Modality of the two images of a person."""

    both = "both"
    visible = "visible"
    infrared = "infrared"


class Amplitude(StrEnum):
    """Constant amplitude of a phase image; see ``method.options.seg.amplitude``."""

    mean = "mean"
    unit = "unit"
    one_over_rms = "one_over_rms"


class PhaseSource(StrEnum):
    """Image that the phase is taken from; see ``method.options.seg.phase_source``."""

    rgb = "rgb"
    gray = "gray"


def spectrum(
    context: typer.Context,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE",
            help=f"Up to {MOST} image files; default: a person of a dataset.",
            callback=expanded_all,
        ),
    ] = None,
    dataset: PersonDataset = "sysu",
    pid: Pid = None,
    size: ImageSize = "288x144",
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Draw images with amplitude, phase, amplitude-only and phase-only image: one person, or files.

    Example: vireid visualize spectrum --pid 6
    """
    from vireid_cli.engine.subjects.images import image_files

    files = images or []
    if files and pid is not None:
        raise UsageError("--pid and image files exclude each other: use one of them.")
    if len(files) > MOST:
        raise UsageError(
            f"{counted(len(files), 'image')} do not fit side by side.", f"The maximum is {MOST}."
        )
    if files:
        refuse_without_effect(context, "The figure uses image files, no dataset", "dataset")
    engine = make_engine("cpu", data=data)
    draw(
        "spectrum",
        dataset,
        engine,
        out,
        format,
        dpi,
        pid=pid,
        images=image_files(files, [None] * len(files)),
        size=parse_size(size),
    )


def phase_swap(
    context: typer.Context,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE", help="Two image files; default: a person of a dataset.", callback=expanded_all
        ),
    ] = None,
    dataset: PersonDataset = "sysu",
    pid: Pid = None,
    modality: Annotated[
        PairModality, typer.Option(help="Modality of the two images of the person.")
    ] = PairModality.both,
    visible: Annotated[
        Path | None, typer.Option(help="Visible image file, with --infrared.", callback=expanded)
    ] = None,
    infrared: Annotated[
        Path | None, typer.Option(help="Infrared image file, with --visible.", callback=expanded)
    ] = None,
    size: ImageSize = "288x144",
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Draw two images with exchanged amplitudes, and with phase only and amplitude only.

    Example: vireid visualize phase-swap --pid 6 --out swap.svg
    """
    from vireid_cli.engine.subjects.images import image_files

    if (visible is None) != (infrared is None):
        raise UsageError("--visible and --infrared need each other: use both or neither.")
    pair = [visible, infrared] if visible is not None and infrared is not None else []
    files = images or []
    if files and len(files) != 2:
        raise UsageError(f"phase-swap needs two images, not {len(files)}.")
    if bool(files) + bool(pair) + (pid is not None or modality is not PairModality.both) > 1:
        raise UsageError("A person (--pid, --modality) and files exclude each other: use one of them.")
    if files or pair:
        refuse_without_effect(context, "The figure uses two files, no dataset", "dataset", "modality")
    pictures = image_files(pair, list(Modality)) if pair else image_files(files, [None, None])
    draw(
        "phase-swap",
        dataset,
        make_engine("cpu", data=data),
        out,
        format,
        dpi,
        pid=pid,
        modality=None if modality is PairModality.both else Modality(modality.value),
        images=tuple(pictures) or None,
        size=parse_size(size),
    )


def seg(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Dataset of the images.")] = "sysu",
    ids: Annotated[int, typer.Option(min=1, max=12, help="Number of people.")] = 4,
    pid: Annotated[
        list[int] | None,
        typer.Option(help="Identity of a person to draw; repeatable.", show_default="test identities"),
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Images per modality for the mean spectra.")] = 256,
    amplitude: Annotated[
        Amplitude, typer.Option(help="Constant amplitude of the phase image.")
    ] = Amplitude.mean,
    phase_source: Annotated[
        PhaseSource, typer.Option(help="Phase of each colour channel, or of the grey image.")
    ] = PhaseSource.rgb,
    weight: Annotated[float, typer.Option(min=0.0, help="Weight of the phase image.", callback=finite)] = 1.0,
    size: ImageSize = "288x144",
    seed: Seed = 0,
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Draw SEG images of people with their components, and mean amplitude spectra with their gap to infrared.

    Example: vireid visualize seg --ids 4 --images 256
    """
    if pid:
        refuse_without_effect(context, "--pid selects the people", "ids")
    if weight == 0.0:
        refuse_without_effect(context, "--weight 0 removes the phase image", "amplitude", "phase_source")
    draw(
        "seg",
        dataset,
        make_engine("cpu", data=data),
        out,
        format,
        dpi,
        ids=ids,
        pids=pid or [],
        images=images,
        amplitude=amplitude.value,
        phase_source=phase_source.value,
        weight=weight,
        size=parse_size(size),
        seed=seed,
    )


def sheet(
    dataset: Annotated[str, typer.Option(help="Dataset of the images.")] = "sysu",
    images: Annotated[int, typer.Option(min=1, max=400, help="Number of images.")] = 40,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images per row.")] = 12,
    seed: Seed = 0,
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Draw a contact sheet of a dataset: images by identity and camera, framed by modality.

    Example: vireid visualize sheet --images 40
    """
    engine = make_engine("cpu", data=data)
    draw("sheet", dataset, engine, out, format, dpi, images=images, columns=columns, seed=seed)
