"""Retrieval against a gallery too large for a score matrix: exact, tile by tile, in bounded memory.

The layout places the identities with queries first. A first pass over their tiles reads the scores of all
matches; a second pass over all tiles counts the better images of each match, and the counts add up.
Scores of the first tiles are cached between the passes within a budget, and recomputed beyond it. Time
grows linearly with the gallery: one product and one sort of short rows per tile.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.metrics.blocks import BLOCK_BYTES, for_each_block
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.layout import TILE, RankPlan, plan_ranks
from vireid_cli.metrics.outcome import CMC_RANKS, Retrieval, result_of
from vireid_cli.metrics.ranking import Ranks, Tally

Product = Callable[[np.ndarray], np.ndarray]
"""Gallery positions (n,) → a new array of scores (Q, n), float32 or float64, higher is better."""

KEPT_BYTES = 256 << 20
"""Default budget in bytes for scores cached between the two passes."""


def evaluate_streamed(
    q_features: np.ndarray,
    g_features: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    ranks: int = CMC_RANKS,
    tile: int = TILE,
    kept_bytes: int = KEPT_BYTES,
    threads: int | None = None,
) -> Retrieval:
    """Evaluate inner products of features without storing the whole score matrix.

    Args:
        q_features: (Q, D).
        g_features: (G, D); may be memory-mapped; half precision is converted tile by tile.
        q_pids, q_camids: (Q,) integers.
        g_pids, g_camids: (G,) integers.
        rule: Camera rule.
        merge_identities: True for SYSU-MM01 and LLCM, False for RegDB and faces.
        ranks: Length of the CMC.
        tile: Gallery images per tile.
        kept_bytes: Budget for scores cached between the passes; does not affect the result.
        threads: Number of threads for sorting; None uses one per core. NumPy threads the product itself.

    Raises:
        UsageError: Shapes do not match, or a score is not finite.
        DataError: No query has a legal match.
    """
    fits = q_features.ndim == g_features.ndim == 2 and q_features.shape[1:] == g_features.shape[1:]
    labels = ((q_features, q_pids, q_camids), (g_features, g_pids, g_camids))
    if not fits or any(len({len(column) for column in side}) != 1 for side in labels):
        raise UsageError(
            f"features {q_features.shape} and {g_features.shape} with {len(q_pids)} query pids, "
            f"{len(q_camids)} query camids, {len(g_pids)} gallery pids, {len(g_camids)} gallery camids "
            "do not fit each other."
        )
    if len(q_pids) == 0 or len(g_pids) == 0:
        raise UsageError(f"nothing to evaluate: {len(q_pids)} queries, {len(g_pids)} gallery images.")
    # at least float32: a half-precision product would create ties
    kind = np.result_type(q_features, g_features, np.float32)
    queries = np.ascontiguousarray(q_features, dtype=kind)

    def product(positions: np.ndarray) -> np.ndarray:
        """Compute the scores (Q, n) of gallery positions."""
        return queries @ np.asarray(g_features[positions], dtype=kind).T  # (Q, n)

    plan = plan_ranks(
        q_pids, g_pids, q_camids, g_camids, rule=rule, merge_identities=merge_identities, tile=tile
    )
    return result_of(plan, rank_stream(plan, product, kept_bytes=kept_bytes, threads=threads), ranks)


def rank_stream(
    plan: RankPlan, product: Product, *, kept_bytes: int = KEPT_BYTES, threads: int | None = None
) -> Ranks:
    """Compute the ranks of all matches from ``product``, one tile of scores at a time.

    Args:
        plan: Labels of the queries and of the gallery.
        product: Function that computes scores; called once per tile, at most twice for tiles with matches.
        kept_bytes: Budget for scores cached between the passes.
        threads: Number of threads; None uses one per core.

    Raises:
        UsageError: A score is not finite.
    """
    values, kept = _first_pass(plan, product, kept_bytes)
    tally = Tally(plan, values)
    for number, tile in enumerate(plan.tiles):
        scores = kept.pop(number, None)
        if scores is None:
            scores = product(plan.order[tile.start : tile.stop])  # (Q, width)
            if number < plan.relevant_tiles:
                # a second product may round differently: restore the scores of the first pass
                here = np.flatnonzero((plan.columns >= tile.start) & (plan.columns < tile.stop))
                scores[tally.row[here], plan.columns[here] - tile.start] = values[here]
        _add_tile(tally, number, scores, threads)
    return tally.finish()


def _first_pass(
    plan: RankPlan, product: Product, kept_bytes: int
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return the scores of all matches (M,) and the tiles of scores that fit the budget."""
    row = np.repeat(np.arange(plan.queries), np.diff(plan.offsets))
    values = np.empty(0, dtype=np.float32)
    kept: dict[int, np.ndarray] = {}
    for number, tile in enumerate(plan.tiles[: plan.relevant_tiles]):
        scores = product(plan.order[tile.start : tile.stop])  # (Q, width)
        if len(values) == 0:
            values = np.empty(len(plan.columns), dtype=scores.dtype)
        here = np.flatnonzero((plan.columns >= tile.start) & (plan.columns < tile.stop))
        values[here] = scores[row[here], plan.columns[here] - tile.start]
        if scores.nbytes <= kept_bytes:
            kept[number] = scores
            kept_bytes -= scores.nbytes
    return values, kept


def _add_tile(tally: Tally, number: int, scores: np.ndarray, threads: int | None) -> None:
    """Count the better images of one tile for all queries, in blocks on several threads."""

    def count(first: int, last: int) -> None:
        """Count the ranks of some queries in this tile."""
        tally.add(number, first, scores[first:last])

    step = max(1, BLOCK_BYTES // (scores.shape[1] * scores.itemsize))
    for_each_block(len(scores), step, count, threads)
