"""Evaluation plans: the query rows and gallery rows of a record table, for each trial.

A plan consists of row indices, the camera rule, the kind of CMC, and a fingerprint, which describes the
evaluation in words. It depends only on labels and file names, so it can be printed, compared and tested
without images or a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.camera_rules import EXPLANATIONS, CameraRule
from vireid_cli.metrics.outcome import Trials
from vireid_cli.metrics.retrieval import evaluate_trials
from vireid_cli.metrics.rounded import inner_products
from vireid_cli.metrics.verification import FarReading
from vireid_cli.types import Embeddings

Fingerprint = dict[str, str | int | float | bool]
"""Settings of a protocol by name."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """Queries and galleries of an evaluation.

    Attributes:
        name: Name of the protocol, usable as a folder name: ``all-single-seeded``.
        queries: Query rows of the record table, for each trial.
        galleries: Gallery rows for each trial; their order decides between equal scores.
        rule: Camera rule.
        merge_identities: Whether the CMC counts identities.
        fingerprint: Settings of the protocol.
        fars: False acceptance rates of the verification rates; empty for Rank-k, mAP and mINP only.
        far_reading: Definition of the operating point for a false acceptance rate.

    Raises:
        DataError: A trial has no queries or no gallery.
    """

    name: str
    queries: tuple[np.ndarray, ...]
    galleries: tuple[np.ndarray, ...]
    rule: CameraRule
    merge_identities: bool
    fingerprint: Fingerprint
    fars: tuple[float, ...] = ()
    far_reading: FarReading = "not-exceeded"

    def __post_init__(self) -> None:
        if len(self.queries) != len(self.galleries) or not self.queries:
            raise ValueError(f"{len(self.queries)} query sets for {len(self.galleries)} galleries")
        for side, trials in (("query", self.queries), ("gallery", self.galleries)):
            empty = [trial for trial, rows in enumerate(trials) if len(rows) == 0]
            if empty:
                raise DataError(f"protocol {self.name}: the {side} of trial {empty[0]} is empty.")

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.queries)

    @property
    def query(self) -> np.ndarray:
        """Union of the query rows of all trials, in the order of their first appearance."""
        return _union(self.queries)

    @property
    def gallery(self) -> np.ndarray:
        """Union of the gallery rows of all trials, in the order of their first appearance."""
        return _union(self.galleries)

    @property
    def rows(self) -> np.ndarray:
        """All rows that need an embedding, ascending."""
        return np.union1d(self.query, self.gallery)


def _union(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Distinct rows of all parts, in the order of their first appearance."""
    if all(part is parts[0] for part in parts):
        return parts[0]
    together = np.concatenate(parts)
    return together[np.sort(np.unique(together, return_index=True)[1])]


def evaluate_plan(plan: EvaluationPlan, embeddings: Embeddings, rows: np.ndarray) -> Trials:
    """Evaluate all trials of a plan by inner products of embeddings, as exact as in float64.

    If all trials have the same queries, the function computes one product with the union of the galleries.

    Args:
        plan: Evaluation plan.
        embeddings: Embeddings of ``rows``, (N, D), of unit length for cosine similarity.
        rows: (N,) row of the record table of each embedding, ascending; includes all of ``plan.rows``.

    Raises:
        UsageError: A row of the plan has no embedding, or an embedding is not finite.
        DataError: No query has a legal match.
    """
    missing = np.setdiff1d(plan.rows, rows)
    if len(missing):
        raise UsageError(
            f"{counted(len(missing), 'row')} of protocol {plan.name} without an embedding, "
            f"first {missing[0]}."
        )

    def trials_of(query: np.ndarray, gallery: np.ndarray, galleries: Sequence[np.ndarray]) -> Trials:
        """Evaluate the drawn galleries, each an array of store rows."""
        q = embeddings.take(np.searchsorted(rows, query))
        g = embeddings.take(np.searchsorted(rows, gallery))
        sorter = np.argsort(gallery)
        columns = [sorter[np.searchsorted(gallery, part, sorter=sorter)] for part in galleries]
        return evaluate_trials(
            inner_products(q.features, g.features),
            columns,
            q.pids,
            g.pids,
            q.camids,
            g.camids,
            rule=plan.rule,
            merge_identities=plan.merge_identities,
        )

    if all(query is plan.queries[0] for query in plan.queries):
        return trials_of(plan.queries[0], plan.gallery, plan.galleries)
    pairs = zip(plan.queries, plan.galleries, strict=True)
    return Trials(tuple(trials_of(query, gallery, [gallery]).results[0] for query, gallery in pairs))


def complete_fingerprint(
    start: Fingerprint, rule: CameraRule, *, merged: bool, notes: Sequence[str]
) -> Fingerprint:
    """Add the keys of every protocol: camera rule, kind of CMC, notes."""
    return start | {
        "camera_rule": f"{rule}: {EXPLANATIONS[rule]}",
        "cmc": "identities" if merged else "images",
        "notes": "; ".join(notes),
    }


def check_trials(trials: int, most: int | None = None) -> None:
    """Refuse an impossible number of trials.

    Raises:
        UsageError: The number is below 1 or above ``most``.
    """
    if trials < 1 or (most is not None and trials > most):
        limit = "at least 1" if most is None else f"1 to {most}"
        raise UsageError(f"number of trials is {trials}; this protocol allows {limit}.")
