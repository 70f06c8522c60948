"""From embeddings to trials: plain ranking, re-ranking, query expansion, verification, breakdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.metrics.bootstrap import PersonSums, sums_by_person
from vireid_cli.metrics.outcome import REPORTED_RANKS, Retrieval, Trials
from vireid_cli.metrics.rerank import EXPANSION, K1, K2, LAMBDA, gallery_mean, k_reciprocal
from vireid_cli.metrics.retrieval import evaluate_scores, top
from vireid_cli.metrics.verification import FarReading, operating_points
from vireid_cli.metrics.verification_intervals import PairScores
from vireid_cli.types import Embeddings

Rerank = Literal["none", "k-reciprocal", "gallery-mean"]
Flip = Literal["off", "mean_renorm", "sum"]

RERANKS: dict[Rerank, str] = {
    "none": "none",
    "k-reciprocal": f"k-reciprocal (k1 {K1}, k2 {K2}, lambda {LAMBDA}; the trial's whole gallery)",
    "gallery-mean": f"gallery-mean (query and its {EXPANSION} best images averaged)",
}
FLIPS: dict[Flip, str] = {
    "off": "none",
    "mean_renorm": "mean of image and mirror image, unit length",
    "sum": "sum of image and mirror image, not normalised",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Embeddings in float64 of the rows (ascending) of a record table that the plans name.

    Attributes:
        embedded: One for each row.
        rows: (N,).
        flip: Test-time augmentation that they come from.
    """

    embedded: Embeddings
    rows: np.ndarray
    flip: Flip = "off"

    def side(self, rows: np.ndarray) -> Embeddings:
        """The embeddings of these rows."""
        return self.embedded.take(np.searchsorted(self.rows, rows))

    def labels(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Persons and cameras of these rows."""
        at = np.searchsorted(self.rows, rows)
        return self.embedded.pids[at], self.embedded.camids[at]

    def mirrored(self, other: Embeddings, flip: Flip) -> Measured:
        """Average with the embeddings of the mirror images: CAJ renormalises, SEPG adds.

        See docs/methods.md#test-embedding.
        """
        total = self.embedded.features + other.widened().features
        if flip == "mean_renorm":
            total /= np.linalg.norm(total, axis=1, keepdims=True)
        e = self.embedded
        return Measured(Embeddings(total, e.pids, e.camids, e.modalities, e.paths), self.rows, flip)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One plan, measured in one way.

    Attributes:
        trials: The results.
        pids: For each trial the queries' persons.
        fars: False acceptance rates at which the verification rate is reported; none for people.
        pairs: For each trial the scored pairs, where a verification rate is reported.
        rerank, flip: The way.
        far_reading: Which operating point a false acceptance rate means.
    """

    trials: Trials
    pids: tuple[np.ndarray, ...]
    fars: tuple[float, ...] = ()
    pairs: tuple[PairScores, ...] = ()
    rerank: Rerank = "none"
    flip: Flip = "off"
    far_reading: FarReading = "not-exceeded"

    def per_trial(self) -> dict[str, list[float]]:
        """Every reported metric, trial by trial."""
        rows = [result.metrics() for result in self.trials]
        found = {name: [row[name] for row in rows] for name in rows[0]}
        points = [
            operating_points(pair.genuine, pair.impostor, self.fars, self.far_reading) for pair in self.pairs
        ]
        rates = {far_name(far): [row[i].rate for row in points] for i, far in enumerate(self.fars)}
        return {**found, **rates}

    def people(self) -> PersonSums:
        """Sums of the per-query values by person, for intervals and paired differences."""
        return sums_by_person(self.pids, [per_query(result) for result in self.trials])


def per_query(result: Retrieval) -> dict[str, np.ndarray]:
    """Each query's share in the reported metrics, (Q,) each; NaN where it has no legal match."""
    valid = result.valid_mask
    hits = {
        f"rank{k}": np.where(valid, (result.first_rank <= k).astype(np.float64), np.nan)
        for k in REPORTED_RANKS
    }
    return {**hits, "mAP": result.average_precision, "mINP": result.inverse_negative_penalty}


def measure_plan(plan: EvaluationPlan, measured: Measured, rerank: Rerank = "none") -> Outcome:
    """Evaluate every trial of a plan.

    Raises:
        UsageError: An embedding is not finite, or a gallery is too large for re-ranking.
        DataError: No query has a legal match.
    """
    pids = tuple(measured.side(query).pids for query in plan.queries)
    if rerank == "none" and not plan.fars:
        return Outcome(evaluate_plan(plan, measured.embedded, measured.rows), pids, flip=measured.flip)
    results, pairs = [], []
    for query, gallery in zip(plan.queries, plan.galleries, strict=True):
        q, g = measured.side(query), measured.side(gallery)
        scores = q.features @ g.features.T if rerank == "none" else second_look(plan, q, g, rerank)
        results.append(
            evaluate_scores(
                scores,
                q.pids,
                g.pids,
                q.camids,
                g.camids,
                rule=plan.rule,
                merge_identities=plan.merge_identities,
            )
        )
        if plan.fars:
            pairs.append(PairScores.of(scores, q.pids, g.pids))
    return Outcome(
        Trials(tuple(results)), pids, plan.fars, tuple(pairs), rerank, measured.flip, plan.far_reading
    )


def second_look(plan: EvaluationPlan, q: Embeddings, g: Embeddings, rerank: Rerank) -> np.ndarray:
    """Scores (Q, G) of re-ranking or query expansion, higher is better."""
    if rerank == "k-reciprocal":
        return -k_reciprocal(q.features, g.features)
    scores = q.features @ g.features.T
    best = top(scores, q.pids, g.pids, q.camids, g.camids, rule=plan.rule, k=EXPANSION)
    expanded: np.ndarray = gallery_mean(q.features, g.features, best) @ g.features.T
    return expanded


def far_name(far: float) -> str:
    """The metric name of a verification rate: ``vr_far_0.01``."""
    return f"vr_far_{far:g}"
