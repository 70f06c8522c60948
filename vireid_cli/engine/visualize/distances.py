"""FDNM's figure 6 a–e: cross-modality distances between images of one person and of two people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.embeddings import common_embeddings, distances_of
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
    """Draw histograms of the cosine distances of visible–infrared pairs of the test set, a panel per run.

    All panels use the common images of the runs.

    Args:
        runs: One to six evaluated runs.
        session: Device, reporter and folders.
        output: File, format and resolution.
        protocol: Name of the evaluation; None: the first one of each run.
        all_pairs: Include all pairs of two people, for embeddings of any dimension.

    Raises:
        UsageError: A run has no such evaluation, a modality is missing, or there are too few people or no
            common images.
        DataError: A file of embeddings is damaged.
    """
    embeddings = common_embeddings(runs, session, protocol)
    marks = [one.fingerprint for one in embeddings]
    labels = output.names(runs, marks) if len(runs) > 1 else (output.name(runs[0]),)
    panels = [
        (label, distances_of(one, session, all_pairs)) for label, one in zip(labels, embeddings, strict=True)
    ]
    names = " / ".join(dict.fromkeys(one.protocol for one in embeddings))
    complete = all(pairs.parts == 1 for _, pairs in panels)
    subject = (
        "every visible–infrared pair" if complete else "visible–infrared pairs; means and δ of every pair"
    )
    about = f"{subject} of the images in queries and galleries of {names}"
    figure = distances.distances_figure(panels, about)
    return output.save(figure, runs[0].figures / "distances")
