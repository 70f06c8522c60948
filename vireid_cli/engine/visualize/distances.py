"""FDNM's sixth figure, a–e: distances of one person's images and of two people's, across modality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.embeddings import distances_of, embedded_alike
from vireid_cli.engine.subjects.evaluations import labels_of
from vireid_cli.engine.subjects.output import Output
from vireid_cli.figures import distances
from vireid_cli.results.run import RunFolder

RUNS = (1, 6)


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    protocol: str | None = None,
    all_pairs: bool = False,
) -> Path:
    """Histograms of the cosine distances of all visible–infrared pairs of the test set, a panel a run.

    Several runs are compared on the images that all of them embedded.

    Args:
        runs: One to six evaluated runs.
        session: Device, listener, folders.
        output: File, format, resolution.
        protocol: Which evaluation of each; None: the first that each has.
        all_pairs: Count every pair of two people, however many numbers an embedding has.

    Raises:
        UsageError: Not evaluated yet, a modality missing, too few people, or nothing in common.
        DataError: A file of embeddings is damaged.
    """
    compared = embedded_alike(runs, session, protocol)
    labels = labels_of(runs) if len(compared) > 1 else (runs[0].name,)
    panels = [
        (label, distances_of(one, session, all_pairs)) for label, one in zip(labels, compared, strict=True)
    ]
    names = " / ".join(dict.fromkeys(one.protocol for one in compared))
    every = all(found.parts == 1 for _, found in panels)
    what = "every visible–infrared pair" if every else "visible–infrared pairs; means and δ of every pair"
    figure = distances.distances_figure(panels, f"{what} of the images in queries and galleries of {names}")
    return output.save(figure, runs[0].figures / "distances")
