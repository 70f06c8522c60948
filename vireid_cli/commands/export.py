"""``vireid export``: write a run's network as ONNX, or its trunk as weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, RunName, RunsDir, expanded, make_engine
from vireid_cli.modality import Modality

app = typer.Typer(
    no_args_is_help=True,
    help="Export a run's network for deployment.\n\nExample: vireid export onnx",
)


class LayoutOption(StrEnum):
    """Division of the network into ONNX files."""

    SPLIT = "split"
    JOINT = "joint"


@app.callback()
def root() -> None:
    """Export a run's network for deployment.

    Example: vireid export onnx
    """


@app.command()
def onnx(
    run: RunName = None,
    layout: Annotated[
        LayoutOption, typer.Option(help="One file per modality, or one file for both.")
    ] = LayoutOption.SPLIT,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write.", show_default="exports/ of the run", callback=expanded),
    ] = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Export to ONNX with dynamic batch size, and compare onnxruntime with PyTorch on real images.

    Input of the exported network: RGB pixels, float in [0, 1], (N, 3, H, W). It normalises them itself.

    Example: vireid export onnx --layout joint
    """
    from vireid_cli.commands.console import print_line, print_paths

    exported = make_engine("cpu", data=data, runs=runs).export(run, layout=layout.value, out=out)
    export = exported.onnx
    print_paths([*export.files, exported.record])
    print_line(
        f"validated on {export.images} images: largest embedding difference to PyTorch "
        f"{export.largest_difference:.2e} (limit 1e-4), opset {export.opset}"
    )


@app.command()
def backbone(
    run: RunName = None,
    modality: Annotated[
        Modality, typer.Option(help="Modality to take the stages from that are separate per modality.")
    ] = Modality.VISIBLE,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, .safetensors.", show_default="in exports/ of the run", callback=expanded
        ),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Write float16, half of the size.")] = False,
    runs: RunsDir = None,
) -> None:
    """Write a run's trunk as weights for another recipe: --set backbone.weights=PATH.

    The keys are torchvision's. The file records its training data, steps and identities; evaluating on these
    identities is refused.

    Example: vireid export backbone
    """
    from vireid_cli.commands.console import print_paths

    print_paths([make_engine("cpu", runs=runs).export_backbone(run, modality=modality, out=out, half=half)])
