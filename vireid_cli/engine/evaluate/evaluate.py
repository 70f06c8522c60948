"""The verb ``evaluate``: embed a run's test images and compute the metrics of each protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.counts import counted, size_name
from vireid_cli.data import protocols
from vireid_cli.data.identity import known_identities, marks, same_people
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.sources import load_source
from vireid_cli.data.store import Store
from vireid_cli.dataset_names import OWN, source_names
from vireid_cli.engine.embed import (
    SelectedCheckpoint,
    TrainedNetwork,
    embed_rows,
    load_trained,
    select_checkpoint,
    warn_if_unfinished,
)
from vireid_cli.engine.evaluate.kept import (
    SETTINGS,
    complete_embeddings,
    embedding_key,
    kept_embeddings,
    replaced_settings,
)
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import FLIPS, RERANKS, EmbeddedRows
from vireid_cli.engine.loggers.results import log_evaluations
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation, locked_evaluations, read_evaluation
from vireid_cli.results.run import RunFolder, changed_recipe_warning


def evaluate_run(run: RunFolder, session: Session, options: EvaluateOptions) -> list[Evaluation]:
    """Evaluate a run on a dataset's test identities under each requested protocol.

    Ranks share the embedding of the images. Rank 0 computes the metrics and writes the files.

    Returns:
        One result per protocol; empty on other ranks than 0.

    Raises:
        UsageError: Data or checkpoint are missing, the dataset is of another protocol family than the run's,
            or training identities are in the test set.
        DataError: The data does not support a protocol, or another process is evaluating the run.
    """
    world = session.runtime.world
    with world.joined(session.runtime.device), ExitStack() as stack:

        def lock() -> None:
            """Lock the evaluations, on the rank that writes."""
            if world.first:
                stack.enter_context(locked_evaluations(run.folder / "evaluation"))

        world.together(lock)
        store, plans = world.in_turn(lambda: _plans(run_recipe(run), session, options))
        trained = world.together(lambda: load_trained(run, session, averaged=options.ema))
        results = _evaluate_run(run, session, options, store, plans, trained)
        log_evaluations(run, trained.recipe, trained.epochs, session, results)
        return results


def _evaluate_run(
    run: RunFolder,
    session: Session,
    options: EvaluateOptions,
    store: Store,
    plans: list[EvaluationPlan],
    trained: TrainedNetwork,
) -> list[Evaluation]:
    """Evaluate a run that rank 0 has locked."""
    size = trained.recipe.data.image_size
    warn_if_unfinished(run, trained, session)
    rows = np.unique(np.concatenate([plan.rows for plan in plans]))
    overlap = session.runtime.world.together(lambda: _overlap(store, rows, trained, options.allow_overlap))
    settings = _run_marks(trained, session, store, 0, "")
    key = "" if changed_recipe_warning(run) else embedding_key(trained, session, averaged=options.ema)
    kept = kept_embeddings(run, store, rows, key, {name: settings[name] for name in SETTINGS}, session)
    embedded = complete_embeddings(kept, trained, session, store, rows)
    sides = [EmbeddedRows(embedded, rows)]
    if options.flip != "off":
        mirrored = embed_rows(trained.network, session, store, size, rows, mirror=True)
        sides.append(sides[0].mirrored(mirrored, options.flip))
    if not session.runtime.world.first:
        return []
    about = _run_marks(trained, session, store, overlap, f"{embedded.features.shape[1]}-d, unit length")
    results = []
    for plan in plans:
        folder = _folder(run, trained.recipe, store, plan, "-ema" if options.ema else "")
        fingerprint = {**plan.fingerprint, **about}
        if changed := replaced_settings(folder, fingerprint, run.command("evaluate")):
            session.reporter.info(f"replacing the results in {folder}: {'; '.join(changed)}")
        reported = paper_metrics(trained.recipe, store, plan)
        results.append(evaluate_protocol(plan, sides, options, fingerprint, reported, folder, key))
    return results


def stored_evaluations(run: RunFolder, session: Session, options: EvaluateOptions) -> list[StoredEvaluation]:
    """Read a run's stored evaluations, if they equal those that ``evaluate_run`` would write.

    A stored evaluation counts if all its files exist and its fingerprint is current: the same checkpoint,
    images, protocol and precision.

    Returns:
        One per requested protocol. Empty if one of them is missing or outdated, or if ``options`` request
        more than the plain metrics.

    Raises:
        UsageError, DataError: As ``evaluate_run``.
    """
    if options.rerank or options.flip != "off" or options.breakdown or options.ema:
        return []
    checkpoint = select_checkpoint(run)
    store, plans = _plans(checkpoint.recipe, session, options)
    rows = np.unique(np.concatenate([plan.rows for plan in plans]))
    overlap = _overlap(store, rows, checkpoint, options.allow_overlap)
    evaluations: list[StoredEvaluation] = []
    for plan in plans:
        folder = _folder(run, checkpoint.recipe, store, plan)
        try:
            stored = read_evaluation(folder, run.command("evaluate"))
        except DataError:
            return []
        content = stored.content
        if content["version"] != schema.VERSION:
            return []
        # The stored width of the embedding is used, because the network is not loaded here.
        about = _run_marks(checkpoint, session, store, overlap, content["fingerprint"].get("embedding", ""))
        same = content["fingerprint"] == json.loads(json.dumps({**plan.fingerprint, **about}))
        arrays = (stored.folder / schema.RANKING, stored.folder / schema.EMBEDDINGS)
        if not same or not all(path.is_file() for path in arrays):
            return []
        evaluations.append(stored)
    return evaluations


def _plans(recipe: Recipe, session: Session, options: EvaluateOptions) -> tuple[Store, list[EvaluationPlan]]:
    """Open the dataset for an evaluation of this recipe, and plan each requested protocol."""
    dataset = options.dataset or recipe.data.dataset
    check_kind(recipe.data.dataset, dataset)
    protocols.check(dataset, options.request)
    store = ensure_prepared(dataset, session, recipe.data.image_size, recipe.data.resize)
    request = options.request
    if store.records.trials and request.trial is None:
        request = replace(request, trial=recipe.data.trial)
    return store, protocols.plans_for(store, request)


def _folder(run: RunFolder, recipe: Recipe, store: Store, plan: EvaluationPlan, suffix: str = "") -> Path:
    """Return the folder of a plan's results; the folders of other datasets have a prefix."""
    dataset, name = store.info.dataset, f"{plan.name}{suffix}"
    prefix = dataset.replace(":", "-")
    return run.evaluation(name if dataset == recipe.data.dataset else f"{prefix}-{name}")


def check_kind(trained_on: str, dataset: str) -> None:
    """Check that a dataset belongs to the protocol family of the training dataset, or is an own folder.

    Any run can be evaluated on an own folder, and a run on an own folder on any dataset; results are marked.

    Raises:
        UsageError: The dataset is unknown or of another family; names the family's datasets.
    """
    family, other = load_source(trained_on).PROTOCOL, load_source(dataset).PROTOCOL
    if family != other and OWN not in (family, other):
        members = [name for name in source_names() if family == load_source(name).PROTOCOL]
        raise UsageError(
            f"A run on {trained_on} can't be evaluated on {dataset}: their protocols differ.",
            f"Datasets like {trained_on}: {', '.join(members)}, {OWN}:NAME",
        )


def _overlap(store: Store, rows: np.ndarray, trained: SelectedCheckpoint, allowed: bool) -> int:
    """Count the training identities among the rows; raise ``UsageError`` unless they are allowed."""
    test = np.unique(store.records.pids[rows])
    overlap = int(known_identities(store, test, trained.tokens).sum())
    if overlap and not allowed:
        start = trained.environment["weights"]
        source = "" if start == "none" else f" (the run started from weights: {start})"
        raise UsageError(
            f"{overlap} of {len(test)} test identities were trained on{source}: the metrics would be "
            "meaningless.",
            "Evaluate on other identities, or add --allow-overlap to compute marked metrics.",
        )
    return overlap


def _run_marks(
    trained: SelectedCheckpoint, session: Session, store: Store, overlap: int, embedding: str
) -> dict[str, Any]:
    """Return the fingerprint of data, run and checkpoint, to which a plan adds its protocol."""
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
        "image_size": size_name(trained.recipe.data.size),
        "resize": trained.recipe.data.resize,
    }
    if imported := trained.imported:
        source = f"{imported['from']}: {imported['file']}, sha256 {imported['sha256']}"
        known = imported["training_identities"]
        about |= {"imported": source, "training_identities": known, "seed": "not recorded"}
    if not same_people(trained.recipe.data.dataset, store):
        about["cross_dataset"] = f"trained on {trained.environment['data']['dataset']}"
    if isinstance(trained, TrainedNetwork) and trained.averaged:
        about["averaged_weights"] = f"ema {trained.recipe.train.ema:g}"
    if overlap:
        about["overlap"] = f"{overlap} test identities were trained on"
    return about


def _trained_on(data: Mapping[str, Any]) -> str:
    """Format the training data of ``environment.json``: dataset, fingerprint and occlusion."""
    occlusion = f", {data['occlusion']}" if data.get("occlusion") else ""
    return f"{data['dataset']} {data['data']}{occlusion}"


def paper_metrics(recipe: Recipe, store: Store, plan: EvaluationPlan) -> list[dict[str, Any]]:
    """Return the metrics that the paper reports for this dataset and protocol.

    Args:
        recipe: The run's recipe.
        store: The evaluated dataset.
        plan: The protocol.

    Returns:
        Rows of ``reported``; empty on rendered data and on another dataset than the training set.
    """
    dataset = recipe.data.dataset
    if store.rendered or store.info.dataset != dataset:
        return []
    name = protocols.published_name(dataset, plan.fingerprint)
    rows = [row for row in recipe.reported if (row.dataset, row.protocol) == (dataset, name)]
    metrics = [{key: value for key, value in row.model_dump().items() if value is not None} for row in rows]
    if store.records.trials:
        for row in metrics:
            over = f"mean over {counted(store.records.trials, 'trial')}"
            row["source"] = ", ".join(part for part in (row.get("source", ""), over) if part)
    return metrics
