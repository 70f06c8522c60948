"""``vireid crop``: crops of the people in a video or in frames."""

from __future__ import annotations

from vireid_cli.commands.crop_options import (
    Batch,
    Camid,
    Every,
    Fps,
    MinSize,
    ModalityOption,
    Network,
    Nms,
    Out,
    Score,
    Sha256,
    SkipBad,
    Source,
    Start,
    Weights,
    parse_min_size,
    parse_start,
)
from vireid_cli.commands.options import Device, make_engine
from vireid_cli.counts import counted


def crop(
    source: Source,
    out: Out,
    weights: Weights,
    network: Network = None,
    sha256: Sha256 = None,
    camid: Camid = None,
    start: Start = None,
    fps: Fps = None,
    modality: ModalityOption = None,
    every: Every = 1,
    score: Score = 0.7,
    nms: Nms = 0.5,
    min_size: MinSize = "64x24",
    batch: Batch = 4,
    skip_bad: SkipBad = False,
    device: Device = "auto",
) -> None:
    """Crop the people in a video or in frames, and list them with camera, time and box.

    Weights are a file that torchvision published, recognised by its SHA-256, or yours with --sha256 and
    --network. After an interruption, the same command resumes.

    Example: vireid crop cam3.mp4 --out crops --weights fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth
    """
    from vireid_cli.commands import console
    from vireid_cli.detection.crop_mark import CropOptions

    height, width = parse_min_size(min_size)
    options = CropOptions(every, score, nms, height, width, parse_start(start), modality)
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
    console.print_line(f"{counted(cropped.crops, 'crop')} from {counted(cropped.frames, 'frame')}{resumed}")
    console.print_paths([cropped.records])
    if cropped.crops:
        console.print_next(
            console.command_line("embed", "RUN", "--images", cropped.records, "--out", out / "embeddings.npz")
        )
