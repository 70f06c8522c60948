"""Benchmarks of single operations on tensors: augmentation, spectra, scan, transport."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

import typer

from vireid_cli.commands.bench.options import Json, Repeats
from vireid_cli.commands.bench.output import print_benchmark
from vireid_cli.commands.options import Device, finite, make_engine, parse_size
from vireid_cli.errors import UsageError

FEATURE_MAPS = ("2048x18x9", "2048x24x12", "512x36x18", "512x48x24", "256x72x36", "256x96x48")
"""Outputs of the stages of a ResNet-50 at 288x144 and 384x192, channels × height × width."""


class TransportShape(StrEnum):
    """Pairs × rows × columns."""

    large = "32x162x162"
    half_spectrum = "32x90x90"
    small = "256x18x9"


def augment(
    images: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 96,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH.")] = "288x144",
    repeats: Repeats = 7,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare batched crop and flip on uint8 with the usual chain of PIL transforms.

    Example: vireid bench augment
    """
    print_benchmark(
        "augment",
        make_engine(device, "fp32").session,
        json,
        images=images,
        size=parse_size(size),
        repeats=repeats,
    )


def spectra(
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CxHxW", help="Size of feature maps; default: those of a ResNet-50; repeatable."
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Feature maps per batch.")] = 16,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also measure compiled code; takes minutes.")
    ] = False,
    repeats: Repeats = 5,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare forms of an amplitude edit, forward and backward: complex numbers, products, rfft2.

    Example: vireid bench spectra --shape 2048x18x9
    """
    shapes = shape or list(FEATURE_MAPS)
    for text in shapes:
        if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5}){2}", text):
            raise UsageError(f"--shape {text}: expected CHANNELSxHEIGHTxWIDTH, such as 2048x18x9.")
    options: dict[str, Any] = {"shapes": shapes, "images": images, "repeats": repeats, "compiled": compiled}
    print_benchmark("spectra", make_engine(device, "fp32").session, json, **options)


def scan(
    batch: Annotated[int, typer.Option(min=1, help="Sequences per batch.")] = 16,
    length: Annotated[int, typer.Option(min=1, help="Length of a sequence.")] = 162,
    channels: Annotated[int, typer.Option(min=1, help="Number of channels.")] = 256,
    state: Annotated[int, typer.Option(min=1, help="Size of the state of a channel.")] = 16,
    repeats: Repeats = 3,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare the selective scan, forward and backward, with autograd of a loop and an associative scan.

    Example: vireid bench scan --batch 4
    """
    sizes: dict[str, Any] = {"batch": batch, "length": length, "channels": channels, "state": state}
    print_benchmark("scan", make_engine(device, "fp32").session, json, **sizes, repeats=repeats)


def transport(
    shape: Annotated[
        TransportShape,
        typer.Option(metavar="BxNxM", help="Pairs × rows × columns: 32x162x162, 32x90x90 or 256x18x9."),
    ] = TransportShape.large,
    epsilon: Annotated[
        float, typer.Option(min=1e-6, help="ε relative to the mean cost.", callback=finite)
    ] = 0.05,
    iterations: Annotated[int, typer.Option(min=1, help="Number of iterations.")] = 20,
    repeats: Repeats = 7,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare Sinkhorn transport plans of a batch with the POT library, if it is installed.

    Example: vireid bench transport --shape 256x18x9
    """
    options: dict[str, Any] = {"shape": shape.value, "epsilon": epsilon, "iterations": iterations}
    print_benchmark("transport", make_engine(device, "fp32").session, json, **options, repeats=repeats)
