"""Evaluation of embeddings in a file: somebody else's, or those that an evaluation of ours left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data import protocols
from vireid_cli.data.features import FeatureFile, read_features
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.stored_trials import holds_trials, read_trials
from vireid_cli.engine.evaluate.pairing import evaluate_against
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import FLIPS, RERANKS, Measured, Outcome
from vireid_cli.engine.evaluate.summary import summarize
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.outcome import Trials
from vireid_cli.metrics.retrieval import evaluate_distances
from vireid_cli.metrics.streaming import evaluate_streamed
from vireid_cli.metrics.verification import FAR_READINGS, FarReading
from vireid_cli.metrics.verification_intervals import PairScores
from vireid_cli.types import Embeddings

UNIT = "cosine (rows of unit length as stored, float64 product)"
MOST_CELLS = 1 << 27
"""Largest score matrix that is held: 1 GiB of float64. Beyond it the gallery is streamed."""


def evaluate_features(
    path: Path, dataset: str, options: EvaluateOptions, against: Path | None = None
) -> Evaluation:
    """Evaluate a file by the rules of a dataset, and its paired difference from another file if named.

    See ``evaluate_file`` for the forms of a file and the errors.
    """
    evaluation = evaluate_file(path, dataset, options)
    if against is None:
        return evaluation
    other = evaluate_file(against, dataset, options)
    return evaluate_against([evaluation], [other], against.name)[0]


def evaluate_file(path: Path, dataset: str, options: EvaluateOptions) -> Evaluation:
    """Evaluate an ``.npz`` by the rules of a dataset (float64 product, rows as they are).

    Three forms: ``q_feat g_feat q_pids g_pids q_camids g_camids``; ``distance`` in place of features; or
    ``embeddings.npz`` of a run folder, whose own trials are taken. Where the score matrix would not fit,
    the gallery is streamed in float32, exactly and in bounded memory.

    Raises:
        UsageError: Unknown dataset, or a way of measuring that the file can't serve.
        DataError: Arrays that are missing or do not fit each other.
    """
    if options.flip != "off":
        raise UsageError("--flip needs images: a file of features holds none.", "Leave it out.")
    reading = options.request.far
    rules = _Rules(
        dataset, *protocols.rule_of(dataset), protocols.fars_of(dataset), reading or "not-exceeded"
    )
    if reading and not rules.fars:
        raise UsageError(f"--far reads a verification rate: {dataset} has none.", "Leave it out.")
    if holds_trials(path):
        stored = read_trials(path)
        fingerprint = rules.fingerprint(path, UNIT) | {"trials": len(stored.queries)}
        plan = rules.plan(stored.queries, stored.galleries, fingerprint)
        return _measure(plan, stored.embeddings, options)
    given = read_features(path)
    cells = len(given.query) * len(given.gallery)
    if given.distance is None and cells <= MOST_CELLS:
        embedded, (query, gallery) = _joined(given)
        plan = rules.plan((query,), (gallery,), rules.fingerprint(path, given.distance_name))
        return _measure(plan, embedded, options)
    reason = "distances between queries and gallery only" if given.distance is not None else "too many pairs"
    for what, wanted in (("--rerank", options.rerank), ("--breakdown", options.breakdown)):
        if wanted:
            raise UsageError(f"{what} needs a matrix of features' products: {path.name} gives {reason}.")
    return _by_distances(path, given, rules) if given.distance is not None else _streamed(path, given, rules)


@dataclass(frozen=True, slots=True)
class _Rules:
    """A dataset's rules: its name, camera rule, kind of CMC, false acceptance rates and their reading."""

    dataset: str
    rule: CameraRule
    merge: bool
    fars: tuple[float, ...]
    far_reading: FarReading

    @property
    def name(self) -> str:
        """Of the protocol."""
        return f"features-{self.dataset}"

    def fingerprint(self, path: Path, distance: str) -> dict[str, Any]:
        """What is measured."""
        rate = {"verification_rate": FAR_READINGS[self.far_reading]} if self.fars else {}
        return {
            "dataset": f"{self.dataset} (rules only)",
            "features": path.name,
            "camera_rule": self.rule,
            "cmc": "identities" if self.merge else "images",
            **rate,
            "distance": distance,
            "rerank": RERANKS["none"],
            "test_time_augmentation": FLIPS["off"],
        }

    def plan(
        self,
        queries: tuple[np.ndarray, ...],
        galleries: tuple[np.ndarray, ...],
        fingerprint: dict[str, Any],
    ) -> EvaluationPlan:
        """These trials under these rules."""
        return EvaluationPlan(
            self.name, queries, galleries, self.rule, self.merge, fingerprint, self.fars, self.far_reading
        )


def _measure(plan: EvaluationPlan, embedded: Embeddings, options: EvaluateOptions) -> Evaluation:
    measured = Measured(embedded.widened(), np.arange(len(embedded)))
    return evaluate_protocol(plan, [measured], options, dict(plan.fingerprint), [], None)


def _by_distances(path: Path, given: FeatureFile, rules: _Rules) -> Evaluation:
    """Evaluate a file of distances."""
    distance = given.distance
    assert distance is not None
    labels = (given.q_pids, given.g_pids, given.q_camids, given.g_camids)
    result = evaluate_distances(distance, *labels, rule=rules.rule, merge_identities=rules.merge)
    pairs = (PairScores.of(-distance, given.q_pids, given.g_pids),) if rules.fars else ()
    outcome = Outcome(Trials((result,)), (given.q_pids,), rules.fars, pairs, far_reading=rules.far_reading)
    return Evaluation(
        summarize(rules.name, rules.fingerprint(path, given.distance_name), [outcome], []), outcome
    )


def _streamed(path: Path, given: FeatureFile, rules: _Rules) -> Evaluation:
    """Evaluate a gallery that fits no score matrix, tile by tile."""
    if rules.fars:
        raise UsageError(
            f"verification rates of {len(given.query) * len(given.gallery):,} pairs do not fit into memory.",
            "Give fewer images.",
        )
    result = evaluate_streamed(
        given.query.features,
        given.gallery.features,
        given.q_pids,
        given.g_pids,
        given.q_camids,
        given.g_camids,
        rule=rules.rule,
        merge_identities=rules.merge,
    )
    name = given.distance_name.replace("float64 product", f"{result_type(given)} product, streamed")
    outcome = Outcome(Trials((result,)), (given.q_pids,))
    return Evaluation(summarize(rules.name, rules.fingerprint(path, name), [outcome], []), outcome)


def result_type(given: FeatureFile) -> str:
    """The type that a streamed product is computed in: the features' own, float32 at least."""
    return str(np.result_type(given.query.features, given.gallery.features, np.float32))


def _joined(given: FeatureFile) -> tuple[Embeddings, tuple[np.ndarray, np.ndarray]]:
    """Queries and gallery as one set of embeddings, and their rows in it."""
    sides = (given.query, given.gallery)
    names = ("query", "gallery")
    together = Embeddings(
        np.concatenate([side.features for side in sides]),
        np.concatenate([side.pids for side in sides]),
        np.concatenate([side.camids for side in sides]),
        np.concatenate([side.modalities for side in sides]),
        np.concatenate(
            [[f"{n} {i}" for i in range(len(side))] for n, side in zip(names, sides, strict=True)]
        ),
    )
    cut = len(given.query)
    return together, (np.arange(cut), np.arange(cut, len(together)))
