"""Files of an evaluation in the run folder: rankings, embeddings with their trials, breakdown, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.engine.evaluate.scoring import EmbeddedRows, Outcome
from vireid_cli.metrics.breakdown import Group, by_camera_pair, by_label
from vireid_cli.metrics.chance import chance_cmc
from vireid_cli.metrics.outcome import Retrieval
from vireid_cli.metrics.retrieval import top
from vireid_cli.metrics.rounded import exact_products, inner_products
from vireid_cli.results import schema
from vireid_cli.results.evaluation import write_evaluation

TOP = 10
"""Number of matches per query in ``ranking.npz``."""

WORST = 20
"""Number of worst queries in a breakdown."""


def write(
    folder: Path,
    plan: EvaluationPlan,
    measured: EmbeddedRows,
    outcome: Outcome,
    content: schema.EvaluationFile,
) -> None:
    """Replace the protocol's folder atomically, and set the identifier of its files in ``content``."""
    side = measured.side(plan.rows)
    queries, galleries = (_flat(part, plan.rows) for part in (plan.queries, plan.galleries))
    embeddings = {
        "features": side.features.astype(np.float32),
        "pids": side.pids,
        "camids": side.camids,
        "modalities": side.modalities,
        "paths": side.paths,
        "queries": queries[0],
        "query_offsets": queries[1],
        "galleries": galleries[0],
        "gallery_offsets": galleries[1],
    }
    ranking = ranking_arrays(plan, measured, outcome)
    write_evaluation(folder, content, {schema.RANKING: ranking, schema.EMBEDDINGS: embeddings})


def ranking_arrays(plan: EvaluationPlan, measured: EmbeddedRows, outcome: Outcome) -> dict[str, np.ndarray]:
    """Return the arrays of ``ranking.npz``: best matches in trial 0, and metrics per query in all trials."""
    first = outcome.trials.results[0]
    query, gallery = measured.side(plan.queries[0]), measured.side(plan.galleries[0])
    scores = exact_products(query.features, gallery.features)
    best = top(scores, query.pids, gallery.pids, query.camids, gallery.camids, rule=plan.rule, k=TOP)
    return {
        "query_paths": query.paths,
        "query_pids": query.pids,
        "query_camids": query.camids,
        "gallery_paths": gallery.paths,
        "gallery_pids": gallery.pids,
        "gallery_camids": gallery.camids,
        "top": best,
        "scores": np.take_along_axis(scores, np.maximum(best, 0), axis=1).astype(np.float32),
        "average_precision": first.average_precision,
        "first_rank": first.first_rank,
        "first_ranks": np.concatenate([result.first_rank for result in outcome.trials]).astype(np.int32),
        "average_precisions": np.concatenate([result.average_precision for result in outcome.trials]),
        "inverse_negative_penalties": np.concatenate(
            [result.inverse_negative_penalty for result in outcome.trials]
        ),
        "first_rank_pids": np.concatenate(outcome.pids),
        "first_rank_offsets": np.concatenate(([0], np.cumsum([len(pids) for pids in outcome.pids]))),
    }


def chance_of(plan: EvaluationPlan, measured: EmbeddedRows) -> list[float]:
    """Expected CMC of a random ranking, mean over the plan's trials."""
    trials = []
    for query, gallery in zip(plan.queries, plan.galleries, strict=True):
        q, g = measured.labels(query), measured.labels(gallery)
        trials.append(
            chance_cmc(*q[:1], *g[:1], *q[1:], *g[1:], rule=plan.rule, merge_identities=plan.merge_identities)
        )
    mean: list[float] = np.mean(trials, axis=0).tolist()
    return mean


def _flat(parts: Sequence[np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate the rows of all trials as indices into ``rows``; return them and the trials' offsets."""
    lengths = [len(part) for part in parts]
    return np.searchsorted(rows, np.concatenate(parts)), np.concatenate(([0], np.cumsum(lengths)))


def breakdown(plan: EvaluationPlan, measured: EmbeddedRows, outcome: Outcome) -> schema.Breakdown:
    """Compute the error tables of a plain result: camera pairs, identities, worst queries."""
    sides = [measured.side(query) for query in plan.queries]
    identities = by_label(outcome.pids, outcome.trials.results)
    return schema.Breakdown(
        camera_pairs=[
            {"query_camera": g.key[0], "gallery_camera": g.key[1], **_figures(g)}
            for g in camera_pairs(plan, measured)
        ],
        identities=[
            {"pid": g.key[0], **_figures(g)} for g in sorted(identities, key=lambda g: (g.mAP, g.key))
        ],
        worst_queries=_worst(plan, measured, sides[0].paths, outcome.trials.results[0]),
    )


def camera_pairs(plan: EvaluationPlan, measured: EmbeddedRows) -> list[Group]:
    """Evaluate each pair of query camera and gallery camera separately, over the plan's trials."""
    if any(query is not plan.queries[0] for query in plan.queries):
        # If queries differ between trials, the tables use the first trial only.
        queries, galleries = plan.queries[0], plan.galleries[:1]
    else:
        queries, galleries = plan.queries[0], plan.galleries
    union = np.unique(np.concatenate(galleries))
    q, g = measured.side(queries), measured.side(union)
    return by_camera_pair(
        inner_products(q.features, g.features),
        [np.searchsorted(union, part) for part in galleries],
        q.pids,
        g.pids,
        q.camids,
        g.camids,
        rule=plan.rule,
        merge_identities=plan.merge_identities,
    )


def _figures(group: Group) -> schema.GroupRow:
    return {"queries": group.queries, "rank1": group.rank1, "mAP": group.mAP, "mINP": group.mINP}


def _worst(
    plan: EvaluationPlan, measured: EmbeddedRows, paths: np.ndarray, first: Retrieval
) -> list[schema.QueryRow]:
    """Return the valid queries of trial 0 with the lowest AP, and the best match of each."""
    valid = np.flatnonzero(first.valid_mask)
    worst = valid[np.argsort(first.average_precision[valid], kind="stable")[:WORST]]
    q, g = measured.side(plan.queries[0]).take(worst), measured.side(plan.galleries[0])
    scores = exact_products(q.features, g.features)
    best = top(scores, q.pids, g.pids, q.camids, g.camids, rule=plan.rule, k=1)[:, 0]
    return [
        {
            "path": str(paths[query]),
            "pid": int(q.pids[i]),
            "camera": int(q.camids[i]),
            "average_precision": float(first.average_precision[query]),
            "first_rank": int(first.first_rank[query]),
            "best_match": str(g.paths[best[i]]),
            "best_match_pid": int(g.pids[best[i]]),
        }
        for i, query in enumerate(worst)
    ]
