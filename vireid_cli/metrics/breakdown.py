"""Retrieval results broken down by camera pair and by identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.outcome import Retrieval
from vireid_cli.metrics.retrieval import evaluate_trials
from vireid_cli.metrics.rounded import RoundedScores


@dataclass(frozen=True, slots=True)
class Group:
    """Mean metrics of one group of valid queries, pooled over all trials.

    Attributes:
        key: (query camera, gallery camera) or (pid,).
        queries: Number of valid (query, trial) pairs.
        rank1, mAP, mINP: Mean values, in [0, 1].
    """

    key: tuple[int, ...]
    queries: int
    rank1: float
    mAP: float
    mINP: float


def by_label(labels: Sequence[np.ndarray], results: Sequence[Retrieval]) -> list[Group]:
    """Group the valid queries of all trials by a label, in ascending order of the labels.

    Args:
        labels: Per trial, (Q_t,) integers: pids or camera numbers of the queries.
        results: Results of the trials.
    """
    label = np.concatenate([values[r.valid_mask] for values, r in zip(labels, results, strict=True)])
    columns = [
        np.concatenate([r.first_rank[r.valid_mask] == 1 for r in results]).astype(np.float64),
        np.concatenate([r.average_precision[r.valid_mask] for r in results]),
        np.concatenate([r.inverse_negative_penalty[r.valid_mask] for r in results]),
    ]
    names, slot, count = np.unique(label, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(slot, column) / count for column in columns], axis=1)
    return [
        Group((int(name),), int(number), *map(float, row))
        for name, number, row in zip(names, count, means, strict=True)
    ]


def by_camera_pair(
    scores: np.ndarray | RoundedScores,
    galleries: Sequence[np.ndarray],
    q_pids: np.ndarray,
    u_pids: np.ndarray,
    q_camids: np.ndarray,
    u_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
) -> list[Group]:
    """Evaluate each gallery camera separately and group the results by the camera of the queries.

    Camera pairs without a legal match are omitted. Takes the arguments of ``evaluate_trials``.
    """
    pairs: list[Group] = []
    for camera in np.unique(np.concatenate([u_camids[columns] for columns in galleries])).tolist():
        restricted = [columns[u_camids[columns] == camera] for columns in galleries]
        restricted = [columns for columns in restricted if len(columns)]
        try:
            trials = evaluate_trials(
                scores,
                restricted,
                q_pids,
                u_pids,
                q_camids,
                u_camids,
                rule=rule,
                merge_identities=merge_identities,
            )
        except DataError:  # no query has a match under this camera
            continue
        groups = by_label([q_camids] * len(restricted), trials.results)
        pairs += [Group((g.key[0], camera), g.queries, g.rank1, g.mAP, g.mINP) for g in groups]
    return sorted(pairs, key=lambda group: group.key)
