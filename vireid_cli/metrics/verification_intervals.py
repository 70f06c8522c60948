"""Bootstrap intervals of verification rates: people are resampled, thresholds recomputed in every draw.

A pair's weight is the number of times its query's person was drawn; the gallery stays unchanged. Each
replicate computes its threshold from the weighted impostor pairs, by the same definition as for the rate
itself (``verification.py``), so the interval includes the uncertainty of the threshold. No loop runs over
pairs, people or replicates: scores are ranked once, and all replicates bisect their thresholds together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vireid_cli.metrics.bootstrap import (
    LEVEL,
    REPLICATES,
    PairedDifference,
    PersonSums,
    require_same_queries,
    sign_flips,
)
from vireid_cli.metrics.verification import FarReading, operating_points, split_pairs

_BLOCK = 500
"""Replicates computed at once: (500, P) look-ups."""

_KEPT = 8
"""Ranked impostor scores, as a multiple of the number accepted at the largest target."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """Scored pairs of one trial: n genuine and m impostor pairs.

    Attributes:
        genuine, impostor: (n,) and (m,) scores, higher is more alike.
        genuine_pids, impostor_pids: (n,) and (m,) identity labels of the queries.
    """

    genuine: np.ndarray
    impostor: np.ndarray
    genuine_pids: np.ndarray
    impostor_pids: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray) -> PairScores:
        """Split a score matrix (Q, G) into genuine and impostor pairs."""
        genuine, impostor, same = split_pairs(scores, q_pids, g_pids)
        each = np.broadcast_to(q_pids[:, None], same.shape)
        return cls(genuine, impostor, each[same], each[~same])


def rate_intervals(
    trials: Sequence[PairScores],
    fars: Sequence[float],
    *,
    reading: FarReading = "not-exceeded",
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Compute the percentile bootstrap interval of the verification rate at each false acceptance rate.

    Args:
        trials: Scored pairs of each trial; the rate is the mean over trials.
        fars: Targets in [0, 1].
        reading: Definition of the operating point.
        replicates: Number of draws.
        level: Coverage of the interval, in (0, 1).
        seed: Seed of the draws.

    Returns:
        (low, high) per target.
    """
    drawn = _replicates(trials, fars, reading, replicates, seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def paired_rates(
    one: Sequence[PairScores],
    other: Sequence[PairScores],
    fars: Sequence[float],
    *,
    reading: FarReading = "not-exceeded",
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[PairedDifference]:
    """Compare the verification rates of two evaluations of the same pairs, at each false acceptance rate.

    The interval is a paired bootstrap over people. The p-value comes from a sign-flip permutation test over
    people at the two measured thresholds: scores of two networks have no common scale, so the test exchanges
    the acceptance of genuine pairs, not their scores.

    Raises:
        UsageError: The evaluations differ in people or pairs.
    """
    names = tuple(f"{far:g}" for far in fars)
    first, second = (_accepted(side, fars, names, reading) for side in (one, other))
    require_same_queries(first, second)
    require_same_queries(_impostors(one), _impostors(other))
    drawn = _replicates(one, fars, reading, replicates, seed)
    drawn -= _replicates(other, fars, reading, replicates, seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = first.mean() - second.mean()
    p_values = sign_flips(first, second, replicates, seed)
    return [
        PairedDifference(float(mean[i]), float(low[i]), float(high[i]), float(p_values[i]))
        for i in range(len(names))
    ]


def _accepted(
    trials: Sequence[PairScores], fars: Sequence[float], names: tuple[str, ...], reading: FarReading
) -> PersonSums:
    """Count each person's genuine pairs, and the accepted ones at each target."""
    people = np.unique(np.concatenate([trial.genuine_pids for trial in trials]))
    sums = np.zeros((len(trials), len(people), len(fars)))
    counts = np.zeros((len(trials), len(people)))
    for number, trial in enumerate(trials):
        slot = np.searchsorted(people, trial.genuine_pids)
        counts[number] = np.bincount(slot, minlength=len(people))
        for column, point in enumerate(operating_points(trial.genuine, trial.impostor, fars, reading)):
            accepted = trial.genuine >= point.threshold
            sums[number, :, column] = np.bincount(slot[accepted], minlength=len(people))
    return PersonSums(people, names, sums, counts)


def _impostors(trials: Sequence[PairScores]) -> PersonSums:
    """Count each person's impostor pairs."""
    people = np.unique(np.concatenate([trial.impostor_pids for trial in trials]))
    slots = [np.searchsorted(people, trial.impostor_pids) for trial in trials]
    counts = np.stack([np.bincount(slot, minlength=len(people)) for slot in slots])
    return PersonSums(people, (), np.zeros((*counts.shape, 0)), counts)


def _replicates(
    trials: Sequence[PairScores], fars: Sequence[float], reading: FarReading, replicates: int, seed: int
) -> np.ndarray:
    """Compute the mean rate over trials per replicate and target, (B, F); the seed fixes the draws."""
    random = np.random.default_rng(seed)
    people = np.unique(np.concatenate([pids for t in trials for pids in (t.genuine_pids, t.impostor_pids)]))
    ranked = [_Ranked(trial, people, fars) for trial in trials]
    size, values = len(people), np.empty((replicates, len(fars)))
    for first in range(0, replicates, _BLOCK):
        number = min(_BLOCK, replicates - first)
        weights = random.multinomial(size, np.full(size, 1 / size), number)  # (b, P)
        rates = np.stack([trial.rates(weights, fars, reading) for trial in ranked])  # (T, b, F)
        # a draw without genuine pairs in a trial: the trial does not enter the mean
        present = ~np.isnan(rates)
        total = np.where(present, rates, 0.0).sum(axis=0)
        values[first : first + number] = total / np.maximum(present.sum(axis=0), 1)
    return values


class _Ranked:
    """A trial's pairs by person, with scores as ranks among the distinct impostor scores.

    Only impostor scores that can become a threshold are ranked.

    Args:
        trial: Scored pairs.
        people: (P,) identity labels of all trials, ascending.
        fars: Targets; the largest determines the number of ranked impostor scores.
    """

    def __init__(self, trial: PairScores, people: np.ndarray, fars: Sequence[float]) -> None:
        self._trial, self._people = trial, people
        slot = np.searchsorted(people, trial.impostor_pids)
        self.impostors = np.bincount(slot, minlength=len(people))
        self.genuine = np.bincount(np.searchsorted(people, trial.genuine_pids), minlength=len(people))
        self._keep(min(len(slot), _KEPT * (1 + int(max(fars) * len(slot)))))

    def _keep(self, number: int) -> None:
        """Rank the ``number`` largest impostor scores; lower scores share one rank."""
        trial, people = self._trial, self._people
        place = len(trial.impostor) - number
        floor = np.partition(trial.impostor, place)[place]
        kept = trial.impostor >= floor
        self.all_kept = bool(kept.all())
        distinct, ranks = np.unique(trial.impostor[kept], return_inverse=True)
        self._levels = len(distinct)
        self._impostor = _Counts(np.searchsorted(people, trial.impostor_pids[kept]), ranks, len(people))
        # a genuine score exceeds the limit of rank r if more than r distinct scores are below it
        below = np.searchsorted(distinct, trial.genuine, side="left")
        self._genuine = _Counts(np.searchsorted(people, trial.genuine_pids), below, len(people))

    def rates(self, weights: np.ndarray, fars: Sequence[float], reading: FarReading) -> np.ndarray:
        """Compute rates (b, F) under weights (b, P); NaN for draws without a genuine pair."""
        pairs, genuine = weights @ self.impostors, weights @ self.genuine
        rates = np.empty((len(weights), len(fars)))
        for column, far in enumerate(fars):
            share = Fraction(str(far))
            allowed = pairs * share.numerator // share.denominator
            limits = self._limits(weights, allowed)  # first, because it may rank the scores again
            if reading == "nearest":
                allowed, limits = self._nearest(weights, pairs, share, limits)
            accepted = self._genuine.above(weights, limits)
            accepted = np.where(allowed >= pairs, genuine, accepted)
            rates[:, column] = np.where(genuine > 0, accepted / np.maximum(genuine, 1), np.nan)
        return rates

    def _nearest(
        self, weights: np.ndarray, pairs: np.ndarray, share: Fraction, limits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute accepted impostor pairs (b,) and limits (b,) at the FAR nearest to the target.

        Args:
            weights: (b, P) number of times each person was drawn.
            pairs: (b,) weighted impostor pairs.
            share: Target false acceptance rate.
            limits: (b,) result of ``_limits`` for the pairs that the target allows.
        """
        fewer = self._impostor.above(weights, limits)
        more = self._impostor.above(weights, limits - 1)  # including scores equal to the limit
        further = 2 * share.numerator * pairs >= share.denominator * (fewer + more)
        allowed = np.where(further, more, fewer)
        kept, updated = self.all_kept, self._limits(weights, allowed)
        if self.all_kept == kept:
            return allowed, updated
        # _limits ranked all scores: the earlier counts may have missed some
        first = self._limits(weights, pairs * share.numerator // share.denominator)
        return self._nearest(weights, pairs, share, first)

    def _limits(self, weights: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """Compute the smallest rank (b,) with at most ``allowed`` weighted impostor pairs above it."""
        lowest = np.full(len(weights), -1)
        if not self.all_kept and (self._impostor.above(weights, lowest) <= allowed).any():
            # a draw of people with few high scores: its limit is below the ranked scores
            self._keep(len(self._trial.impostor))
        low, high = np.zeros(len(weights), np.int64), np.full(len(weights), self._levels - 1)
        while (low < high).any():
            middle = (low + high) // 2
            enough = self._impostor.above(weights, middle) <= allowed
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        return low


class _Counts:
    """Weighted counter of the ranks above a limit.

    Args:
        slots: (n,) person indices, from 0.
        ranks: (n,) ranks, from 0.
        people: Number of people.
    """

    def __init__(self, slots: np.ndarray, ranks: np.ndarray, people: int) -> None:
        self._stride = int(ranks.max(initial=0)) + 2
        self._keys = np.sort(slots * self._stride + ranks)
        self._base = np.arange(people) * self._stride
        self._ends = np.searchsorted(self._keys, self._base + self._stride - 1, side="right")

    def above(self, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Compute the weighted number of ranks above each draw's limit: (b,)."""
        capped = np.minimum(limits, self._stride - 2)[:, None]
        counted = self._ends - np.searchsorted(self._keys, self._base + capped, side="right")  # (b, P)
        return (weights * counted).sum(axis=1)
