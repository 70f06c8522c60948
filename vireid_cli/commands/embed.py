"""``vireid embed``: embeddings of the images of a folder or list, in a file."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.options import (
    Device,
    PrecisionOption,
    RunsDir,
    Workers,
    expanded,
    finite,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.counts import counted
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality

if TYPE_CHECKING:
    from vireid_cli.engine.embed_images.share import Share
    from vireid_cli.engine.embed_images.verb import Embedded

EXPORTED = (".onnx", ".pt2")
"""Endings of exported files that embed images."""

SHOWN = 20
"""Number of skipped images in the output; the rest is counted."""


class ModalityOption(StrEnum):
    """Modality of the images; ``auto`` is that of the list or of folder names, else the pixels decide."""

    visible = "visible"
    infrared = "infrared"
    auto = "auto"


Tolerance = Annotated[
    float,
    typer.Option(
        min=0, max=255, help="auto: mean difference of the channels of infrared images.", callback=finite
    ),
]


def embed(
    context: typer.Context,
    images: Annotated[
        Path, typer.Option(help="Folder of images, or a list LIST.csv with a column path.", callback=expanded)
    ],
    out: Annotated[Path, typer.Option(help="File to write, .npz or .parquet.", callback=expanded)],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="Run or its folder, or an exported .onnx or .pt2; default: the newest run."
        ),
    ] = None,
    modality: Annotated[
        ModalityOption,
        typer.Option(help="auto: from the list or folder names, else infrared if the channels are equal."),
    ] = ModalityOption.auto,
    tolerance: Tolerance = 3.0,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Embed one of N shares; the last to finish joins them.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Images per forward pass.", show_default="16 on CPU, 64 on GPU"),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip unreadable images.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Ignore finished parts.")] = False,
    workers: Workers = None,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    runs: RunsDir = None,
) -> None:
    """Embed all images of a folder or list into a file for indexes and searches.

    Interrupted work is resumed by the same command. torchrun -m vireid_cli embed … shares it.

    Example: vireid embed runs/latest --images data/rendered/SYSU-MM01/cam1 --out gallery.npz
    """
    from vireid_cli.commands import console
    from vireid_cli.engine.embed_images.verb import EmbedOptions

    if modality is not ModalityOption.auto:
        refuse_without_effect(context, f"--modality {modality.value} decides for all images", "tolerance")
    if model is not None and model.lower().endswith(EXPORTED):
        refuse_without_effect(context, "an exported file runs on the CPU in its own precision", "precision")
    share, device = _share(shard, device)
    kind = None if modality is ModalityOption.auto else Modality(modality.value)
    options = EmbedOptions(kind, tolerance, batch, workers, share, skip_bad, restart)
    result = make_engine(device, precision, runs=runs).embed_images(images, out, model, options)
    if json:
        console.print_json(summary(result))
        return
    console.print_lines(summary_lines(result, share))
    if result.joined is not None:
        console.print_paths([result.out])
        place = _place(model, runs)
        console.print_next(console.command_line("index", "create", out.stem, out, "--model", place))


def _place(model: str | None, runs: Path | None) -> Path:
    """The exported file, or the folder of the run: of the newest run its own name, because others follow."""
    if model is not None and model.lower().endswith(EXPORTED):
        return Path(model)
    from vireid_cli.results.run import find

    return find(model, runs=runs).folder


def _share(shard: str | None, device: str) -> tuple[Share, str]:
    """Return the share of this process and its device, from ``--shard`` or from torchrun.

    Raises:
        UsageError: Both are set, or one of them is wrong.
    """
    from vireid_cli.engine.embed_images import share as shares

    launched = shares.share_of_environment(os.environ)
    if shard is None:
        if launched is None:
            return shares.Share(), device
        return launched, shares.local_device(device, os.environ, shares.gpus())
    if launched is not None and launched.count > 1:
        raise UsageError("--shard and torchrun both divide the work: use one of them.")
    return shares.parse_share(shard), device


def summary(result: Embedded) -> dict[str, object]:
    """Return the result as JSON values."""
    joined = result.joined
    content: dict[str, object] = {
        "out": str(result.out),
        "complete": result.complete,
        "images": result.images,
        "embedded_now": result.computed,
        "seconds": round(result.seconds, 3),
        "parts": result.parts,
        "parts_missing": result.missing,
    }
    if joined is not None:
        content |= {
            "embeddings": joined.images,
            "dimension": joined.dimension,
            "by_modality": {modality.value: count for modality, count in joined.by_modality.items()},
            "decided_by_pixels": {modality.value: count for modality, count in joined.decided.items()},
            "close_to_tolerance": [path for path, _ in joined.close],
            "skipped": [{"path": path, "reason": reason} for path, reason in joined.skipped],
        }
    return content


def summary_lines(result: Embedded, share: Share) -> list[str]:
    """Summarize a result: rate, modalities and their decision, skipped images, missing parts."""
    lines = []
    if result.computed:
        rate = result.computed / max(result.seconds, 1e-9)
        lines.append(
            f"embedded {counted(result.computed, 'image')} in {result.seconds:.1f} s, {rate:.0f} images/s"
        )
    if result.missing:
        lines.append(
            f"{result.parts - result.missing} of {result.parts} parts are finished{share.label}; the "
            f"{'first process' if share.launched else 'share that finishes last'} writes {result.out}"
        )
    elif result.joined is None and not share.launched:
        lines.append(f"{result.out} is complete; --restart computes it again")
    joined = result.joined
    if joined is None:
        return lines
    counts = ", ".join(f"{count:,} {modality}" for modality, count in joined.by_modality.items())
    lines.append(f"{counted(joined.images, 'embedding')} of {joined.dimension} columns: {counts}")
    if any(joined.decided.values()):
        decided = ", ".join(f"{count:,} {modality}" for modality, count in joined.decided.items())
        lines.append(f"modality decided by equality of the colour channels: {decided}")
    if joined.close:
        path, spread = joined.close[0]
        lines.append(
            f"close decisions: {counted(len(joined.close), 'image')}, such as {path} (channels "
            f"differ by {spread:.1f} "
            "grey levels on average); set --modality, or a column modality in the list"
        )
    lines += [f"skipped, unreadable: {path}: {reason}" for path, reason in joined.skipped[:SHOWN]]
    if len(joined.skipped) > SHOWN:
        lines.append(f"skipped, unreadable: {len(joined.skipped) - SHOWN:,} more, listed in {result.out}")
    return lines
