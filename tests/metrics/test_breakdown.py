"""Metrics by camera pair and by identity against evaluations of subsets."""

import numpy as np
import pytest

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.metrics.breakdown import by_camera_pair, by_label
from vireid_cli.metrics.retrieval import evaluate_trials

RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((30, 48))
Q_PIDS, U_PIDS = RNG.integers(0, 5, 30), np.repeat(np.arange(6), 8)
Q_CAMIDS, U_CAMIDS = RNG.choice([3, 6], 30), np.tile([1, 2, 4, 5], 12)
GALLERIES = [np.arange(48), np.arange(0, 48, 3)]
LABELS = (Q_PIDS, U_PIDS, Q_CAMIDS, U_CAMIDS)


def test_camera_pairs_are_evaluations_of_subsets() -> None:
    groups = by_camera_pair(SCORES, GALLERIES[:1], *LABELS, rule="sysu", merge_identities=True)
    # the camera rule excludes the pair 3 → 2
    assert [group.key for group in groups] == [(3, 1), (3, 4), (3, 5), (6, 1), (6, 2), (6, 4), (6, 5)]
    for group in groups:
        q, g = group.key[0] == Q_CAMIDS, group.key[1] == U_CAMIDS
        cmc, precision, penalty = evaluate_by_loop(
            -SCORES[q][:, g],
            Q_PIDS[q],
            U_PIDS[g],
            Q_CAMIDS[q],
            U_CAMIDS[g],
            rule="sysu",
            merge_identities=True,
        )
        assert (group.rank1, group.mAP, group.mINP) == pytest.approx((cmc[0], precision, penalty), abs=1e-12)


def test_weighted_mean_over_identities_equals_total() -> None:
    trials = evaluate_trials(SCORES, GALLERIES, *LABELS, rule="sysu", merge_identities=True)
    groups = by_label([Q_PIDS] * 2, trials.results)
    assert [group.key for group in groups] == [(0,), (1,), (2,), (3,), (4,)]
    weights = [group.queries for group in groups]
    pooled = np.average([group.mAP for group in groups], weights=weights)
    values = np.concatenate([r.average_precision[r.valid_mask] for r in trials])
    assert pooled == pytest.approx(values.mean(), abs=1e-12)
    assert sum(weights) == len(values)
