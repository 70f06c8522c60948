"""Evaluation with a loop over queries: the reference of the tests and the baseline of the benchmark.

The steps are those of common evaluators: one ``argsort`` of all distances, then for each query filter the
ranking, match, merge identities, and compute the precision at every rank. Unlike those, it sorts stably,
accepts rankings of any length, and excludes invalid queries from all means. Only tests and benchmarks use it,
because it is slow: a loop over the matches alone would be several times faster.
"""

from __future__ import annotations

import numpy as np

from vireid_cli.metrics.camera_rules import CameraRule, ignored


def evaluate_by_loop(
    distances: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    ranks: int = 20,
) -> tuple[np.ndarray, float, float]:
    """Compute CMC (ranks,), mAP and mINP in [0, 1], query by query.

    Args:
        distances: (Q, G).
        q_pids, q_camids: (Q,) labels of the queries.
        g_pids, g_camids: (G,) labels of the gallery.
        rule: Camera rule that excludes gallery images.
        merge_identities: Whether the CMC counts identities instead of images.
        ranks: Length of the CMC.

    Raises:
        ValueError: No query has a valid match.
    """
    order = np.argsort(distances, axis=1, kind="stable")
    hits, precisions, penalties = [], [], []
    for query in range(len(q_pids)):
        ranked = order[query]
        excluded = ignored(rule, q_pids[query], q_camids[query], g_pids[ranked], g_camids[ranked])
        if excluded is not None:
            ranked = ranked[~excluded]
        match = g_pids[ranked] == q_pids[query]
        if not match.any():
            continue
        matches = match.cumsum()
        precision = [count / (place + 1.0) for place, count in enumerate(matches)]
        precisions.append((np.asarray(precision) * match).sum() / match.sum())
        last = np.flatnonzero(match).max()
        penalties.append(matches[last] / (last + 1.0))
        if merge_identities:
            first_places = np.unique(g_pids[ranked], return_index=True)[1]
            match = g_pids[ranked][sorted(first_places)] == q_pids[query]
        hit = np.zeros(ranks)
        hit[int(np.flatnonzero(match)[0]) :] = 1.0
        hits.append(hit)
    if not hits:
        raise ValueError("no query has a valid match")
    return np.mean(hits, axis=0), float(np.mean(precisions)), float(np.mean(penalties))
