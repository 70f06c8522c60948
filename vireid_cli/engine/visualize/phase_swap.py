"""FDNM's figure 1: amplitudes and phases of two images, and their reconstructions with swapped parts."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data.identity import find_people
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import ImageFile, pair, person_with_two, select_people
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.spectra import spectrum_column
from vireid_cli.figures import spectra
from vireid_cli.types import SIZE, Modality, Size

RUNS = (0, 0)


def draw(
    dataset: str,
    session: Session,
    output: Output,
    *,
    size: Size = SIZE,
    pid: int | None = None,
    modality: Modality | None = None,
    images: tuple[ImageFile, ImageFile] | None = None,
) -> Path:
    """Draw FDNM's figure 1 for one person, or for two image files.

    Args:
        dataset: Name of the person's dataset, prepared or not.
        session: Device, reporter and folders.
        output: File, format and resolution.
        size: (height, width) in pixels to which the images are resized.
        pid: The person; None: the first test identity with both modalities, or with two images of
            ``modality``.
        modality: Modality of both images; None: one image of each modality.
        images: Two files instead; see ``subjects.images.image_files``.

    Raises:
        UsageError: The person or a file does not exist, or the person has too few images.
        DataError: A file can't be read.
    """
    if images is not None:
        name, title = "phase-swap", "Phase and amplitude swapped"
    else:
        people = find_people(dataset, session.data_dir)
        if modality is None:
            (pid,) = select_people(people, [] if pid is None else [pid], 1)
        elif pid is None:
            pid = person_with_two(people, modality)
        images = pair(people, pid, modality)
        name, title = f"phase-swap-{dataset}-{pid}", f"{people.title}, pid {pid}"
        name += f"-{modality.value}" if modality else ""
    first, second = images
    figure = spectra.phase_swap_figure(
        spectrum_column(first, size, second), spectrum_column(second, size, first), title
    )
    return output.save(figure, Path("figures") / name)
