"""Test embeddings of a run on a plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vireid_cli.engine.drawings import Studio
from vireid_cli.engine.evaluated import evaluation_of
from vireid_cli.errors import UsageError
from vireid_cli.figures import tsne
from vireid_cli.results import schema
from vireid_cli.results.run import read_arrays

RUNS = (1, 1)


def draw(studio: Studio, *, protocol: str | None, ids: int, seed: int, by: tsne.By) -> Path:
    """t-SNE of a run's test embeddings, by modality and by identity.

    Args:
        studio: What it is drawn with; one evaluated run.
        protocol: Which evaluation; None: the first there is.
        ids: Identities shown: the first that have both modalities.
        seed: Of t-SNE.
        by: ``modality``, ``identity`` or ``both``.

    Raises:
        UsageError: Not evaluated yet, or too few identities.
        MissingExtra: scikit-learn is not installed.
    """
    run, reporter = studio.run, studio.reporter
    name, folder = evaluation_of(run, protocol)
    arrays = read_arrays(folder / schema.EMBEDDINGS, schema.EMBEDDING_ARRAYS, f"vireid evaluate {run.folder}")
    pids, modalities = arrays["pids"], arrays["modalities"]
    both = np.intersect1d(pids[modalities == 0], pids[modalities == 1])
    if len(both) < 2:
        raise UsageError(f"{folder} has {len(both)} identities with both modalities: nothing to compare.")
    if ids > len(both):
        reporter.warn(f"only {len(both)} identities have both modalities; all are shown")
    rows = np.flatnonzero(np.isin(pids, both[:ids]))
    reporter.say(f"t-SNE of {len(rows)} embeddings of {min(ids, len(both))} identities")
    points = tsne.tsne_points(arrays["features"][rows], seed)
    figure = tsne.tsne_figure(
        points,
        pids[rows],
        modalities[rows],
        by,
        f"{run.name}",
        f"embeddings, {name}, t-SNE seed {seed}",
    )
    return studio.output.save(figure, run.figures / "tsne")
