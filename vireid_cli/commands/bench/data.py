"""Benchmarks of data preparation, sampling and occlusion."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.bench.options import Json, Repeats
from vireid_cli.commands.bench.output import print_benchmark
from vireid_cli.commands.options import DataDir, Workers, make_engine, parse_size


def prepare(
    images: Annotated[int, typer.Option(min=8, help="Number of image files.")] = 600,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH.")] = "288x144",
    repeats: Repeats = 5,
    json: Json = False,
) -> None:
    """Compare images per second of `prepare` on all cores with PIL on one core; measure memory growth.

    Example: vireid bench prepare --images 200
    """
    print_benchmark(
        "prepare",
        make_engine("cpu", "fp32").session,
        json,
        images=images,
        size=parse_size(size),
        repeats=repeats,
    )


def sampler(repeats: Repeats = 5, json: Json = False) -> None:
    """Compare index and epoch plan for 34,167 training images with lists and loops.

    Example: vireid bench sampler
    """
    print_benchmark("sampler", make_engine("cpu", "fp32").session, json, repeats=repeats)


def occlude(
    dataset: Annotated[str, typer.Option(help="Dataset to occlude.")] = "sysu",
    images: Annotated[int, typer.Option(min=1, help="Number of images.")] = 600,
    workers: Workers = None,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Measure `vireid prepare occluded`: images per second in total, and the time of each step.

    Example: vireid bench occlude --images 600
    """
    session = make_engine("cpu", "fp32", data=data).session
    print_benchmark("occlude", session, json, dataset=dataset, images=images, workers=workers)
