"""Results of a plan's trials from embeddings: plain ranking, re-ranking, query expansion, verification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.metrics.bootstrap import PersonSums, sums_by_person
from vireid_cli.metrics.outcome import REPORTED_RANKS, Retrieval, Trials
from vireid_cli.metrics.rerank import EXPANSION, K1, K2, LAMBDA, gallery_mean, k_reciprocal
from vireid_cli.metrics.retrieval import evaluate_scores, top
from vireid_cli.metrics.rounded import exact_products
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
class EmbeddedRows:
    """Embeddings of the rows of a record table that the plans use.

    Attributes:
        embeddings: N embeddings, one per row.
        rows: (N,) row indices, ascending.
        flip: Test-time augmentation of the embeddings.
    """

    embeddings: Embeddings
    rows: np.ndarray
    flip: Flip = "off"

    def side(self, rows: np.ndarray) -> Embeddings:
        """Return the embeddings of these rows."""
        return self.embeddings.take(np.searchsorted(self.rows, rows))

    def labels(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return persons and cameras of these rows."""
        at = np.searchsorted(self.rows, rows)
        return self.embeddings.pids[at], self.embeddings.camids[at]

    def mirrored(self, other: Embeddings, flip: Flip) -> EmbeddedRows:
        """Combine with the embeddings of the mirror images: CAJ renormalises the mean, SEPG adds.

        See docs/methods.md#test-embedding.
        """
        total = self.embeddings.features + other.to_float64().features
        if flip == "mean_renorm":
            total /= np.linalg.norm(total, axis=1, keepdims=True)
        e = self.embeddings
        return EmbeddedRows(Embeddings(total, e.pids, e.camids, e.modalities, e.paths), self.rows, flip)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one plan, plain or with re-ranking or test-time augmentation.

    Attributes:
        trials: Results of the trials.
        pids: Persons of the queries of each trial.
        fars: False acceptance rates of the reported verification rates; empty for person datasets.
        pairs: Scored pairs of each trial; empty without verification rates.
        rerank, flip: Re-ranking method and test-time augmentation.
        far_reading: Operating point that a false acceptance rate defines.
    """

    trials: Trials
    pids: tuple[np.ndarray, ...]
    fars: tuple[float, ...] = ()
    pairs: tuple[PairScores, ...] = ()
    rerank: Rerank = "none"
    flip: Flip = "off"
    far_reading: FarReading = "not-exceeded"

    def per_trial(self) -> dict[str, list[float]]:
        """Return the values of each reported metric, one per trial."""
        rows = [result.metrics() for result in self.trials]
        metrics = {name: [row[name] for row in rows] for name in rows[0]}
        points = [
            operating_points(pair.genuine, pair.impostor, self.fars, self.far_reading) for pair in self.pairs
        ]
        rates = {far_name(far): [row[i].rate for row in points] for i, far in enumerate(self.fars)}
        return {**metrics, **rates}

    def people(self) -> PersonSums:
        """Return sums of the per-query values by person, for intervals and paired differences."""
        return sums_by_person(self.pids, [per_query(result) for result in self.trials])


def per_query(result: Retrieval) -> dict[str, np.ndarray]:
    """Return each query's value of each reported metric, (Q,) each; NaN for queries without legal match."""
    valid = result.valid_mask
    hits = {
        f"rank{k}": np.where(valid, (result.first_rank <= k).astype(np.float64), np.nan)
        for k in REPORTED_RANKS
    }
    return {**hits, "mAP": result.average_precision, "mINP": result.inverse_negative_penalty}


def measure_plan(plan: EvaluationPlan, measured: EmbeddedRows, rerank: Rerank = "none") -> Outcome:
    """Evaluate all trials of a plan.

    Args:
        plan: The protocol.
        measured: Embeddings of all rows of the plan.
        rerank: Re-ranking method.

    Raises:
        UsageError: An embedding is not finite, or a gallery is too large for re-ranking.
        DataError: No query has a legal match.
    """
    pids = tuple(measured.labels(query)[0] for query in plan.queries)
    if rerank == "none" and not plan.fars:
        return Outcome(evaluate_plan(plan, measured.embeddings, measured.rows), pids, flip=measured.flip)
    results, pairs = [], []
    for query, gallery in zip(plan.queries, plan.galleries, strict=True):
        q, g = measured.side(query).to_float64(), measured.side(gallery).to_float64()
        plain = rerank == "none"
        scores = exact_products(q.features, g.features) if plain else reranked_scores(plan, q, g, rerank)
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


def reranked_scores(plan: EvaluationPlan, q: Embeddings, g: Embeddings, rerank: Rerank) -> np.ndarray:
    """Compute scores (Q, G) by re-ranking or query expansion; higher is better."""
    if rerank == "k-reciprocal":
        return -k_reciprocal(q.features, g.features)
    scores = exact_products(q.features, g.features)
    best = top(scores, q.pids, g.pids, q.camids, g.camids, rule=plan.rule, k=EXPANSION)
    return exact_products(gallery_mean(q.features, g.features, best), g.features)


def far_name(far: float) -> str:
    """Return the metric name of a verification rate, such as ``vr_far_0.01``."""
    return f"vr_far_{far:g}"
