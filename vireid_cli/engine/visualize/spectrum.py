"""What the spectra of images hold: amplitude and phase, and each of them alone made an image again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.data.identity import find_people
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import Picture, chosen_people, pair
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
    images: Sequence[Picture] = (),
) -> Path:
    """Spectra of a person in both modalities side by side, or of image files.

    Args:
        dataset: Where the person is taken from: its image files, prepared or not.
        session: Device, listener, folders.
        output: File, format, resolution.
        size: (height, width) that the images are taken at.
        pid: The person; None: the first test identity with both modalities.
        images: Files instead; see ``pictures.of_files``.

    Raises:
        UsageError: No such person, one without both modalities, or no such file.
        DataError: A file that can't be read.
    """
    if images:
        name, title = f"spectrum-{images[0].path.stem}", "Amplitude and phase"
    else:
        people = find_people(dataset, session.data_dir)
        (pid,) = chosen_people(people, [] if pid is None else [pid], 1)
        images = pair(people, pid)
        name, title = f"spectrum-{dataset}-{pid}", f"{people.title}, pid {pid}"
    figure = spectra.spectrum_figure([spectrum_column(image, size) for image in images], title)
    return output.save(figure, Path("figures") / name)
