"""Queries of a run with their first ten matches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data.store import Store
from vireid_cli.engine.drawings import Studio
from vireid_cli.engine.evaluated import evaluation_of, rows_of
from vireid_cli.engine.preparation import ensure_prepared
from vireid_cli.figures import ranking
from vireid_cli.recipe.load import load as load_recipe
from vireid_cli.results import schema
from vireid_cli.results.run import read_arrays
from vireid_cli.types import Size

RUNS = (1, 1)


def draw(studio: Studio, *, protocol: str | None, queries: int, order: str, seed: int) -> Path:
    """Queries of a run with their first ten matches.

    Args:
        studio: What it is drawn with; one evaluated run.
        protocol: Which evaluation; None: the first there is.
        queries: How many.
        order: ``random``, ``best`` or ``worst`` by average precision.
        seed: Of the random choice.

    Raises:
        UsageError: Not evaluated yet.
    """
    run = studio.run
    name, folder = evaluation_of(run, protocol)
    arrays = read_arrays(folder / schema.RANKING, schema.RANKING_ARRAYS, f"vireid evaluate {run.folder}")
    recipe = load_recipe(str(run.recipe_file))
    size = recipe.data.image_size
    measured = run.evaluations()[name]["fingerprint"]  # of another dataset than the recipe's, perhaps
    store = ensure_prepared(
        measured.get("source", recipe.data.dataset), size, studio.data_dir, studio.reporter
    )
    chosen = _queries(arrays["average_precision"], queries, order, seed)
    rows = [_ranking_row(arrays, int(query), store, size) for query in chosen]
    subtitle = f"{name}, trial 0, {order} queries; cosine similarity"
    figure = ranking.ranking_figure(rows, run.name, subtitle)
    return studio.output.save(figure, run.figures / "ranking")


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
    pixels = store.batch(size, rows_of(store, paths)).astype(np.float32) / 255.0
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
