"""``vireid export``: write a run's network for other runtimes, or its trunk as weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    RunName,
    RunsDir,
    expanded,
    finite,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.counts import counted
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality

if TYPE_CHECKING:
    from vireid_cli.engine.export import ExportResult

app = typer.Typer(
    no_args_is_help=True,
    help="Export a run's network for deployment.\n\nExample: vireid export onnx",
)


class LayoutOption(StrEnum):
    """Division of the network into files."""

    SINGLE = "single"
    SPLIT = "split"
    JOINT = "joint"


class QuantizeOption(StrEnum):
    """Precision of a quantised ONNX file."""

    INT8 = "int8"


class PrecisionChoice(StrEnum):
    """Precision of a file for OpenVINO."""

    FP16 = "fp16"
    INT8 = "int8"


class CheckOption(StrEnum):
    """Identities that measure a quantised file."""

    VAL = "val"
    TEST = "test"


Layout = Annotated[
    LayoutOption,
    typer.Option(
        help="One file with the modality of each image as input, a file per modality, or two inputs."
    ),
]
Split = Annotated[bool, typer.Option("--split", help="Write a file per modality: --layout split.")]
Preprocessing = Annotated[
    bool, typer.Option("--with-preprocessing", help="Take uint8 images of any size, and resize them.")
]
Folder = Annotated[
    Path | None,
    typer.Option("--out", help="Folder to write.", show_default="exports/ of the run", callback=expanded),
]
Calibration = Annotated[int, typer.Option(min=2, help="Training images that calibrate int8.")]
CheckOn = Annotated[
    CheckOption, typer.Option(help="Identities of the check: Rank-1 and mAP may fall by at most 0.5 points.")
]


QUANTISATION = ("calibration", "check_on")
"""Parameters of 8-bit integers only."""


@app.callback()
def root() -> None:
    """Export a run's network for deployment.

    Example: vireid export onnx
    """


@app.command()
def onnx(
    context: typer.Context,
    run: RunName = None,
    layout: Layout = LayoutOption.SINGLE,
    split: Split = False,
    with_preprocessing: Preprocessing = False,
    quantize: Annotated[QuantizeOption | None, typer.Option(help="Write 8-bit integers.")] = None,
    calibration: Calibration = 256,
    check_on: CheckOn = CheckOption.VAL,
    out: Folder = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Export to ONNX with dynamic batch size, and compare onnxruntime with PyTorch on real images.

    Input of the exported network: RGB pixels, float in [0, 1], (N, 3, H, W), which it normalises itself, and
    the modality of each image, int64: 0 visible, 1 infrared.

    Example: vireid export onnx --with-preprocessing
    """
    from vireid_cli.engine.export import Quantisation

    if quantize is None:
        refuse_without_effect(context, "Only --quantize int8 is calibrated and checked", *QUANTISATION)
    options = None if quantize is None else Quantisation(calibration, check_on.value)
    _print(
        make_engine("cpu", data=data, runs=runs).export(
            run,
            layout=_layout(layout, split).value,
            preprocessing=with_preprocessing,
            quantise=options,
            out=out,
        )
    )


@app.command()
def torch(
    run: RunName = None,
    layout: Layout = LayoutOption.SINGLE,
    split: Split = False,
    with_preprocessing: Preprocessing = False,
    aoti: Annotated[
        bool, typer.Option("--aoti", help="Compile for this processor; needs a C++ compiler.")
    ] = False,
    out: Folder = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Export a program of PyTorch (torch.export, .pt2) with dynamic batch size; inputs as for onnx.

    Loading a .pt2 file runs its content: open only files that you trust.

    Example: vireid export torch --aoti
    """
    _print(
        make_engine("cpu", data=data, runs=runs).export_torch(
            run,
            layout=_layout(layout, split).value,
            preprocessing=with_preprocessing,
            compiled=aoti,
            out=out,
        )
    )


@app.command()
def openvino(
    context: typer.Context,
    run: RunName = None,
    precision: Annotated[
        PrecisionChoice, typer.Option(help="Weights in float16, or 8-bit integers.")
    ] = PrecisionChoice.FP16,
    calibration: Calibration = 256,
    check_on: CheckOn = CheckOption.VAL,
    out: Folder = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Export to OpenVINO, one file for both modalities; inputs as for onnx.

    Example: vireid export openvino --precision int8
    """
    from vireid_cli.engine.export import Quantisation

    if precision is PrecisionChoice.FP16:
        refuse_without_effect(context, "Only --precision int8 is calibrated and checked", *QUANTISATION)
    _print(
        make_engine("cpu", data=data, runs=runs).export_openvino(
            run,
            precision=precision.value,
            quantisation=Quantisation(calibration, check_on.value),
            out=out,
        )
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
    feature_scale: Annotated[
        float, typer.Option(help="Factor on the features of the last stage, 0.001 to 1000.", callback=finite)
    ] = 1.0,
    runs: RunsDir = None,
) -> None:
    """Write a run's trunk as weights for another recipe: --set backbone.weights=PATH.

    The keys are torchvision's. The file records its training data, steps and identities; evaluating on these
    identities is refused.

    Example: vireid export backbone
    """
    from vireid_cli.commands.console import print_paths

    engine = make_engine("cpu", runs=runs)
    print_paths(
        [engine.export_backbone(run, modality=modality, out=out, half=half, feature_scale=feature_scale)]
    )


def _layout(layout: LayoutOption, split: bool) -> LayoutOption:
    """Combine ``--layout`` and ``--split``."""
    if split and layout is LayoutOption.JOINT:
        raise UsageError("--split and --layout joint exclude each other: remove one of them.")
    return LayoutOption.SPLIT if split else layout


def _print(exported: ExportResult) -> None:
    """Print the files, their difference from PyTorch, and lines of Python that run the first one."""
    from vireid_cli.commands.console import print_line, print_paths, print_text

    record = exported.content
    print_paths([*exported.files, exported.record])
    limit = " (limit 1e-4)" if record.precision == "fp32" else ""
    opset = f", opset {record.opset}" if record.opset else ""
    print_line(
        f"validated on {counted(record.images, 'image')}: largest embedding difference to PyTorch "
        f"{record.largest_difference:.2e}{limit}{opset}"
    )
    if record.accuracy:
        print_line(record.accuracy.describe())
    print_text(f"\n{exported.snippet}\n")
