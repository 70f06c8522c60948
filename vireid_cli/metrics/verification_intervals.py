"""How sure a verification rate is: people drawn again, thresholds set anew in every draw.

A pair's weight is how often its query's person was drawn; the gallery stays as it is. In each replicate the
threshold is the one that the weighted impostor pairs give, by the same definition as for the rate itself
(``verification.py``), so the interval covers its uncertainty too. Nothing loops over pairs, people or
replicates: scores become ranks once, and all replicates search their thresholds together by bisection.
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
    refuse_others,
    sign_flips,
)
from vireid_cli.metrics.verification import FarReading, operating_points, split_pairs

_BLOCK = 500
"""Replicates at once: (500, P) look-ups."""

_KEPT = 8
"""Impostor scores looked at, as a multiple of those that the largest rate lets in."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """The scored pairs of one trial: n genuine, m impostor ones.

    Attributes:
        genuine, impostor: (n,) and (m,) scores, higher is more alike.
        genuine_pids, impostor_pids: (n,) and (m,) the query's person.
    """

    genuine: np.ndarray
    impostor: np.ndarray
    genuine_pids: np.ndarray
    impostor_pids: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray) -> PairScores:
        """Take a score matrix (Q, G) apart."""
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
        trials: Scored pairs of each trial; the rate is their mean.
        fars: Targets in [0, 1].
        reading: Of a target.
        replicates: Number of draws.
        level: Of the interval.
        seed: Of the draws.

    Returns:
        (low, high) for each target.
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

    The interval is a paired bootstrap over people. The p-value is that of a sign-flip permutation test over
    people at the two thresholds as measured: scores of two networks have no common scale, so only whether a
    genuine pair is accepted may be exchanged, not its score.

    Raises:
        UsageError: The two are not of the same people and pairs.
    """
    names = tuple(f"{far:g}" for far in fars)
    ours, theirs = (_accepted(side, fars, names, reading) for side in (one, other))
    refuse_others(ours, theirs)
    refuse_others(_impostors(one), _impostors(other))
    drawn = _replicates(one, fars, reading, replicates, seed)
    drawn -= _replicates(other, fars, reading, replicates, seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = ours.mean() - theirs.mean()
    p_values = sign_flips(ours, theirs, replicates, seed)
    return [
        PairedDifference(float(mean[i]), float(low[i]), float(high[i]), float(p_values[i]))
        for i in range(len(names))
    ]


def _accepted(
    trials: Sequence[PairScores], fars: Sequence[float], names: tuple[str, ...], reading: FarReading
) -> PersonSums:
    """Genuine pairs of each person, and how many of them are accepted at each target."""
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
    """Impostor pairs of each person."""
    people = np.unique(np.concatenate([trial.impostor_pids for trial in trials]))
    slots = [np.searchsorted(people, trial.impostor_pids) for trial in trials]
    counts = np.stack([np.bincount(slot, minlength=len(people)) for slot in slots])
    return PersonSums(people, (), np.zeros((*counts.shape, 0)), counts)


def _replicates(
    trials: Sequence[PairScores], fars: Sequence[float], reading: FarReading, replicates: int, seed: int
) -> np.ndarray:
    """Mean rate over the trials in each replicate at each target, (B, F); all sides draw the same people."""
    random = np.random.default_rng(seed)
    people = np.unique(np.concatenate([pids for t in trials for pids in (t.genuine_pids, t.impostor_pids)]))
    ranked = [_Ranked(trial, people, fars) for trial in trials]
    size, found = len(people), np.empty((replicates, len(fars)))
    for first in range(0, replicates, _BLOCK):
        number = min(_BLOCK, replicates - first)
        weights = random.multinomial(size, np.full(size, 1 / size), number)  # (b, P)
        rates = np.stack([trial.rates(weights, fars, reading) for trial in ranked])  # (T, b, F)
        # a draw may hold no genuine pair of a trial: that trial leaves its mean
        held = ~np.isnan(rates)
        total = np.where(held, rates, 0.0).sum(axis=0)
        found[first : first + number] = total / np.maximum(held.sum(axis=0), 1)
    return found


class _Ranked:
    """A trial's pairs by person, scores as ranks among the distinct impostor scores that can be a limit.

    Args:
        trial: The pairs.
        people: (P,) ascending, of all trials.
        fars: Targets; the largest says how many impostor scores matter.
    """

    def __init__(self, trial: PairScores, people: np.ndarray, fars: Sequence[float]) -> None:
        self._trial, self._people = trial, people
        slot = np.searchsorted(people, trial.impostor_pids)
        self.impostors = np.bincount(slot, minlength=len(people))
        self.genuine = np.bincount(np.searchsorted(people, trial.genuine_pids), minlength=len(people))
        self._keep(min(len(slot), _KEPT * (1 + int(max(fars) * len(slot)))))

    def _keep(self, number: int) -> None:
        """Rank the ``number`` largest impostor scores; lower ones can't be told apart."""
        trial, people = self._trial, self._people
        place = len(trial.impostor) - number
        floor = np.partition(trial.impostor, place)[place]
        kept = trial.impostor >= floor
        self.all_kept = bool(kept.all())
        distinct, ranks = np.unique(trial.impostor[kept], return_inverse=True)
        self._levels = len(distinct)
        self._impostor = _Counts(np.searchsorted(people, trial.impostor_pids[kept]), ranks, len(people))
        # a genuine score is above the limit of rank r where more than r distinct scores are below it
        below = np.searchsorted(distinct, trial.genuine, side="left")
        self._genuine = _Counts(np.searchsorted(people, trial.genuine_pids), below, len(people))

    def rates(self, weights: np.ndarray, fars: Sequence[float], reading: FarReading) -> np.ndarray:
        """Rates (b, F) under weights (b, P); NaN where a draw holds no genuine pair."""
        pairs, genuine = weights @ self.impostors, weights @ self.genuine
        found = np.empty((len(weights), len(fars)))
        for column, far in enumerate(fars):
            share = Fraction(str(far))
            allowed = pairs * share.numerator // share.denominator
            limits = self._limits(weights, allowed)  # first: it may rank the scores anew
            if reading == "nearest":
                allowed, limits = self._nearest(weights, pairs, share, limits)
            accepted = self._genuine.above(weights, limits)
            accepted = np.where(allowed >= pairs, genuine, accepted)
            found[:, column] = np.where(genuine > 0, accepted / np.maximum(genuine, 1), np.nan)
        return found

    def _nearest(
        self, weights: np.ndarray, pairs: np.ndarray, share: Fraction, limits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(b,) impostor pairs let in, and limits, where the share let in is nearest to the target.

        Args:
            weights: (b, P).
            pairs: (b,) weighted impostor pairs.
            share: The target.
            limits: (b,) as of ``_limits`` for the pairs that the target allows.
        """
        fewer = self._impostor.above(weights, limits)
        more = self._impostor.above(weights, limits - 1)  # and all that equal the limit
        further = 2 * share.numerator * pairs >= share.denominator * (fewer + more)
        allowed = np.where(further, more, fewer)
        kept, again = self.all_kept, self._limits(weights, allowed)
        if self.all_kept == kept:
            return allowed, again
        # ranked anew: what was counted may have lacked the scores left out
        first = self._limits(weights, pairs * share.numerator // share.denominator)
        return self._nearest(weights, pairs, share, first)

    def _limits(self, weights: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """(b,) smallest rank above which at most ``allowed`` weighted impostor pairs lie."""
        lowest = np.full(len(weights), -1)
        if not self.all_kept and (self._impostor.above(weights, lowest) <= allowed).any():
            # a draw of people with few high scores: its limit lies among the scores left out
            self._keep(len(self._trial.impostor))
        low, high = np.zeros(len(weights), np.int64), np.full(len(weights), self._levels - 1)
        while (low < high).any():
            middle = (low + high) // 2
            enough = self._impostor.above(weights, middle) <= allowed
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        return low


class _Counts:
    """Counts each person's ranks above a limit.

    Args:
        slots: (n,) person, from 0.
        ranks: (n,) from 0.
        people: Number of people.
    """

    def __init__(self, slots: np.ndarray, ranks: np.ndarray, people: int) -> None:
        self._stride = int(ranks.max(initial=0)) + 2
        self._keys = np.sort(slots * self._stride + ranks)
        self._base = np.arange(people) * self._stride
        self._ends = np.searchsorted(self._keys, self._base + self._stride - 1, side="right")

    def above(self, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Weighted number (b,) of ranks above each draw's limit."""
        capped = np.minimum(limits, self._stride - 2)[:, None]
        counted = self._ends - np.searchsorted(self._keys, self._base + capped, side="right")  # (b, P)
        return (weights * counted).sum(axis=1)
