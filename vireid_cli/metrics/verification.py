"""Verification rate at a false acceptance rate, and Rank-1: the metrics of face benchmarks.

A pair is accepted if its score is at least t. FAR(t) is the share of accepted impostor pairs, VR(t) the
share of accepted genuine pairs. VR@FAR=f is VR at the smallest threshold at which FAR does not exceed f,
without interpolation between operating points. Closed form: with k = floor(f · impostors) and the (k+1)-th
largest impostor score s, VR is the share of genuine scores strictly above s.

Public code on faces uses another definition, ``nearest`` (docs/methods.md#faces): the largest VR at the
FAR nearest to f, and the larger FAR of two equally near ones. This FAR may exceed f: pairs with score s are
accepted if that is at least as near. This module searches all thresholds; that code searches only the
corners of scikit-learn's curve, which can differ by a few genuine pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from vireid_cli.errors import DataError, UsageError

FarReading = Literal["not-exceeded", "nearest"]
"""Definition of the operating point of a target false acceptance rate."""

FAR_READINGS: dict[FarReading, str] = {
    "not-exceeded": "the smallest threshold whose FAR does not exceed the target",
    "nearest": "the threshold whose FAR is nearest to the target, which it may exceed",
}
"""Descriptions of the definitions, stored in fingerprints."""

FACE_FARS = (0.01, 0.001)
"""False acceptance rates reported by papers on Oulu-CASIA NIR-VIS and BUAA-VisNir."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One point of a verification curve.

    Attributes:
        far: Target false acceptance rate.
        rate: Share of accepted genuine pairs, in [0, 1].
        far_reached: Share of accepted impostor pairs, at most ``far`` unless the definition is ``nearest``.
        threshold: Smallest accepted observed score; infinity if no pair is accepted.
    """

    far: float
    rate: float
    far_reached: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Verification:
    """Rank-1 and verification rates of Q queries against a gallery.

    Attributes:
        rank1: Share of the valid queries for which the gallery image with the highest score (the first
            among equals) shows the query's person.
        points: Operating points, one per false acceptance rate.
        genuine, impostor: Numbers of pairs.
        valid: Number of queries with a gallery image of their person.
    """

    rank1: float
    points: tuple[OperatingPoint, ...]
    genuine: int
    impostor: int
    valid: int


def operating_points(
    genuine: np.ndarray,
    impostor: np.ndarray,
    fars: Sequence[float] = FACE_FARS,
    reading: FarReading = "not-exceeded",
) -> tuple[OperatingPoint, ...]:
    """Compute the verification rate at each false acceptance rate.

    Args:
        genuine: (n,) scores of pairs of one person, higher is more alike.
        impostor: (m,) scores of pairs of two persons.
        fars: Targets in [0, 1].
        reading: Definition of the operating point.

    Raises:
        DataError: No genuine or no impostor pair, or a score is not finite.
        UsageError: A target outside [0, 1].
    """
    if len(genuine) == 0 or len(impostor) == 0:
        raise DataError(
            f"genuine and impostor pairs are needed: {len(genuine)} genuine, {len(impostor)} impostor."
        )
    if not (np.isfinite(genuine).all() and np.isfinite(impostor).all()):
        raise DataError("verification scores contain NaN or infinity.")
    return tuple(_point(genuine, impostor, far, reading) for far in fars)


def _point(genuine: np.ndarray, impostor: np.ndarray, far: float, reading: FarReading) -> OperatingPoint:
    if not 0.0 <= far <= 1.0:
        raise UsageError(f"false acceptance rate {far} is outside [0, 1].")
    # exact decimal arithmetic: 0.29 · 100 is 28.999… in binary
    target = Fraction(str(far)) * len(impostor)
    limit = -np.inf
    if (allowed := int(target)) < len(impostor):
        place = len(impostor) - 1 - allowed
        limit = np.partition(impostor, place)[place]
        fewer, more = int((impostor > limit).sum()), int((impostor >= limit).sum())
        if reading == "nearest" and more - target <= target - fewer:
            limit = impostor[impostor < limit].max(initial=-np.inf)
    if limit == -np.inf:
        return OperatingPoint(far, 1.0, 1.0, float(min(genuine.min(), impostor.min())))
    accepted, false_accepts = genuine[genuine > limit], impostor[impostor > limit]
    threshold = min((float(part.min()) for part in (accepted, false_accepts) if len(part)), default=np.inf)
    return OperatingPoint(far, len(accepted) / len(genuine), len(false_accepts) / len(impostor), threshold)


def verify_scores(
    scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, fars: Sequence[float] = FACE_FARS
) -> Verification:
    """Compute verification rates over all pairs of a score matrix, and Rank-1.

    Args:
        scores: (Q, G), higher is more alike.
        q_pids: (Q,) integers.
        g_pids: (G,) integers.
        fars: Targets in [0, 1].

    Raises:
        UsageError: Shapes do not match.
        DataError: No genuine or no impostor pair, or a score is not finite.
    """
    genuine, impostor, same = split_pairs(scores, q_pids, g_pids)
    points = operating_points(genuine, impostor, fars)
    valid = same.any(axis=1)
    # argmax returns the first of equal scores: gallery order
    right = g_pids[np.argmax(scores, axis=1)] == q_pids
    return Verification(float(right[valid].mean()), points, len(genuine), len(impostor), int(valid.sum()))


def split_pairs(
    scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a score matrix into genuine and impostor scores; the third result marks genuine pairs, (Q, G).

    Args:
        scores: (Q, G).
        q_pids: (Q,) integers.
        g_pids: (G,) integers.

    Raises:
        UsageError: Shapes do not match.
    """
    if scores.shape != (len(q_pids), len(g_pids)):
        raise UsageError(
            f"scores of shape {scores.shape} do not match {len(q_pids)} queries and {len(g_pids)} images."
        )
    same = q_pids[:, None] == g_pids
    return scores[same], scores[~same], same
