"""Speed and memory of evaluation: compared with a loop over queries, and streamed over a large gallery."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.bench.timing import interleaved, peak_memory
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.layout import plan_ranks
from vireid_cli.metrics.outcome import Retrieval, result_of
from vireid_cli.metrics.retrieval import evaluate_distances, evaluate_trials
from vireid_cli.metrics.rounded import inner_products
from vireid_cli.metrics.streaming import rank_stream

Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Query pids, gallery pids, query camids and gallery camids."""

SHAPES = ("3803x301", "3803x3010", "2060x2060")
"""Queries × gallery of SYSU-MM01 single- and multi-shot, and of RegDB."""

LOOP = (
    "per query over one argsort of all: filter the ranking, match, merge identities, precision at every rank "
    "(the steps of the field's evaluators; stable sort)"
)
FACTORS, NOISE = 64, 1.2
"""Dimension of the space of random embeddings, and their noise relative to their identity's centre. Cosines
of two people then have a deviation of 1/8, as those of trained networks, and mAP is about 0.6."""

IDENTITIES_PER_GALLERY = 10
"""Images per identity in the large gallery."""


def evaluate(
    session: Session, *, shapes: Sequence[str] = SHAPES, repeats: int, width: int | None = None
) -> dict[str, Any]:
    """Compare CMC, mAP and mINP of a distance matrix with a loop over queries: seconds and differences.

    Args:
        session: Session with the device.
        shapes: Matrix sizes ``QUERIESxGALLERY``.
        repeats: Interleaved repetitions.
        width: Width of embeddings. Both sides then include the product; that of the loop is a float32 one.
    """
    results: dict[str, Any] = {"loop": LOOP, "repeats": repeats}
    if width is not None:
        results["width"] = width
    for shape in shapes:
        queries, gallery = (int(n) for n in shape.split("x"))
        distances, labels, merge = _retrieval(queries, gallery)
        rule: CameraRule = "sysu" if merge else "none"
        works: dict[str, Callable[[], Any]] = {
            "loop": _call(evaluate_by_loop, distances, labels, rule, merge),
            "ours": _call(evaluate_distances, distances, labels, rule, merge),
        }
        if width is not None:
            works = _from_embeddings(labels, width, rule, merge)
        loop, ours = works["loop"](), works["ours"]()
        seconds = interleaved(works, repeats, session.runtime)
        results[shape] = {
            "loop_seconds": seconds["loop"],
            "seconds": seconds["ours"],
            "times_faster": seconds["loop"] / seconds["ours"],
            "cmc_difference": float(np.abs(loop[0] - ours.cmc).max()),
            "mAP_difference": abs(loop[1] - ours.mAP),
            "mINP_difference": abs(loop[2] - ours.mINP),
        }
    return results


def gallery(session: Session, *, images: int, queries: int = 3803, width: int = 512) -> dict[str, Any]:
    """Measure time and peak memory of the evaluation of a large gallery in blocks.

    The benchmark evaluates a quarter, a half and the whole of the gallery. ``growth`` is the slope of log
    time over log size from half to whole; 1 is linear.

    Args:
        session: Session; unused, the benchmark runs on the CPU.
        images: Number of gallery images.
        queries: Number of queries.
        width: Width of the embeddings.

    Raises:
        UsageError: Fewer than 400 gallery images.
    """
    if images < 400:
        raise UsageError(f"--gallery {images}: expected at least 400 images.")
    random = np.random.default_rng(0)
    features = np.empty((images, width), dtype=np.float32)
    for first in range(0, images, 4096):
        random.standard_normal(dtype=np.float32, out=features[first : first + 4096])
    query_features = random.standard_normal((queries, width), dtype=np.float32)
    g_pids = np.arange(images) // IDENTITIES_PER_GALLERY
    # queries have identities of the first quarter, so that they are valid at all three sizes
    q_pids = random.integers(0, max(1, images // (4 * IDENTITIES_PER_GALLERY)), queries)
    labels = (q_pids, g_pids, random.choice([3, 6], queries), random.choice([1, 2, 4, 5], images))
    sizes = [images // 4, images // 2, images]
    rows = [_stream(query_features, features[:size], labels, size) for size in sizes]
    return {
        "queries": queries,
        "width": width,
        "identities": int(g_pids[-1]) + 1,
        "sizes": rows,
        "growth": math.log(rows[2]["seconds"] / rows[1]["seconds"]) / math.log(2),
        "metric_over_product": rows[2]["metric_over_product"],
        "features_gib": features.nbytes / 2**30,
        "score_matrix_gib": queries * images * 4 / 2**30,
        "peak_memory_gib": peak_memory() / 2**30,
    }


def _stream(queries: np.ndarray, features: np.ndarray, labels: Labels, size: int) -> dict[str, Any]:
    """Evaluate one gallery, and measure the time of the matrix products separately."""
    product_seconds = 0.0

    def product(positions: np.ndarray) -> np.ndarray:
        """Compute the scores (Q, n) of gallery rows, and add up the time."""
        nonlocal product_seconds
        start = time.perf_counter()
        scores: np.ndarray = queries @ features[positions].T  # (Q, n)
        product_seconds += time.perf_counter() - start
        return scores

    start = time.perf_counter()
    q_pids, g_pids, q_camids, g_camids = labels
    plan = plan_ranks(q_pids, g_pids[:size], q_camids, g_camids[:size], rule="sysu", merge_identities=True)
    result = result_of(plan, rank_stream(plan, product))
    seconds = time.perf_counter() - start
    return {
        "gallery": size,
        "seconds": seconds,
        "product_seconds": product_seconds,
        "metric_seconds": seconds - product_seconds,
        "metric_over_product": (seconds - product_seconds) / product_seconds,
        "valid_queries": result.valid,
        "mAP": result.mAP,
    }


def _from_embeddings(
    labels: Labels, width: int, rule: CameraRule, merge: bool
) -> dict[str, Callable[[], Any]]:
    """Return evaluations of random embeddings of unit length, product included."""
    random = np.random.default_rng(0)
    factors = min(width, FACTORS)
    spread = random.standard_normal((factors, width)) / math.sqrt(width)
    centers = random.standard_normal((int(max(labels[0].max(), labels[1].max())) + 1, factors))
    sides = [centers[pids] + NOISE * random.standard_normal((len(pids), factors)) for pids in labels[:2]]
    unit = [
        (s @ spread / np.linalg.norm(s @ spread, axis=1, keepdims=True)).astype(np.float32) for s in sides
    ]
    everything = [np.arange(len(unit[1]))]

    def ours() -> Retrieval:
        """Evaluate by the product with repeated close scores."""
        product = inner_products(*unit)
        return evaluate_trials(product, everything, *labels, rule=rule, merge_identities=merge).results[0]

    def loop() -> tuple[np.ndarray, float, float]:
        """Evaluate by a float32 product and a loop."""
        return evaluate_by_loop(-(unit[0] @ unit[1].T), *labels, rule=rule, merge_identities=merge)

    return {"loop": loop, "ours": ours}


def _call(
    evaluator: Callable[..., Any], distances: np.ndarray, labels: Labels, rule: CameraRule, merge: bool
) -> Callable[[], Any]:
    return lambda: evaluator(distances, *labels, rule=rule, merge_identities=merge)


def _retrieval(queries: int, gallery: int) -> tuple[np.ndarray, Labels, bool]:
    """Return random distances, labels like those of SYSU-MM01 (96 ids) or RegDB (206 ids), and a flag."""
    random = np.random.default_rng(0)
    merge = queries != gallery
    ids = 96 if merge else 206
    q_pids, g_pids = np.sort(np.arange(queries) % ids), np.sort(np.arange(gallery) % ids)
    q_camids = random.choice([3, 6], queries) if merge else np.full(queries, 1)
    g_camids = random.choice([1, 2, 4, 5], gallery) if merge else np.full(gallery, 2)
    distances = random.standard_normal((queries, gallery)).astype(np.float32)
    return distances, (q_pids, g_pids, q_camids, g_camids), merge
