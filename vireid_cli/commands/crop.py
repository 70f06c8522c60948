"""``vireid crop``: crops of the people in a video or in frames."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import Device, expanded, make_engine
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality


def crop(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="VIDEO|DIR", help="A video, or a folder of videos and frames.", callback=expanded
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False, callback=expanded)],
    weights: Annotated[
        Path,
        typer.Option(help="Weights of a torchvision detector (.pth).", show_default=False, callback=expanded),
    ],
    network: Annotated[
        str | None,
        typer.Option(help="Network of the weights.", show_default="that of the published file"),
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Expected SHA-256 of the weights.")] = None,
    camid: Annotated[
        int | None, typer.Option(min=0, help="Camera number.", show_default="from names: cam3.mp4, cam3/")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Time of the first frame, such as 2026-11-01T08:00:00.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.001, help="Frames per second.", show_default="of the video")
    ] = None,
    modality: Annotated[Modality | None, typer.Option(help="Modality of the cameras, a column.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Detect in every n-th frame.")] = 1,
    score: Annotated[float, typer.Option(min=0, max=1, help="Least confidence.")] = 0.7,
    nms: Annotated[float, typer.Option(min=0, max=1, help="Largest IoU of two people in a frame.")] = 0.5,
    min_size: Annotated[str, typer.Option(help="Least box, HEIGHTxWIDTH in pixels.")] = "64x24",
    batch: Annotated[int, typer.Option(min=1, help="Frames per forward pass.")] = 4,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip unreadable frames.")] = False,
    device: Device = "auto",
) -> None:
    """Crop the people in a video or in frames, and list them with camera, time and box.

    Weights are a file that torchvision published, recognised by its SHA-256, or yours with --sha256 and
    --network. After an interruption, the same command resumes.

    Example: vireid crop cam3.mp4 --out crops --weights fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth
    """
    from vireid_cli.commands import console
    from vireid_cli.detection.crops import CropOptions

    height, width = _parse_box(min_size)
    options = CropOptions(every, score, nms, height, width, _parse_time(start), modality)
    cropped = make_engine(device).crop(
        source,
        out,
        weights,
        options=options,
        network=network,
        sha256=sha256,
        camid=camid,
        fps=fps,
        batch=batch,
        skip_bad=skip_bad,
    )
    for name, number, reason in cropped.bad:
        console.print_line(f"skipped {name}, frame {number}: {reason}", "yellow")
    resumed = f", {cropped.resumed} of them from an earlier call" if cropped.resumed else ""
    console.print_line(f"{cropped.crops} crops from {cropped.frames} frames{resumed}")
    console.print_paths([cropped.records])
    if cropped.crops:
        console.print_next(
            console.command_line("embed", "RUN", "--images", cropped.records, "--out", out / "embeddings.npz")
        )


def _parse_time(text: str | None) -> datetime | None:
    """Parse an ISO 8601 time.

    Raises:
        UsageError: The text has another form.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--start {text}: expected a time such as 2026-11-01T08:00:00.") from error


def _parse_box(text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH in pixels.

    Raises:
        UsageError: The text has another form.
    """
    height, _, width = text.replace("×", "x").partition("x")
    if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
        raise UsageError(f"--min-size {text}: expected HEIGHTxWIDTH, such as 64x24.")
    if max(len(height), len(width)) > 6:
        raise UsageError(f"--min-size {text}: at most 999999 pixels.")
    return int(height), int(width)
