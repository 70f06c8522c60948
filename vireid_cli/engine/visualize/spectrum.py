"""Spectra of images: amplitude, phase, and the reconstructions from each of them alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.data.identity import find_people
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import ImageFile, pair, select_people
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.spectra import spectrum_column
from vireid_cli.figures import spectra
from vireid_cli.types import SIZE, Size

RUNS = (0, 0)


def draw(
    dataset: str,
    session: Session,
    output: Output,
    *,
    size: Size = SIZE,
    pid: int | None = None,
    images: Sequence[ImageFile] = (),
) -> Path:
    """Draw the spectra of a person in both modalities side by side, or of image files.

    Args:
        dataset: Name of the person's dataset, prepared or not.
        session: Device, reporter and folders.
        output: File, format and resolution.
        size: (height, width) in pixels to which the images are resized.
        pid: The person; None: the first test identity with both modalities.
        images: Files instead; see ``subjects.images.image_files``.

    Raises:
        UsageError: The person or a file does not exist, or the person lacks a modality.
        DataError: A file can't be read.
    """
    if images:
        name, title = f"spectrum-{images[0].path.stem}", "Amplitude and phase"
    else:
        people = find_people(dataset, session.data_dir)
        (pid,) = select_people(people, [] if pid is None else [pid], 1)
        images = pair(people, pid)
        name, title = f"spectrum-{dataset}-{pid}", f"{people.title}, pid {pid}"
    figure = spectra.spectrum_figure([spectrum_column(image, size) for image in images], title)
    return output.save(figure, Path("figures") / name)
