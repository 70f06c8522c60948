"""The verb ``evaluate``: embeddings → every trial of a protocol → numbers that say what they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import files
from vireid_cli.data import protocols
from vireid_cli.data.features import read_features
from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.store import Store
from vireid_cli.engine.embed import Trained, embed_rows, load_trained
from vireid_cli.engine.preparation import ensure_prepared, identity_tokens, marks
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import UsageError
from vireid_cli.metrics.retrieval import Retrieval, Trials, evaluate_scores, top
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.run import Run
from vireid_cli.types import Embeddings

TOP = 10
"""Matches a query that ``ranking.npz`` keeps."""


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to measure.

    Attributes:
        request: Settings of the dataset's protocol.
        allow_overlap: Evaluate although test identities were trained on; said beside the number.
    """

    request: Request = field(default_factory=Request)
    allow_overlap: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One protocol's result: what ``metrics.json`` holds, and where it lies (None: nowhere)."""

    content: schema.EvaluationFile
    folder: Path | None = None


def evaluate_run(
    run: Run, options: EvaluateOptions, runtime: Runtime, reporter: Reporter, data_dir: Path
) -> list[Evaluation]:
    """Evaluate a run on its dataset's test identities under each protocol asked for.

    Raises:
        UsageError: No data, no checkpoint, or test identities that were trained on.
        DataError: A protocol that the data can't serve.
    """
    trained = load_trained(run, runtime, reporter)
    size = trained.recipe.data.image_size
    store = ensure_prepared(trained.recipe.data.dataset, size, data_dir, reporter)
    if trained.trained < trained.recipe.train.epochs:
        reporter.warn(
            f"{run.folder} is not finished: {trained.trained} of {trained.recipe.train.epochs} epochs done"
        )
    overlap = _overlap(store, trained, options.allow_overlap)
    plans = protocols.plans_for(store, options.request)
    rows = np.unique(np.concatenate([plan.rows for plan in plans]))
    embedded = embed_rows(trained.network, store, size, rows, runtime, reporter)
    measured = _Measured(replace(embedded, features=embedded.features.astype(np.float64)), rows)
    about = _about(trained, store, runtime, overlap, embedded.features.shape[1])
    found = []
    for plan in plans:
        trials = evaluate_plan(plan, measured.embedded, measured.rows)
        fingerprint = {**plan.fingerprint, **about}
        reported = _comparable(trained.recipe, store, plan)
        content = summarize(plan.name, fingerprint, trials, reported)
        found.append(_written(run, plan, measured, trials.results[0], content))
    return found


def evaluate_features(path: Path, dataset: str, *, ranks: int = 20) -> Evaluation:
    """Evaluate somebody else's embeddings from an ``.npz`` (float64 product, rows as they are).

    Args:
        path: ``q_feat g_feat q_pids g_pids q_camids g_camids``, or ``distance`` in place of features.
        dataset: Whose camera rule and CMC apply.
        ranks: Ranks of the CMC.

    Raises:
        UsageError: Unknown dataset, or arrays missing.
        DataError: Arrays that do not fit each other.
    """
    given = read_features(path)
    rule, merge = protocols.rule_of(dataset)
    result = evaluate_scores(
        given.scores(),
        given.q_pids,
        given.g_pids,
        given.q_camids,
        given.g_camids,
        rule=rule,
        merge_identities=merge,
        ranks=ranks,
    )
    fingerprint = {
        "dataset": f"{dataset} (rules only)",
        "features": path.name,
        "camera_rule": rule,
        "cmc": "identities merged" if merge else "images",
        "distance": given.distance_name,
    }
    return Evaluation(summarize(f"features-{dataset}", fingerprint, Trials((result,)), []))


@dataclass(frozen=True, slots=True)
class _Measured:
    """Embeddings of the rows (ascending) that the plans name.

    They are in float64 from here on: one product ranks alike on every device.
    """

    embedded: Embeddings
    rows: np.ndarray

    def side(self, rows: np.ndarray) -> Embeddings:
        """The embeddings of these rows."""
        return self.embedded.take(np.searchsorted(self.rows, rows))


def _overlap(store: Store, trained: Trained, allowed: bool) -> int:
    """Number of test identities that were trained on; refused unless allowed."""
    test = np.unique(store.records.pids[store.records.tested])
    both = trained.tokens.intersection(identity_tokens(store, test))
    if both and not allowed:
        raise UsageError(
            f"{len(both)} of {len(test)} test identities were trained on: the figures would be worthless.",
            "Evaluate on other identities, or say --allow-overlap to see them marked as such.",
        )
    return len(both)


def _about(trained: Trained, store: Store, runtime: Runtime, overlap: int, width: int) -> dict[str, Any]:
    """What the fingerprint says besides the protocol."""
    about = {
        **marks(store),
        "recipe": trained.recipe.name,
        "method": trained.recipe.method.name,
        "embedding": f"{width}-d, unit length",
        "distance": "cosine (float64 product)",
        "rerank": "none",
        "test_time_augmentation": "none",
        "checkpoint": trained.choice,
        "weights": trained.environment["weights"],
        "seed": trained.recipe.train.seed,
        "precision": runtime.precision,
        "image_size": "×".join(str(n) for n in trained.recipe.data.size),
    }
    if overlap:
        about["overlap"] = f"{overlap} test identities were trained on"
    return about


def _comparable(recipe: Recipe, store: Store, plan: EvaluationPlan) -> list[dict[str, Any]]:
    """The paper's figures for this very dataset and protocol; none beside a rendered one."""
    if store.rendered:
        return []
    base = plan.name.removesuffix("-seeded").removesuffix("-official")
    return [
        {key: value for key, value in row.model_dump().items() if value is not None}
        for row in recipe.reported
        if (row.dataset, row.protocol) == (recipe.data.dataset, base)
    ]


def summarize(
    name: str, fingerprint: dict[str, Any], trials: Trials, reported: list[dict[str, Any]]
) -> schema.EvaluationFile:
    """``metrics.json``: mean and spread over trials, chance, and the paper's figures where comparable."""
    first, chance = trials.results[0], trials.chance()
    return schema.EvaluationFile(
        version=schema.VERSION,
        protocol=name,
        fingerprint=fingerprint,
        trials=len(trials),
        queries=first.queries,
        valid_queries=first.valid,
        gallery=first.gallery,
        metrics={k: schema.Metric(mean=v.mean, std=v.std) for k, v in trials.summary().items()},
        cmc=trials.cmc().tolist(),
        per_trial={k: [result.figures()[k] for result in trials] for k in first.figures()},
        chance={"rank1": chance.rank1, "mAP": chance.mAP},
        reported=reported,
    )


def _written(
    run: Run, plan: EvaluationPlan, measured: _Measured, first: Retrieval, content: schema.EvaluationFile
) -> Evaluation:
    """Write the protocol's folder; ``metrics.json`` last, since it marks the rest as whole."""
    folder = run.evaluation(plan.name)
    query, gallery = measured.side(plan.query), measured.side(plan.galleries[0])
    scores = query.features @ gallery.features.T
    best = top(scores, query.pids, gallery.pids, query.camids, gallery.camids, rule=plan.rule, k=TOP)
    files.write_npz(
        folder / schema.RANKING,
        query_paths=query.paths,
        query_pids=query.pids,
        query_camids=query.camids,
        gallery_paths=gallery.paths,
        gallery_pids=gallery.pids,
        gallery_camids=gallery.camids,
        top=best,
        scores=np.take_along_axis(scores, np.maximum(best, 0), axis=1).astype(np.float32),
        average_precision=first.average_precision,
        first_rank=first.first_rank,
    )
    side = measured.side(plan.rows)
    files.write_npz(
        folder / schema.EMBEDDINGS,
        features=side.features.astype(np.float32),
        pids=side.pids,
        camids=side.camids,
        modalities=side.modalities,
        paths=side.paths,
    )
    files.write_json(folder / schema.METRICS, content)
    return Evaluation(content, folder)
