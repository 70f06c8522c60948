"""Options of ``vireid crop``, and the conversion of their texts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import expanded, finite
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality

Source = Annotated[
    Path,
    typer.Argument(metavar="VIDEO|DIR", help="A video, or a folder of videos and frames.", callback=expanded),
]
Out = Annotated[Path, typer.Option(help="Folder to write.", show_default=False, callback=expanded)]
Weights = Annotated[
    Path,
    typer.Option(help="Weights of a torchvision detector (.pth).", show_default=False, callback=expanded),
]
Network = Annotated[
    str | None,
    typer.Option(help="Network of the weights.", show_default="that of the published file"),
]
Sha256 = Annotated[str | None, typer.Option(help="Expected SHA-256 of the weights.")]
Camid = Annotated[
    int | None, typer.Option(min=0, help="Camera number.", show_default="from names: cam3.mp4, cam3/")
]
Start = Annotated[str | None, typer.Option(help="Time of the first frame, such as 2026-11-01T08:00:00.")]
Fps = Annotated[
    float | None,
    typer.Option(min=0.001, help="Frames per second.", show_default="of the video", callback=finite),
]
ModalityOption = Annotated[Modality | None, typer.Option(help="Modality of the cameras, a column.")]
Every = Annotated[int, typer.Option(min=1, help="Detect in every n-th frame.")]
Score = Annotated[float, typer.Option(min=0, max=1, help="Least confidence.", callback=finite)]
Nms = Annotated[
    float, typer.Option(min=0, max=1, help="Largest IoU of two people in a frame.", callback=finite)
]
MinSize = Annotated[str, typer.Option(help="Least box, HEIGHTxWIDTH in pixels.")]
Batch = Annotated[int, typer.Option(min=1, help="Frames per forward pass.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Skip unreadable frames.")]


def parse_start(text: str | None) -> datetime | None:
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


def parse_min_size(text: str) -> tuple[int, int]:
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
