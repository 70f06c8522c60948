"""Benchmarks of evaluation, and naive matchers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vireid_cli.commands.bench.options import Json, Repeats
from vireid_cli.commands.bench.output import print_benchmark
from vireid_cli.commands.index import KindOption
from vireid_cli.commands.options import DataDir, make_engine, refuse_without_effect
from vireid_cli.errors import UsageError


class Shape(StrEnum):
    """Numbers of queries and gallery images in common protocols."""

    sysu_single = "3803x301"
    sysu_multi = "3803x3010"
    regdb = "2060x2060"


class SpectrumOption(StrEnum):
    """Variances of the directions of synthetic embeddings."""

    FLAT = "flat"
    DECAYING = "decaying"


def evaluate(
    context: typer.Context,
    shape: Annotated[
        list[Shape] | None,
        typer.Option(
            metavar="QxG",
            help="Queries × gallery: 3803x301, 3803x3010 or 2060x2060; default: all three; repeatable.",
        ),
    ] = None,
    gallery: Annotated[
        int | None, typer.Option(min=400, help="Number of gallery images; measures the streamed evaluation.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width of the embeddings; without --gallery, the product is measured, too.",
            show_default="512 with --gallery",
        ),
    ] = None,
    repeats: Repeats = 5,
    json: Json = False,
) -> None:
    """Compare metrics of distances or embeddings with a loop over queries, or stream a large gallery.

    Example: vireid bench evaluate --gallery 100000 --json
    """
    if gallery is not None:
        if shape:
            raise UsageError("--gallery and --shape exclude each other: use one of them.")
        refuse_without_effect(context, "--gallery measures three sizes once", "repeats")
        session = make_engine("cpu", "fp32").session
        print_benchmark("gallery", session, json, images=gallery, width=width or 512)
        return
    print_benchmark(
        "evaluate",
        make_engine("cpu", "fp32").session,
        json,
        shapes=[s.value for s in shape or Shape],
        repeats=repeats,
        width=width,
    )


def search(
    records: Annotated[int, typer.Option(min=1_000, help="Number of records.")] = 100_000,
    width: Annotated[int, typer.Option(min=1, help="Width of the embeddings.")] = 512,
    queries: Annotated[int, typer.Option(min=1, help="Queries per batch.")] = 100,
    kind: Annotated[KindOption, typer.Option(help="Also measure this kind of index.")] = KindOption.EXACT,
    spectrum: Annotated[
        SpectrumOption,
        typer.Option(help="flat: independent directions; decaying: those of trained networks."),
    ] = SpectrumOption.FLAT,
    json: Json = False,
) -> None:
    """Measure an index: exact search with and without a filter of 2 of 6 cameras, recall, memory.

    Example: vireid bench search --records 100000 --kind hnsw
    """
    session = make_engine("cpu", "fp32").session
    print_benchmark(
        "search",
        session,
        json,
        records=records,
        width=width,
        queries=queries,
        kind=kind.value,
        spectrum=spectrum.value,
    )


def difficulty(
    dataset: Annotated[str, typer.Option(help="Dataset in the layout of SYSU-MM01.")] = "sysu",
    data: DataDir = None,
    json: Json = False,
) -> None:
    """Evaluate naive matchers across modalities: raw pixels, grey-level histograms, HOG.

    Example: vireid bench difficulty
    """
    print_benchmark("difficulty", make_engine("cpu", "fp32", data=data).session, json, dataset=dataset)
