"""Evaluation of a file of features or distances with the galleries that a dataset's protocol draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data import protocols
from vireid_cli.data.features import FeatureFile
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.provenance import Provenance
from vireid_cli.data.store import Store, StoreInfo
from vireid_cli.engine.evaluate.result import (
    EvaluateOptions,
    Evaluation,
    RankedImages,
    evaluate_protocol,
)
from vireid_cli.engine.evaluate.scoring import FLIPS, RERANKS, EmbeddedRows, Outcome
from vireid_cli.engine.evaluate.summary import summarize
from vireid_cli.errors import UsageError
from vireid_cli.metrics.outcome import Trials
from vireid_cli.metrics.retrieval import evaluate_distances
from vireid_cli.results.evaluation import write_evaluation
from vireid_cli.types import Embeddings, RecordTable


def evaluate_draws(
    path: Path, file: FeatureFile, dataset: str, options: EvaluateOptions, home: Path | None
) -> list[Evaluation]:
    """Evaluate a file with paths under each requested protocol of a dataset that draws galleries.

    All images of the file count as test images: whether the file is complete is not known.

    Args:
        path: The file, for the fingerprint.
        file: Its content, with paths.
        dataset: Dataset that defines the protocol.
        options: Protocol settings, re-ranking and breakdown.
        home: Folder that receives a folder per protocol; None: nothing is written.

    Raises:
        UsageError: A setting is unknown to the protocol, or needs the dataset's files.
        DataError: The file lacks cameras of the protocol.
    """
    request = options.request
    if request.draw == "official":
        raise UsageError(
            "The official draw needs rand_perm_cam.mat and the images of the dataset.",
            "Use the seeded draw (remove --protocol), or evaluate a run: vireid evaluate --protocol official",
        )
    if protocols.has_directions(dataset) and request.directions is None:
        request = replace(request, directions=("i2v",))  # infrared queries, as the file is read
    embedded, (queries, _) = joined(file)
    table = RecordTable(
        embedded.paths,
        embedded.pids,
        embedded.camids,
        embedded.modalities,
        np.full(len(embedded), "test"),
    )
    info = StoreInfo(dataset, path.parent, Provenance(), fingerprint="", images=len(table))
    results = []
    for plan in protocols.plans_for(Store(path.parent, table, info), request):
        folder = None if home is None else home / plan.name
        fingerprint = _fingerprint(plan, dataset, path, file.distance_name)
        if file.distance is None:
            measured = EmbeddedRows(embedded, np.arange(len(embedded)))
            results.append(evaluate_protocol(plan, [measured], options, fingerprint, [], folder))
        else:
            results.append(_by_distances(plan, file, len(queries), options, fingerprint, folder))
    return results


def _fingerprint(plan: EvaluationPlan, dataset: str, path: Path, distance: str) -> dict[str, Any]:
    return {
        **plan.fingerprint,
        "dataset": f"{dataset} (images of the file)",
        "source": dataset,
        "features": path.name,
        "distance": distance,
        "rerank": RERANKS["none"],
        "test_time_augmentation": FLIPS["off"],
    }


def _by_distances(
    plan: EvaluationPlan,
    file: FeatureFile,
    count: int,
    options: EvaluateOptions,
    fingerprint: dict[str, Any],
    folder: Path | None,
) -> Evaluation:
    """Evaluate the distances of each trial; the first ``count`` rows of the plan are the file's queries.

    Raises:
        UsageError: An option needs the scores of all pairs, or the protocol exchanges the roles.
    """
    assert file.distance is not None
    for option, value in (("--rerank", options.rerank), ("--breakdown", options.breakdown)):
        if value:
            raise UsageError(f"{option} needs the matrix of all scores; the file has distances only.")
    results = []
    for query, gallery in zip(plan.queries, plan.galleries, strict=True):
        if (query >= count).any() or (gallery < count).any():
            raise UsageError(
                f"{plan.name} exchanges queries and gallery, which distances do not allow.",
                "Store features instead of distances, or choose another protocol.",
            )
        columns = gallery - count
        results.append(
            evaluate_distances(
                file.distance[np.ix_(query, columns)],
                file.q_pids[query],
                file.g_pids[columns],
                file.q_camids[query],
                file.g_camids[columns],
                rule=plan.rule,
                merge_identities=plan.merge_identities,
            )
        )
    outcome = Outcome(Trials(tuple(results)), tuple(file.q_pids[query] for query in plan.queries))
    content = summarize(plan.name, fingerprint, [outcome], [])
    if folder is not None:
        write_evaluation(folder, content, {})
    return Evaluation(content, outcome, folder, images=file_images(file, plan))


def file_images(file: FeatureFile, plan: EvaluationPlan | None = None) -> RankedImages:
    """Return the images of a file: queries, then gallery.

    Args:
        file: The file.
        plan: Plan of the trials with rows of both sides, as of ``joined``; None: one trial with all images.
    """
    count, total = len(file.query), len(file.query) + len(file.gallery)
    pids, camids, paths = (
        np.concatenate([getattr(side, name) for side in (file.query, file.gallery)])
        for name in ("pids", "camids", "paths")
    )
    queries = (np.arange(count),) if plan is None else plan.queries
    galleries = (np.arange(count, total),) if plan is None else plan.galleries
    return RankedImages(pids, camids, paths if file.has_paths else None, queries, galleries)


def joined(file: FeatureFile) -> tuple[Embeddings, tuple[np.ndarray, np.ndarray]]:
    """Concatenate queries and gallery; return the embeddings and the rows of both in them."""
    sides = (file.query, file.gallery)
    names = ("query", "gallery")
    paths = [
        side.paths if file.has_paths else [f"{name} {i}" for i in range(len(side))]
        for name, side in zip(names, sides, strict=True)
    ]
    together = Embeddings(
        np.concatenate([side.features for side in sides]),
        np.concatenate([side.pids for side in sides]),
        np.concatenate([side.camids for side in sides]),
        np.concatenate([side.modalities for side in sides]),
        np.concatenate(paths),
    )
    cut = len(file.query)
    return together, (np.arange(cut), np.arange(cut, len(together)))
