"""From embeddings to trials: plain ranking, re-ranking, query expansion, verification, breakdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.metrics.bootstrap import People, sums_by_person
from vireid_cli.metrics.outcome import REPORTED_RANKS, Retrieval, Trials
from vireid_cli.metrics.rerank import EXPANSION, K1, K2, LAMBDA, gallery_mean, k_reciprocal
from vireid_cli.metrics.retrieval import evaluate_scores, top
from vireid_cli.metrics.verification import verify_scores
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

    def mirrored(self, other: Embeddings, flip: Flip) -> Measured:
        """Average with the embeddings of the mirror images (METHODS 0.4: CAJ renormalises, SEPG adds)."""
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
        rates: For each trial the verification rate by figure name; empty dicts where none is reported.
        rerank, flip: The way.
    """

    trials: Trials
    pids: tuple[np.ndarray, ...]
    rates: tuple[dict[str, float], ...]
    rerank: Rerank = "none"
    flip: Flip = "off"

    def per_trial(self) -> dict[str, list[float]]:
        """Every reported figure, trial by trial."""
        rows = [{**r.figures(), **rates} for r, rates in zip(self.trials, self.rates, strict=True)]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def people(self) -> People:
        """Sums of the per-query values by person, for intervals and paired differences."""
        return sums_by_person(self.pids, [per_query(result) for result in self.trials])


def per_query(result: Retrieval) -> dict[str, np.ndarray]:
    """Each query's share in the reported figures, (Q,) each; NaN where it has no legal match."""
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
    if rerank == "none":
        trials = evaluate_plan(plan, measured.embedded, measured.rows)
        rates = tuple(_rates(plan, q.features @ g.features.T, q, g) for q, g in _sides(plan, measured))
        return Outcome(trials, pids, rates, rerank, measured.flip)
    results, found = [], []
    for q, g in _sides(plan, measured, always=True):
        scores = second_look(plan, q, g, rerank)
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
        found.append(_rates(plan, scores, q, g))
    return Outcome(Trials(tuple(results)), pids, tuple(found), rerank, measured.flip)


def second_look(plan: EvaluationPlan, q: Embeddings, g: Embeddings, rerank: Rerank) -> np.ndarray:
    """Scores (Q, G) of re-ranking or query expansion, higher is better."""
    if rerank == "k-reciprocal":
        return -k_reciprocal(q.features, g.features)
    scores = q.features @ g.features.T
    best = top(scores, q.pids, g.pids, q.camids, g.camids, rule=plan.rule, k=EXPANSION)
    expanded: np.ndarray = gallery_mean(q.features, g.features, best) @ g.features.T
    return expanded


def _sides(
    plan: EvaluationPlan, measured: Measured, *, always: bool = False
) -> Iterator[tuple[Embeddings, Embeddings]]:
    """Query and gallery embeddings of each trial; empty ones where no score matrix is needed."""
    nothing = np.empty(0, dtype=np.int64)
    for query, gallery in zip(plan.queries, plan.galleries, strict=True):
        needed = always or bool(plan.fars)
        yield measured.side(query if needed else nothing), measured.side(gallery if needed else nothing)


def _rates(plan: EvaluationPlan, scores: np.ndarray, q: Embeddings, g: Embeddings) -> dict[str, float]:
    """Verification rates by figure name: ``vr_far_0.01``."""
    if not plan.fars:
        return {}
    return verification_rates(scores, q.pids, g.pids, plan.fars)


def verification_rates(
    scores: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, fars: Sequence[float]
) -> dict[str, float]:
    """Verification rate at each false acceptance rate, by figure name: ``vr_far_0.01``."""
    points = verify_scores(scores, q_pids, g_pids, fars).points
    return {f"vr_far_{point.far:g}": point.rate for point in points}
