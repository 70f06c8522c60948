"""The verb ``evaluate``: embeddings → every trial of a protocol → numbers that say what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data import protocols
from vireid_cli.data.identity import known_identities, marks
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.sources import load_source, source_names
from vireid_cli.data.store import Store
from vireid_cli.engine.embed import SelectedCheckpoint, embed_rows, load_trained, select_checkpoint
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import FLIPS, RERANKS, Measured
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation, writing
from vireid_cli.results.run import RunFolder


def evaluate_run(run: RunFolder, session: Session, options: EvaluateOptions) -> list[Evaluation]:
    """Evaluate a run on a dataset's test identities under each protocol asked for.

    Raises:
        UsageError: No data, no checkpoint, a dataset of another kind than the run's, or test identities that
            were trained on.
        DataError: A protocol that the data can't serve, or another process is evaluating the run.
    """
    with writing(run.folder / "evaluation"):
        return _evaluate_run(run, session, options)


def _evaluate_run(run: RunFolder, session: Session, options: EvaluateOptions) -> list[Evaluation]:
    """Evaluate a run that no other process evaluates."""
    store, plans = _planned(run_recipe(run), session, options)
    trained = load_trained(run, session)
    size = trained.recipe.data.image_size
    if not trained.imported and trained.trained < trained.recipe.train.epochs:
        session.reporter.warn(
            f"{run.folder} is not finished: {trained.trained} of {trained.recipe.train.epochs} epochs done"
        )
    rows = np.unique(np.concatenate([plan.rows for plan in plans]))
    overlap = _overlap(store, rows, trained, options.allow_overlap)
    embedded = embed_rows(trained.network, session, store, size, rows)
    sides = [Measured(embedded.widened(), rows)]
    if options.flip != "off":
        mirrored = embed_rows(trained.network, session, store, size, rows, mirror=True)
        sides.append(sides[0].mirrored(mirrored, options.flip))
    about = _about(trained, session, store, overlap, f"{embedded.features.shape[1]}-d, unit length")
    return [
        evaluate_protocol(
            plan,
            sides,
            options,
            {**plan.fingerprint, **about},
            comparable(trained.recipe, store, plan),
            _folder(run, trained.recipe, store, plan),
        )
        for plan in plans
    ]


def stored_evaluations(run: RunFolder, session: Session, options: EvaluateOptions) -> list[StoredEvaluation]:
    """What ``evaluate_run`` would give, where the run folder holds it already.

    Taken are whole evaluations whose fingerprint is the one that evaluating now would write: the same
    checkpoint, images, protocol and precision.

    Returns:
        One for each protocol asked for; none where one of them is missing or another, or where more than
        the plain metrics is asked for.

    Raises:
        UsageError, DataError: As ``evaluate_run``.
    """
    if options.rerank or options.flip != "off" or options.breakdown:
        return []
    checkpoint = select_checkpoint(run)
    store, plans = _planned(checkpoint.recipe, session, options)
    rows = np.unique(np.concatenate([plan.rows for plan in plans]))
    overlap = _overlap(store, rows, checkpoint, options.allow_overlap)
    found = []
    for plan in plans:
        folder = _folder(run, checkpoint.recipe, store, plan)
        try:
            stored = read_evaluation(folder, f"vireid evaluate {run.folder}")
        except DataError:
            return []
        content = stored.content
        if content["version"] != schema.VERSION:
            return []
        # the width of the embedding is known from the network alone
        about = _about(checkpoint, session, store, overlap, content["fingerprint"].get("embedding", ""))
        same = content["fingerprint"] == json.loads(json.dumps({**plan.fingerprint, **about}))
        arrays = (stored.folder / schema.RANKING, stored.folder / schema.EMBEDDINGS)
        if not same or not all(path.is_file() for path in arrays):
            return []
        found.append(stored)
    return found


def _planned(
    recipe: Recipe, session: Session, options: EvaluateOptions
) -> tuple[Store, list[EvaluationPlan]]:
    """The dataset that a run of this recipe is evaluated on, and the plan of each protocol asked for."""
    dataset = options.dataset or recipe.data.dataset
    check_kind(recipe.data.dataset, dataset)
    protocols.check(dataset, options.request)
    store = ensure_prepared(dataset, session, recipe.data.image_size, recipe.data.resize)
    request = options.request
    if store.records.trials and request.trial is None:
        request = replace(request, trial=recipe.data.trial)
    return store, protocols.plans_for(store, request)


def _folder(run: RunFolder, recipe: Recipe, store: Store, plan: EvaluationPlan) -> Path:
    """Where a plan's results lie in the run folder; another dataset's beside the run's own."""
    dataset = store.info.dataset
    return run.evaluation(plan.name if dataset == recipe.data.dataset else f"{dataset}-{plan.name}")


def check_kind(trained_on: str, dataset: str) -> None:
    """Refuse to evaluate on a dataset of another protocol family than the one trained on.

    Raises:
        UsageError: No such dataset, or of another family; those of the family are named.
    """
    family = load_source(trained_on).PROTOCOL
    if family != load_source(dataset).PROTOCOL:
        kin = [name for name in source_names() if family == load_source(name).PROTOCOL]
        raise UsageError(
            f"A run on {trained_on} can't be evaluated on {dataset}: their protocols differ.",
            f"Datasets like {trained_on}: {', '.join(kin)}",
        )


def _overlap(store: Store, rows: np.ndarray, trained: SelectedCheckpoint, allowed: bool) -> int:
    """Number of identities among the rows that were trained on; refused unless allowed."""
    test = np.unique(store.records.pids[rows])
    both = int(known_identities(store, test, trained.tokens).sum())
    if both and not allowed:
        start = trained.environment["weights"]
        source = "" if start == "none" else f" (the run started from weights: {start})"
        raise UsageError(
            f"{both} of {len(test)} test identities were trained on{source}: the metrics would be worthless.",
            "Evaluate on other identities, or add --allow-overlap to compute marked metrics.",
        )
    return both


def _about(
    trained: SelectedCheckpoint, session: Session, store: Store, overlap: int, embedding: str
) -> dict[str, Any]:
    """What the fingerprint says besides the protocol."""
    about = {
        **marks(store),
        "source": store.info.dataset,
        "trained_on": _trained_on(trained.environment["data"]),
        "recipe": trained.recipe.name,
        "method": trained.recipe.method.name,
        "embedding": embedding,
        "distance": "cosine (float64 product)",
        "rerank": RERANKS["none"],
        "test_time_augmentation": FLIPS["off"],
        "checkpoint": trained.label,
        "weights": trained.environment["weights"],
        "seed": trained.recipe.train.seed,
        "precision": session.runtime.precision,
        "image_size": "×".join(str(n) for n in trained.recipe.data.size),
        "resize": trained.recipe.data.resize,
    }
    if imported := trained.imported:
        source = f"{imported['from']}: {imported['file']}, sha256 {imported['sha256']}"
        known = imported["training_identities"]
        about |= {"imported": source, "training_identities": known, "seed": "not recorded"}
    if overlap:
        about["overlap"] = f"{overlap} test identities were trained on"
    return about


def _trained_on(data: Mapping[str, Any]) -> str:
    """The data of ``environment.json`` on one line: whose, which, and how occluded."""
    occlusion = f", {data['occlusion']}" if data.get("occlusion") else ""
    return f"{data['dataset']} {data['data']}{occlusion}"


def comparable(recipe: Recipe, store: Store, plan: EvaluationPlan) -> list[dict[str, Any]]:
    """The paper's metrics for this very dataset and protocol, trained on it; none beside a rendered one.

    Args:
        recipe: Of the run.
        store: What it is evaluated on.
        plan: The protocol.
    """
    dataset = recipe.data.dataset
    if store.rendered or store.info.dataset != dataset:
        return []
    name = protocols.published_name(dataset, plan)
    rows = [row for row in recipe.reported if (row.dataset, row.protocol) == (dataset, name)]
    found = [{key: value for key, value in row.model_dump().items() if value is not None} for row in rows]
    if store.records.trials:
        for row in found:
            over = f"mean over {store.records.trials} trials"
            row["source"] = ", ".join(part for part in (row.get("source", ""), over) if part)
    return found
