"""A plain loop over queries: the reference for tests and the baseline of the benchmark.

It takes the steps that the field's evaluators take (one ``argsort`` of everything, then for each query
the whole ranking is filtered, matched, merged by identity, and the precision computed at every rank),
with their faults put right: a stable sort, rankings of any length, invalid queries left out of every
mean. Nothing else may use it: it is slow by design, and a loop that touched the matches only would be
several times faster.
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
    """Compute CMC (ranks,), mAP and mINP of distances (Q, G) query by query.

    Raises:
        ValueError: No query has a legal match.
    """
    order = np.argsort(distances, axis=1, kind="stable")
    hits, precisions, penalties = [], [], []
    for query in range(len(q_pids)):
        ranked = order[query]
        drop = ignored(rule, q_pids[query], q_camids[query], g_pids[ranked], g_camids[ranked])
        if drop is not None:
            ranked = ranked[~drop]
        match = g_pids[ranked] == q_pids[query]
        if not match.any():
            continue
        so_far = match.cumsum()
        precision = [found / (place + 1.0) for place, found in enumerate(so_far)]
        precisions.append((np.asarray(precision) * match).sum() / match.sum())
        last = np.flatnonzero(match).max()
        penalties.append(so_far[last] / (last + 1.0))
        if merge_identities:
            first_places = np.unique(g_pids[ranked], return_index=True)[1]
            match = g_pids[ranked][sorted(first_places)] == q_pids[query]
        hit = np.zeros(ranks)
        hit[int(np.flatnonzero(match)[0]) :] = 1.0
        hits.append(hit)
    if not hits:
        raise ValueError("no query has a legal match")
    return np.mean(hits, axis=0), float(np.mean(precisions)), float(np.mean(penalties))
