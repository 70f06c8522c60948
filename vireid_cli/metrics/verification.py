"""Verification rate at a false acceptance rate, and Rank-1: the metrics of face benchmarks.

A pair is accepted when its score is at least t. FAR(t) is the share of impostor pairs accepted, VR(t)
the share of genuine ones. VR@FAR=f is VR at the smallest threshold whose FAR does not exceed f; nothing
is interpolated between operating points. Closed form: k = floor(f · impostors), s the (k+1)-th largest
impostor score, VR the share of genuine scores strictly above s.

Public code on faces has another reading, ``nearest`` (docs/methods.md#faces): the largest VR at the FAR
nearest to f, of two as near the larger one. It may exceed f: s and its equals are let in where that is as
near or nearer. Ours looks at every threshold, that code at the corners of scikit-learn's curve only,
which can be a few genuine pairs away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from vireid_cli.errors import DataError, UsageError

FarReading = Literal["not-exceeded", "nearest"]
"""Which operating point a target false acceptance rate means."""

FAR_READINGS: dict[FarReading, str] = {
    "not-exceeded": "the smallest threshold whose FAR does not exceed the target",
    "nearest": "the threshold whose FAR is nearest to the target, which it may exceed",
}
"""The readings in words, for fingerprints."""

FACE_FARS = (0.01, 0.001)
"""The false acceptance rates that papers on Oulu-CASIA NIR-VIS and BUAA-VisNir report."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One point of a verification curve.

    Attributes:
        far: The target.
        rate: Share of genuine pairs accepted, in [0, 1].
        far_reached: Share of impostor pairs accepted there, at most ``far`` unless the nearest was asked for.
        threshold: The smallest observed score that is accepted; infinity where none may be.
    """

    far: float
    rate: float
    far_reached: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Verification:
    """Rank-1 and verification rates of Q queries against a gallery.

    Attributes:
        rank1: Share of the queries with a gallery image of their person whose best-scored gallery image
            (first in the gallery among equals) shows that person.
        points: One for each false acceptance rate.
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
        reading: Of a target.

    Raises:
        DataError: No genuine or no impostor pair, or a score that is not finite.
        UsageError: A target outside [0, 1].
    """
    if len(genuine) == 0 or len(impostor) == 0:
        raise DataError(
            f"verification needs both kinds of pairs: {len(genuine)} genuine, {len(impostor)} impostor."
        )
    if not (np.isfinite(genuine).all() and np.isfinite(impostor).all()):
        raise DataError("verification scores hold NaN or infinity.")
    return tuple(_point(genuine, impostor, far, reading) for far in fars)


def _point(genuine: np.ndarray, impostor: np.ndarray, far: float, reading: FarReading) -> OperatingPoint:
    if not 0.0 <= far <= 1.0:
        raise UsageError(f"a false acceptance rate lies in [0, 1]; {far} was asked for.")
    # in exact decimals: 0.29 · 100 is 28.999… in binary
    wanted = Fraction(str(far)) * len(impostor)
    limit = -np.inf
    if (allowed := int(wanted)) < len(impostor):
        place = len(impostor) - 1 - allowed
        limit = np.partition(impostor, place)[place]
        fewer, more = int((impostor > limit).sum()), int((impostor >= limit).sum())
        if reading == "nearest" and more - wanted <= wanted - fewer:
            limit = impostor[impostor < limit].max(initial=-np.inf)
    if limit == -np.inf:
        return OperatingPoint(far, 1.0, 1.0, float(min(genuine.min(), impostor.min())))
    accepted, let_in = genuine[genuine > limit], impostor[impostor > limit]
    threshold = min((float(part.min()) for part in (accepted, let_in) if len(part)), default=np.inf)
    return OperatingPoint(far, len(accepted) / len(genuine), len(let_in) / len(impostor), threshold)


def verify_scores(
    scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, fars: Sequence[float] = FACE_FARS
) -> Verification:
    """Evaluate every pair of a score matrix as genuine or impostor, and Rank-1.

    Args:
        scores: (Q, G), higher is more alike.
        q_pids: (Q,).
        g_pids: (G,).
        fars: Targets in [0, 1].

    Raises:
        UsageError: Shapes that do not fit.
        DataError: No genuine or no impostor pair, or a score that is not finite.
    """
    genuine, impostor, same = split_pairs(scores, q_pids, g_pids)
    points = operating_points(genuine, impostor, fars)
    valid = same.any(axis=1)
    # argmax takes the first of equal scores: gallery order
    right = g_pids[np.argmax(scores, axis=1)] == q_pids
    return Verification(float(right[valid].mean()), points, len(genuine), len(impostor), int(valid.sum()))


def split_pairs(
    scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of genuine and of impostor pairs, and which pairs are genuine, (Q, G) bool.

    Args:
        scores: (Q, G).
        q_pids: (Q,).
        g_pids: (G,).

    Raises:
        UsageError: Shapes that do not fit.
    """
    if scores.shape != (len(q_pids), len(g_pids)):
        raise UsageError(
            f"scores of shape {scores.shape} for {len(q_pids)} queries and {len(g_pids)} images."
        )
    same = q_pids[:, None] == g_pids
    return scores[same], scores[~same], same
