"""CMC, mAP and mINP of a retrieval, from scores or distances, exact and without a loop over queries.

Definitions:

- A query is valid if it has at least one legal match; every mean runs over the valid queries only.
- CMC@k is the share of valid queries with the first match at rank k or better. If identities are merged
  (SYSU-MM01, LLCM), only the best image of an identity is ranked; RegDB and faces rank images.
- AP is the mean of i / rank_i over a query's matches; INP is matches / rank of the last match. Both
  always rank images, after the camera rule.
- Equal scores rank in gallery order (a stable sort, as in the official code of SYSU-MM01).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.metrics.blocks import BLOCK_BYTES, for_each_block
from vireid_cli.metrics.camera_rules import CameraRule, ignored
from vireid_cli.metrics.layout import RankPlan, plan_ranks
from vireid_cli.metrics.outcome import CMC_RANKS, Retrieval, Trials, result_of
from vireid_cli.metrics.ranking import Ranks, Tally, refuse_infinite
from vireid_cli.metrics.rounded import RoundedScores


def evaluate_scores(
    scores: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    ranks: int = CMC_RANKS,
    block_bytes: int = BLOCK_BYTES,
    threads: int | None = None,
) -> Retrieval:
    """Evaluate a score matrix, higher is better.

    Args:
        scores: (Q, G) finite, float32 or float64 (other types are converted); not modified.
        q_pids, q_camids: (Q,) integers.
        g_pids, g_camids: (G,) integers.
        rule: Camera rule.
        merge_identities: True for SYSU-MM01 and LLCM, False for RegDB and faces.
        ranks: Length of the CMC.
        block_bytes: Bytes of scores per thread and step; does not affect the result.
        threads: Number of threads; None uses one per core. Does not affect the result.

    Raises:
        UsageError: Shapes do not match, or a score is not finite.
        DataError: No query has a legal match.
    """
    _check_shapes(scores, q_pids, g_pids, q_camids, g_camids)
    plan = plan_ranks(q_pids, g_pids, q_camids, g_camids, rule=rule, merge_identities=merge_identities)
    return result_of(plan, rank_matrix(plan, scores, 1, block_bytes=block_bytes, threads=threads), ranks)


def evaluate_distances(
    distances: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    ranks: int = CMC_RANKS,
    block_bytes: int = BLOCK_BYTES,
    threads: int | None = None,
) -> Retrieval:
    """Evaluate a distance matrix (Q, G), lower is better; other arguments as in ``evaluate_scores``.

    Raises:
        UsageError: Shapes do not match, or a distance is not finite.
        DataError: No query has a legal match.
    """
    _check_shapes(distances, q_pids, g_pids, q_camids, g_camids)
    plan = plan_ranks(q_pids, g_pids, q_camids, g_camids, rule=rule, merge_identities=merge_identities)
    return result_of(plan, rank_matrix(plan, distances, -1, block_bytes=block_bytes, threads=threads), ranks)


def rank_matrix(
    plan: RankPlan,
    matrix: np.ndarray,
    sign: int,
    *,
    columns: np.ndarray | None = None,
    block_bytes: int = BLOCK_BYTES,
    threads: int | None = None,
) -> Ranks:
    """Compute the ranks of all matches in ``sign * matrix``.

    Args:
        plan: Labels of the queries and of the gallery.
        matrix: (Q, G), or (Q, U) if ``columns`` selects the gallery from a union of galleries.
        sign: 1 for scores, −1 for distances.
        columns: (G,) columns of ``matrix`` that form the gallery, in gallery order; None uses all.
        block_bytes: Bytes of scores per thread and step.
        threads: Number of threads; None uses one per core.

    Raises:
        UsageError: An entry is not finite.
    """
    return _count(plan, matrix, sign, columns, block_bytes=block_bytes, threads=threads).finish()


def _count(
    plan: RankPlan,
    matrix: np.ndarray,
    sign: int,
    columns: np.ndarray | None,
    margin: np.ndarray | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
    threads: int | None = None,
) -> Tally:
    """Count the better images of all matches; arguments as in ``rank_matrix`` and ``Tally``."""
    matrix = _floating(matrix)
    take = plan.order if columns is None else columns[plan.order]
    whole = plan.natural and columns is None
    row = np.repeat(np.arange(plan.queries), np.diff(plan.offsets))
    tally = Tally(plan, sign * matrix[row, take[plan.columns]], margin)

    def count(first: int, last: int) -> None:
        """Count the ranks of some queries."""
        for number, tile in enumerate(plan.tiles):
            if whole:
                block = matrix[first:last, tile.start : tile.stop].copy()
            else:
                block = np.take(matrix[first:last], take[tile.start : tile.stop], axis=1, mode="clip")
            tally.add(number, first, np.negative(block, out=block) if sign < 0 else block)

    width = max((tile.stop - tile.start for tile in plan.tiles), default=1)
    step = max(1, block_bytes // (width * matrix.itemsize))
    for_each_block(plan.queries, step, count, threads)
    return tally


def rank_rounded(
    plan: RankPlan,
    product: RoundedScores,
    *,
    columns: np.ndarray | None = None,
    block_bytes: int = BLOCK_BYTES,
    threads: int | None = None,
) -> Ranks:
    """Compute the ranks of all matches by exact inner products; arguments as in ``rank_matrix``.

    Queries with a score within the margin of a match are ranked a second time, by exact scores.

    Raises:
        UsageError: An entry is not finite.
    """
    tally = _count(plan, product.scores, 1, columns, product.margin, block_bytes=block_bytes, threads=threads)
    ranks = tally.finish()
    unsure = np.flatnonzero(tally.unsure)
    if not len(unsure):
        return ranks
    part = plan.of_queries(unsure)
    columns = np.arange(plan.gallery) if columns is None else columns
    exact = np.empty((part.queries, part.gallery))

    def fill(first: int, last: int) -> None:
        """Compute the scores of some queries."""
        some = slice(part.offsets[first], part.offsets[last])
        row = np.repeat(np.arange(last - first), np.diff(part.offsets[first : last + 1]))
        exact[first:last] = product.near_exact(
            unsure[first:last], columns, row, part.order[part.columns[some]]
        )

    most = int(np.diff(part.offsets).max())
    for_each_block(part.queries, max(1, block_bytes // (most * part.gallery)), fill, threads)
    return ranks.with_rows(unsure, rank_matrix(part, exact, 1, block_bytes=block_bytes, threads=threads))


def evaluate_trials(
    scores: np.ndarray | RoundedScores,
    galleries: Sequence[np.ndarray],
    q_pids: np.ndarray,
    u_pids: np.ndarray,
    q_camids: np.ndarray,
    u_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    threads: int | None = None,
) -> Trials:
    """Evaluate several galleries with one score matrix for their union.

    Args:
        scores: (Q, U) finite, higher is better; rounded scores rank as exact ones.
        galleries: Per trial, the columns of ``scores`` that form the gallery, in gallery order.
        q_pids, q_camids: (Q,) labels of the queries.
        u_pids, u_camids: (U,) labels of the union.
        rule: Camera rule.
        merge_identities: Whether the CMC counts identities.
        threads: Number of threads; None uses one per core.

    Raises:
        UsageError: Shapes do not match, or a score is not finite.
        DataError: No query of a trial has a legal match.
    """
    _check_shapes(scores, q_pids, u_pids, q_camids, u_camids)
    plan: RankPlan | None = None
    labels: tuple[np.ndarray, np.ndarray] | None = None
    results = []
    for columns in galleries:
        pids, camids = u_pids[columns], u_camids[columns]
        # trials usually differ in images, not in labels: reuse the plan
        if (
            plan is None
            or labels is None
            or not (np.array_equal(labels[0], pids) and np.array_equal(labels[1], camids))
        ):
            labels = (pids, camids)
            plan = plan_ranks(q_pids, pids, q_camids, camids, rule=rule, merge_identities=merge_identities)
        if isinstance(scores, RoundedScores):
            ranks = rank_rounded(plan, scores, columns=columns, threads=threads)
        else:
            ranks = rank_matrix(plan, scores, 1, columns=columns, threads=threads)
        results.append(result_of(plan, ranks))
    return Trials(tuple(results))


def top(
    scores: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    k: int = 10,
) -> np.ndarray:
    """Return each query's first k gallery positions under the camera rule, best first, ties in gallery order.

    Returns:
        (Q, k) int64; −1 if fewer than k gallery images remain for a query.

    Raises:
        UsageError: Shapes do not match, or a score is not finite.
    """
    _check_shapes(scores, q_pids, g_pids, q_camids, g_camids)
    scores = _floating(scores)
    positions = np.full((len(q_pids), k), -1, dtype=np.int64)

    def fill(first: int, last: int) -> None:
        """Fill in the first matches of some queries."""
        block = -scores[first:last]
        if not np.isfinite(block).all():
            refuse_infinite(block, first)
        mask = ignored(rule, q_pids[first:last, None], q_camids[first:last, None], g_pids, g_camids)
        if mask is not None:
            block[mask] = np.inf
        order = np.argsort(block, axis=1, kind="stable")[:, :k]  # (n, min(k, G))
        kept = np.isfinite(np.take_along_axis(block, order, axis=1))
        positions[first:last, : order.shape[1]] = np.where(kept, order, -1)

    for_each_block(len(q_pids), max(1, BLOCK_BYTES // max(1, len(g_pids) * scores.itemsize)), fill)
    return positions


def _floating(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix as float32 or float64; converts half precision to float32, integers to float64."""
    if matrix.dtype in (np.float32, np.float64):
        return matrix
    return matrix.astype(np.float32 if matrix.dtype == np.float16 else np.float64)


def _check_shapes(
    matrix: np.ndarray | RoundedScores,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
) -> None:
    """Raise if the labels do not match the matrix, or if queries or gallery are empty."""
    expected = (len(q_pids), len(g_pids))
    if matrix.shape != expected or len(q_camids) != expected[0] or len(g_camids) != expected[1]:
        raise UsageError(
            f"a matrix of shape {matrix.shape} does not fit {len(q_pids)} query pids, {len(q_camids)} query "
            f"camids, {len(g_pids)} gallery pids and {len(g_camids)} gallery camids.",
            "Rows must be queries, columns must be gallery images.",
        )
    if 0 in expected:
        raise UsageError(f"nothing to evaluate: {expected[0]} queries, {expected[1]} gallery images.")
