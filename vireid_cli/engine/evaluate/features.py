"""Evaluation of embeddings or distances in a file, from other programs or from a run folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data import protocols
from vireid_cli.data.features import FeatureFile, read_features
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.stored_trials import has_trials, read_trials
from vireid_cli.embedding_files import is_embeddings
from vireid_cli.engine.evaluate import feature_draws
from vireid_cli.engine.evaluate.feature_draws import file_images, joined
from vireid_cli.engine.evaluate.pairing import evaluate_against
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, Evaluations, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import FLIPS, RERANKS, EmbeddedRows, Outcome
from vireid_cli.engine.evaluate.summary import summarize
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.outcome import Trials
from vireid_cli.metrics.retrieval import evaluate_distances
from vireid_cli.metrics.streaming import evaluate_streamed
from vireid_cli.metrics.verification import FAR_READINGS, FarReading
from vireid_cli.metrics.verification_intervals import PairScores
from vireid_cli.results.evaluation import locked_evaluations, write_evaluation
from vireid_cli.types import Embeddings, Modality

UNIT = "cosine (rows of unit length as stored, float64 product)"
NOT_PUBLISHED = "not the papers' protocol: whole gallery, one trial"
"""Mark of results of a protocol without its drawn galleries."""

MOST_CELLS = 1 << 27
"""Largest score matrix in memory: 1 GiB of float64. A larger gallery is streamed."""


def evaluate_features(
    path: Path, dataset: str, options: EvaluateOptions, against: Path | None = None
) -> Evaluation:
    """Evaluate a file under a single protocol; see ``evaluate_features_by_protocol``.

    Raises:
        UsageError: The dataset has several protocols, and ``options`` select none of them.
    """
    return evaluate_features_by_protocol(path, dataset, options, against).only


def evaluate_features_by_protocol(
    path: Path,
    dataset: str,
    options: EvaluateOptions,
    against: Path | None = None,
    out: Path | None = None,
) -> Evaluations:
    """Evaluate a file by the rules of a dataset, optionally with its paired difference from another file.

    Args:
        path: The file; see ``evaluate_file`` for its formats and the errors.
        dataset: Dataset that defines the rules.
        options: Protocol settings, re-ranking and breakdown.
        against: The other file; None: no difference.
        out: Folder that receives ``evaluation/<protocol>/``, as a run folder has; None: nothing is written.

    Returns:
        One result per protocol; a single one unless the file has paths and the protocol draws its galleries.
    """
    home = None if out is None else out / "evaluation"
    if home is None:
        results = evaluate_file(path, dataset, options)
    else:
        with locked_evaluations(home):
            results = evaluate_file(path, dataset, options, home)
    if against is None:
        return Evaluations(results)
    return Evaluations(evaluate_against(results, evaluate_file(against, dataset, options), against.name))


def evaluate_file(
    path: Path, dataset: str, options: EvaluateOptions, home: Path | None = None
) -> list[Evaluation]:
    """Evaluate a file by the rules of a dataset (float64 product, rows as they are).

    The file has one of four formats: ``q_feat g_feat q_pids g_pids q_camids g_camids``; ``distance``
    instead of the features; or ``embeddings.npz`` of a run folder, with its own trials. A file of
    ``vireid embed`` has persons, cameras, modalities and paths of its images. With ``q_paths`` and
    ``g_paths``, the galleries are drawn as the dataset's protocol does. Otherwise the whole gallery is used
    in one trial; for protocols with draws the result is marked. If the score matrix exceeds ``MOST_CELLS``,
    the gallery is streamed in float32: the same result in bounded memory.

    Args:
        path: The file.
        dataset: Dataset that defines the rules.
        options: Protocol settings, re-ranking and breakdown.
        home: Folder that receives a folder per protocol; None: nothing is written.

    Raises:
        UsageError: The dataset is unknown, or the file does not support an option.
        DataError: Arrays are missing or do not fit each other.
    """
    if options.flip != "off":
        raise UsageError("--flip needs images, and a file of features contains none.", "Remove --flip.")
    reading = options.request.far
    rules = _Rules(
        dataset, *protocols.rule_of(dataset), protocols.fars_of(dataset), reading or "not-exceeded"
    )
    if reading and not rules.fars:
        raise UsageError(f"--far applies to verification rates, and {dataset} has none.", "Remove --far.")
    if not is_embeddings(path) and has_trials(path):
        _refuse_settings(options.request, f"{path.name} has its own trials")
        stored = read_trials(path)
        fingerprint = rules.fingerprint(path, UNIT) | {"trials": len(stored.queries)}
        plan = rules.plan(stored.queries, stored.galleries, fingerprint)
        return [_measure(plan, stored.embeddings, options, home)]
    visible = options.request.directions == ("v2i",)
    file = read_features(path, query_modality=Modality.VISIBLE if visible else Modality.INFRARED)
    if file.has_paths and protocols.draws_galleries(dataset):
        return feature_draws.evaluate_draws(path, file, dataset, options, home)
    reason = "the protocol uses all images"
    if protocols.draws_galleries(dataset):
        reason = f"{path.name} has no paths of the images (q_paths, g_paths)"
    _refuse_settings(options.request, reason)
    return [_whole_gallery(path, file, rules, options, home)]


def _refuse_settings(request: Request, reason: str) -> None:
    """Refuse settings of a protocol that draws galleries."""
    if replace(request, far=None) != Request():
        raise UsageError(
            f"Options of the gallery draw have no effect: {reason}.",
            "Remove --mode, --shots, --protocol, --trials and --direction.",
        )


def _whole_gallery(
    path: Path, file: FeatureFile, rules: _Rules, options: EvaluateOptions, home: Path | None
) -> Evaluation:
    """Evaluate all queries against the whole gallery."""
    cells = len(file.query) * len(file.gallery)
    if file.distance is None and cells <= MOST_CELLS:
        embedded, (query, gallery) = joined(file)
        plan = rules.plan((query,), (gallery,), rules.fingerprint(path, file.distance_name, whole=True))
        return _measure(plan, embedded, options, home, file.has_paths)
    reason = "has distances between queries and gallery only"
    if file.distance is None:
        reason = "has too many pairs for that matrix"
    for option, value in (("--rerank", options.rerank), ("--breakdown", options.breakdown)):
        if value:
            raise UsageError(f"{option} needs the matrix of all scores; {path.name} {reason}.")
    evaluation = (
        _by_distances(path, file, rules) if file.distance is not None else _streamed(path, file, rules)
    )
    evaluation = replace(evaluation, images=file_images(file))
    return evaluation if home is None else keep_metrics(evaluation, home)


def keep_metrics(evaluation: Evaluation, home: Path) -> Evaluation:
    """Write ``metrics.json`` of an evaluation without arrays to its folder in ``home``."""
    folder = home / evaluation.protocol
    write_evaluation(folder, evaluation.content, {})
    return replace(evaluation, folder=folder)


@dataclass(frozen=True, slots=True)
class _Rules:
    """A dataset's rules: name, camera rule, kind of CMC, false acceptance rates and their definition."""

    dataset: str
    rule: CameraRule
    merge: bool
    fars: tuple[float, ...]
    far_reading: FarReading

    @property
    def name(self) -> str:
        """Name of the protocol."""
        return f"features-{self.dataset}"

    def fingerprint(self, path: Path, distance: str, *, whole: bool = False) -> dict[str, Any]:
        """Return the fingerprint of an evaluation of ``path``; ``whole``: with its whole gallery."""
        note = {"protocol_note": NOT_PUBLISHED} if whole and protocols.draws_galleries(self.dataset) else {}
        rate = {"verification_rate": FAR_READINGS[self.far_reading]} if self.fars else {}
        return {
            "dataset": f"{self.dataset} (rules only)",
            "source": self.dataset,
            "features": path.name,
            "camera_rule": self.rule,
            "cmc": "identities" if self.merge else "images",
            **note,
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
        """Return the plan of these trials under these rules."""
        return EvaluationPlan(
            self.name, queries, galleries, self.rule, self.merge, fingerprint, self.fars, self.far_reading
        )


def _measure(
    plan: EvaluationPlan,
    embedded: Embeddings,
    options: EvaluateOptions,
    home: Path | None,
    paths: bool = True,
) -> Evaluation:
    measured = EmbeddedRows(embedded, np.arange(len(embedded)))
    folder = None if home is None else home / plan.name
    return evaluate_protocol(plan, [measured], options, dict(plan.fingerprint), [], folder, paths=paths)


def _by_distances(path: Path, file: FeatureFile, rules: _Rules) -> Evaluation:
    """Evaluate a file of distances."""
    distance = file.distance
    assert distance is not None
    labels = (file.q_pids, file.g_pids, file.q_camids, file.g_camids)
    result = evaluate_distances(distance, *labels, rule=rules.rule, merge_identities=rules.merge)
    pairs = (PairScores.of(-distance, file.q_pids, file.g_pids),) if rules.fars else ()
    outcome = Outcome(Trials((result,)), (file.q_pids,), rules.fars, pairs, far_reading=rules.far_reading)
    return Evaluation(
        summarize(rules.name, rules.fingerprint(path, file.distance_name, whole=True), [outcome], []), outcome
    )


def _streamed(path: Path, file: FeatureFile, rules: _Rules) -> Evaluation:
    """Evaluate tile by tile, for score matrices that exceed the memory."""
    if rules.fars:
        raise UsageError(
            f"Verification rates of {len(file.query) * len(file.gallery):,} pairs do not fit in memory.",
            "Use fewer images.",
        )
    result = evaluate_streamed(
        file.query.features,
        file.gallery.features,
        file.q_pids,
        file.g_pids,
        file.q_camids,
        file.g_camids,
        rule=rules.rule,
        merge_identities=rules.merge,
    )
    name = file.distance_name.replace("float64 product", f"{result_type(file)} product, streamed")
    outcome = Outcome(Trials((result,)), (file.q_pids,))
    return Evaluation(
        summarize(rules.name, rules.fingerprint(path, name, whole=True), [outcome], []), outcome
    )


def result_type(file: FeatureFile) -> str:
    """Return the type of a streamed product: the features' own type, at least float32."""
    return str(np.result_type(file.query.features, file.gallery.features, np.float32))
