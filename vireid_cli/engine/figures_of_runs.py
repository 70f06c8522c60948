"""Figures of a run: everything is read from its folder, images from the prepared store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data.store import Store
from vireid_cli.engine.output import Output
from vireid_cli.engine.preparation import ensure_prepared
from vireid_cli.engine.reporter import Reporter
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures import curves, ranking, tsne
from vireid_cli.recipe.load import load as load_recipe
from vireid_cli.results import schema
from vireid_cli.results.run import Run, read_arrays
from vireid_cli.types import Size


def tsne_of_run(
    run: Run, protocol: str | None, ids: int, seed: int, by: tsne.By, reporter: Reporter, output: Output
) -> Path:
    """t-SNE of a run's test embeddings, by modality and by identity.

    Args:
        run: An evaluated run.
        protocol: Which evaluation; None: the first there is.
        ids: Identities shown: the first that have both modalities.
        seed: Of t-SNE.
        by: ``modality``, ``identity`` or ``both``.
        reporter: Listener.
        output: Where to.

    Raises:
        UsageError: Not evaluated yet, or too few identities.
        MissingExtra: scikit-learn is not installed.
    """
    name, folder = _evaluation(run, protocol)
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
    return output.save(figure, run.figures / "tsne")


def ranking_of_run(
    run: Run,
    protocol: str | None,
    queries: int,
    order: str,
    seed: int,
    data_dir: Path,
    reporter: Reporter,
    output: Output,
) -> Path:
    """Queries of a run with their first ten matches.

    Args:
        run: An evaluated run.
        protocol: Which evaluation; None: the first there is.
        queries: How many.
        order: ``random``, ``best`` or ``worst`` by average precision.
        seed: Of the random choice.
        data_dir: Where the images are prepared.
        reporter: Listener.
        output: Where to.

    Raises:
        UsageError: Not evaluated yet.
    """
    name, folder = _evaluation(run, protocol)
    arrays = read_arrays(folder / schema.RANKING, schema.RANKING_ARRAYS, f"vireid evaluate {run.folder}")
    recipe = load_recipe(str(run.recipe_file))
    size = recipe.data.image_size
    measured = run.evaluations()[name]["fingerprint"]
    store = ensure_prepared(measured.get("source", recipe.data.dataset), size, data_dir, reporter)
    chosen = _queries(arrays["average_precision"], queries, order, seed)
    rows = [_ranking_row(arrays, int(query), store, size) for query in chosen]
    subtitle = f"{name}, trial 0, {order} queries; cosine similarity"
    figure = ranking.ranking_figure(rows, run.name, subtitle)
    return output.save(figure, run.figures / "ranking")


def curves_of_run(run: Run, output: Output) -> Path:
    """Loss terms and learning rate over a run's steps.

    Raises:
        UsageError: The log is empty.
    """
    rows = list(run.log_rows())
    steps = [row for row in rows if row.get("kind") == "step"]
    epochs = [row for row in rows if row.get("kind") == "epoch"]
    figure = curves.curves_figure(steps, epochs, run.name)
    return output.save(figure, run.figures / "curves")


def _evaluation(run: Run, protocol: str | None) -> tuple[str, Path]:
    """Name and folder of one finished evaluation of a run."""
    done = run.evaluations()
    if not done:
        raise UsageError(f"{run.folder} has not been evaluated.", f"Do it: vireid evaluate {run.folder}")
    name = protocol or next(iter(done))
    if name not in done:
        raise UsageError(f"{run.folder} has no evaluation '{name}'.", f"There is: {', '.join(done)}")
    return name, run.evaluation(name)


def _queries(precision: np.ndarray, count: int, order: str, seed: int) -> np.ndarray:
    """Indices of valid queries, in the order asked for."""
    valid = np.flatnonzero(~np.isnan(precision))
    if order == "random":
        return np.random.default_rng(seed).permutation(valid)[:count]
    ranked = valid[np.argsort(precision[valid], kind="stable")]
    return ranked[:count] if order == "worst" else ranked[::-1][:count]


def _ranking_row(arrays: Mapping[str, Any], query: int, store: Store, size: Size) -> ranking.RankingRow:
    """One query's images and labels."""
    top = arrays["top"][query]
    top = top[top >= 0]
    paths = [str(arrays["query_paths"][query]), *(str(arrays["gallery_paths"][i]) for i in top)]
    pixels = store.batch(size, _rows_of(store, paths)).astype(np.float32) / 255.0
    pid = int(arrays["query_pids"][query])
    matches = arrays["gallery_pids"][top]
    return ranking.RankingRow(
        query_image=pixels[0],
        query_label=f"pid {pid} · cam {arrays['query_camids'][query]}",
        images=pixels[1:],
        correct=matches == pid,
        labels=tuple(
            f"pid {p} · cam {arrays['gallery_camids'][i]}" for p, i in zip(matches, top, strict=True)
        ),
        scores=arrays["scores"][query][: len(top)],
    )


def _rows_of(store: Store, paths: list[str]) -> np.ndarray:
    """Rows of these images in the store, whose records are sorted by path.

    Raises:
        DataError: One is not in the store any more.
    """
    wanted = np.array(paths)
    rows = np.minimum(np.searchsorted(store.records.paths, wanted), len(store.records) - 1)
    gone = wanted[store.records.paths[rows] != wanted]
    if len(gone):
        raise DataError(f"{gone[0]} is not in {store.folder} any more.", "Evaluate the run again.")
    return rows
