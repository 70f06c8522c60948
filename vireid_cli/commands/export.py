"""``vireid export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, RunName, RunsDir, make_engine
from vireid_cli.types import Modality

app = typer.Typer(
    no_args_is_help=True,
    help="Export a run's network for deployment.\n\nExample: vireid export onnx",
)


class LayoutOption(StrEnum):
    """How many files."""

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
        LayoutOption, typer.Option(help="One file a modality, or one with both paths.")
    ] = LayoutOption.SPLIT,
    out: Annotated[Path | None, typer.Option(help="Folder.", show_default="the run's exports folder")] = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Export to ONNX, dynamic batch; checked against PyTorch on real images in onnxruntime.

    The files take plain pixels: float [0, 1], RGB, (N, 3, H, W); the network normalises them itself.

    Example: vireid export onnx --layout joint
    """
    from vireid_cli.commands.console import print_line, print_paths

    exported = make_engine("cpu", data=data, runs=runs).export(run, layout=layout.value, out=out)
    made = exported.onnx
    print_paths([*made.files, exported.record])
    print_line(
        f"checked on {made.images} images: largest embedding difference to PyTorch "
        f"{made.largest_difference:.2e} (limit 1e-4), opset {made.opset}"
    )


@app.command()
def backbone(
    run: RunName = None,
    modality: Annotated[
        Modality, typer.Option(help="Whose copy of the stages that each modality has for itself.")
    ] = Modality.VISIBLE,
    out: Annotated[
        Path | None, typer.Option(help="File, .safetensors.", show_default="the run's exports folder")
    ] = None,
    runs: RunsDir = None,
) -> None:
    """Write a run's trunk as weights for another recipe: --set backbone.weights=PATH.

    Keys are torchvision's. The file names the identities that it was trained on, and a run that starts from
    it is not evaluated on them.

    Example: vireid export backbone
    """
    from vireid_cli.commands.console import print_paths

    print_paths([make_engine("cpu", runs=runs).export_backbone(run, modality=modality, out=out)])
