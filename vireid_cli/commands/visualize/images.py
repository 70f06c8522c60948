"""Figures of images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, make_engine, parse_size, refuse_idle
from vireid_cli.commands.visualize.options import Dpi, FigureOut, Format, Seed, draw
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality

PersonOf = Annotated[str, typer.Option("--dataset", help="Dataset that the person is taken from.")]
Pid = Annotated[int | None, typer.Option(help="The person.", show_default="a test identity")]
TakenAt = Annotated[str, typer.Option("--size", help="HEIGHTxWIDTH that the images are taken at.")]

MOST = 6
"""Images side by side."""


class PairModality(StrEnum):
    """Of which modality two images are."""

    both = "both"
    visible = "visible"
    infrared = "infrared"


class Amplitude(StrEnum):
    """The constant amplitude of a phase image, as in ``method.options.seg.amplitude``."""

    mean = "mean"
    unit = "unit"
    one_over_rms = "one_over_rms"


class PhaseSource(StrEnum):
    """Whose phase, as in ``method.options.seg.phase_source``."""

    rgb = "rgb"
    gray = "gray"


def spectrum(
    context: typer.Context,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE]...", help=f"Up to {MOST} image files; none: a person of a dataset."),
    ] = None,
    dataset: PersonOf = "sysu",
    pid: Pid = None,
    size: TakenAt = "288x144",
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Images, amplitude, phase, amplitude alone and phase alone: of a person in both modalities, or of files.

    Example: vireid visualize spectrum --pid 6
    """
    from vireid_cli.engine.subjects.images import of_files

    files = images or []
    if files and pid is not None:
        raise UsageError("Name a person with --pid or image files, not both.")
    if len(files) > MOST:
        raise UsageError(f"{len(files)} images don't fit side by side.", f"Name {MOST} at most.")
    if files:
        refuse_idle(context, "Image files are named, no person of a dataset", "dataset")
    engine = make_engine("cpu", data=data)
    draw(
        "spectrum",
        dataset,
        engine,
        out,
        format,
        dpi,
        pid=pid,
        images=of_files(files, [None] * len(files)),
        size=parse_size(size),
    )


def phase_swap(
    context: typer.Context,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE IMAGE]", help="Any two image files; none: a person of a dataset."),
    ] = None,
    dataset: PersonOf = "sysu",
    pid: Pid = None,
    modality: Annotated[
        PairModality, typer.Option(help="Of which modality the person's two images are.")
    ] = PairModality.both,
    visible: Annotated[Path | None, typer.Option(help="A visible image file, with --infrared.")] = None,
    infrared: Annotated[Path | None, typer.Option(help="An infrared image file, with --visible.")] = None,
    size: TakenAt = "288x144",
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Two images, of one person or any: amplitudes, phases, swapped, phase alone, amplitude alone.

    Example: vireid visualize phase-swap --pid 6 --out swap.svg
    """
    from vireid_cli.engine.subjects.images import of_files

    if (visible is None) != (infrared is None):
        raise UsageError("--visible and --infrared go together.")
    named = [visible, infrared] if visible is not None and infrared is not None else []
    files = images or []
    if files and len(files) != 2:
        raise UsageError(f"phase-swap takes two images, not {len(files)}.")
    if bool(files) + bool(named) + (pid is not None or modality is not PairModality.both) > 1:
        raise UsageError("Name a person with --pid, or two files, not both.")
    if files or named:
        refuse_idle(context, "Two files are named, no person of a dataset", "dataset", "modality")
    pictures = of_files(named, list(Modality)) if named else of_files(files, [None, None])
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
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "sysu",
    ids: Annotated[int, typer.Option(min=1, max=12, help="People shown.")] = 4,
    pid: Annotated[
        list[int] | None, typer.Option(help="A person shown; may be given again.", show_default="test ones")
    ] = None,
    images: Annotated[
        int, typer.Option(min=2, help="Images of each modality that the mean spectra are of.")
    ] = 256,
    amplitude: Annotated[Amplitude, typer.Option(help="Amplitude of the phase image.")] = Amplitude.mean,
    phase_source: Annotated[
        PhaseSource, typer.Option(help="Phase of each colour channel, or of the grey image.")
    ] = PhaseSource.rgb,
    weight: Annotated[float, typer.Option(min=0.0, help="Factor on the phase image.")] = 1.0,
    size: TakenAt = "288x144",
    seed: Seed = 0,
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """People's SEG images and what they are made of; mean amplitude spectra and their gap to infrared.

    Example: vireid visualize seg --ids 4 --images 256
    """
    if pid:
        refuse_idle(context, "--pid names the people", "ids")
    if weight == 0.0:
        refuse_idle(context, "--weight 0 leaves no phase image", "amplitude", "phase_source")
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
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "sysu",
    images: Annotated[int, typer.Option(min=1, max=400, help="How many.")] = 40,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images in a row.")] = 12,
    seed: Seed = 0,
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """A contact sheet of a dataset: people by identity and camera, framed by modality.

    Example: vireid visualize sheet --images 40
    """
    engine = make_engine("cpu", data=data)
    draw("sheet", dataset, engine, out, format, dpi, images=images, columns=columns, seed=seed)
