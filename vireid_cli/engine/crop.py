"""Crop people from videos and frames with one of torchvision's detectors."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.detection.crop_mark import CropOptions
from vireid_cli.detection.crops import CroppedPeople, crop_people
from vireid_cli.detection.people import TorchvisionDetector
from vireid_cli.detection.sources import list_sources
from vireid_cli.detection.weights import identify
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError

OPTIONS = CropOptions()
"""Defaults of ``crop``."""


def crop(
    source: Path,
    out: Path,
    weights: Path,
    session: Session,
    *,
    options: CropOptions = OPTIONS,
    network: str | None = None,
    sha256: str | None = None,
    camid: int | None = None,
    fps: float | None = None,
    batch: int = 4,
    skip_bad: bool = False,
) -> CroppedPeople:
    """Write crops of the people in a video or a folder of frames, with ``records.csv``; resumes.

    Args:
        source: A video, or a folder with videos and images.
        out: Folder to write.
        weights: File of weights; see ``detection.weights.identify``, also for ``network`` and ``sha256``.
        session: Device and reporter.
        options: Options of the crops.
        network: Name of the network, for weights that torchvision did not publish.
        sha256: Expected SHA-256 of ``weights``.
        camid: Camera number; None: from names, such as ``cam3.mp4``.
        fps: Frames per second; None: those of each video.
        batch: Number of frames that are detected together.
        skip_bad: Whether to skip unreadable frames instead of raising.

    Raises:
        UsageError: Wrong arguments, unknown weights, or ``out`` holds other content.
        DataError: A frame or video can't be read, or writing failed.
    """
    known = identify(weights, network, sha256)
    sources = list_sources(source, camid, fps, out)
    if options.start is not None and any(one.fps is None for one in sources):
        raise UsageError("--start needs the frame rate, which images do not contain.", "Set --fps.")
    device = session.runtime.device
    detector = TorchvisionDetector.load(known, options.score, options.overlap, device)
    identity = {"network": known.network, "weights_sha256": known.sha256}
    cropped = crop_people(
        sources,
        out,
        detector,
        options,
        identity,
        batch=batch,
        skip_bad=skip_bad,
        progress=session.reporter.progress("detecting"),
    )
    expected = sum(-(-one.frames // options.every) for one in sources)
    if cropped.frames < expected:
        session.reporter.warn(
            f"{cropped.frames} of {expected} frames could be read: the containers announce more, or a video "
            "is cut short"
        )
    return cropped
