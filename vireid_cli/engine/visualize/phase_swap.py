"""FDNM's first figure: amplitudes and phases of two images, and what becomes without them."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data.identity import find_people
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import Picture, chosen_people, pair, person_with_two
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
    images: tuple[Picture, Picture] | None = None,
) -> Path:
    """FDNM's first figure of one person, or of any two image files.

    Args:
        dataset: Where the person is taken from: its image files, prepared or not.
        session: Device, listener, folders.
        output: File, format, resolution.
        size: (height, width) that the images are taken at.
        pid: The person; None: the first test identity with both modalities, or with two of ``modality``.
        modality: Both images are of this one; None: one of each.
        images: Two files instead; see ``pictures.of_files``.

    Raises:
        UsageError: No such person, one without both modalities or two images, or no such file.
        DataError: A file that can't be read.
    """
    if images is not None:
        name, title = "phase-swap", "Phase and amplitude swapped"
    else:
        people = find_people(dataset, session.data_dir)
        if modality is None:
            (pid,) = chosen_people(people, [] if pid is None else [pid], 1)
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
