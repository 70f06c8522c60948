"""Speed, recall and memory of searches in an index of synthetic identities."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.bench.timing import peak_memory
from vireid_cli.engine.session import Session
from vireid_cli.search.approximate_search import nearest
from vireid_cli.search.exact import faiss
from vireid_cli.search.index import Index, Kind

IMAGES = 20
"""Images per identity."""

SPREAD = 1.0
"""Length of the difference between an image's embedding and that of its identity, before normalisation."""

CAMERAS = 6
TOP = 10
WHERE = "camid in (3, 6)"
REPEATS = 3

_PART = 50_000
"""Records per addition, so that the benchmark's own arrays stay small."""

_FINGERPRINT = {"weights_sha256": "benchmark", "size": "", "resize": "", "decoder": {}, "embedding": ""}


def search(
    session: Session, *, records: int, width: int = 512, queries: int = 100, kind: Kind = "exact"
) -> dict[str, Any]:
    """Measure an index: additions, exact search with and without a filter, an approximate kind, memory.

    Identities have ``IMAGES`` images each, at a cosine similarity of about 0.5. Queries are further images of
    the same identities. Times are processor seconds of this process per query of one batch; medians of
    ``REPEATS``. Recall is the share of the ten best rows by float64 products over all rows.

    Args:
        session: Its reporter receives progress.
        records: Number of records.
        width: Width of the embeddings.
        queries: Queries per batch.
        kind: Also measure this approximate kind.
    """
    with tempfile.TemporaryDirectory(prefix="vireid-bench-search-") as folder:
        index = Index.create(Path(folder) / "index")
        started = time.process_time()
        for first in range(0, records, _PART):
            rows = np.arange(first, min(first + _PART, records))
            index.add(_images(rows, records, width), _columns(rows), fingerprint=_FINGERPRINT)
            session.reporter.advance("adding", int(rows[-1]) + 1, records)
        result: dict[str, Any] = {
            "records": records,
            "width": width,
            "queries": queries,
            "adding_cpu_seconds": time.process_time() - started,
        }
        batch = _images(np.arange(queries) * max(1, records // queries), records, width, seed=1)
        result["exact"] = _measured(index, batch, None)
        result["exact_filtered"] = {"where": WHERE, **_measured(index, batch, WHERE)}
        if kind != "exact":
            result[kind] = _approximate(session, index, kind, batch, result["exact"])
        result["peak_memory_gib"] = peak_memory() / 2**30
        result["faiss"] = faiss().__version__
        index.close()
    return result


def _measured(index: Index, batch: np.ndarray, where: str | None) -> dict[str, Any]:
    """Time and recall of a search through the index."""
    first = _cpu(lambda: index.search(batch, top=TOP, where=where), repeats=1)
    milliseconds = 1000 / len(batch) * _cpu(lambda: index.search(batch, top=TOP, where=where))
    results = index.search(batch, top=TOP, where=where)
    listed = np.array([[int(match.record.path) for match in matches] for matches in results])
    return {
        "ms_per_query": milliseconds,
        "first_ms_per_query": 1000 / len(batch) * first,
        "recall_at_10": _recall(listed, _brute(index, batch, where)),
    }


def _approximate(
    session: Session, index: Index, kind: Kind, batch: np.ndarray, exact: dict[str, Any]
) -> dict[str, Any]:
    """Build a structure, and compare its search with the exact one."""
    started = time.process_time()
    index.compact(lambda done, total: session.reporter.advance("building", done, total), kind=kind)
    seconds = time.process_time() - started
    measured = _measured(index, batch, None)
    filtered = _measured(index, batch, WHERE)
    with index.snapshot() as state:
        structure, vectors = state.structure(), state.vectors
        products = _cpu(lambda: nearest(None, batch, vectors, None, TOP))
        candidates = _cpu(lambda: nearest(structure, batch, vectors, None, TOP))
    described = index.info()["structure"]
    return {
        "build_cpu_seconds": seconds,
        "effort": described["effort"],
        "recall_at_build": described["recall"],
        "recall_at_10": measured["recall_at_10"],
        "recall_at_10_filtered": filtered["recall_at_10"],
        "ms_per_query": measured["ms_per_query"],
        "times_faster": exact["ms_per_query"] / measured["ms_per_query"],
        "vector_search_ms_per_query": 1000 * candidates / len(batch),
        "vector_search_times_faster": products / candidates,
    }


def _cpu(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median processor seconds of this process, all threads included."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def _images(rows: np.ndarray, records: int, width: int, seed: int = 0) -> np.ndarray:
    """Embeddings of images: (n, width) float32; a row depends on its number and the seed only."""
    identities = rows % max(1, records // IMAGES)
    result = _drawn(2, identities, width) + SPREAD * _drawn(3 + seed, rows, width)
    return result / np.linalg.norm(result, axis=1, keepdims=True)


def _drawn(stream: int, numbers: np.ndarray, width: int) -> np.ndarray:
    """Normal values of some numbers: (n, width) float32, drawn by blocks of 1,000 numbers."""
    result = np.empty((len(numbers), width), np.float32)
    for block in np.unique(numbers // 1000):
        chosen = numbers // 1000 == block
        values = np.random.default_rng([stream, int(block)]).standard_normal((1000, width), np.float32)
        result[chosen] = values[numbers[chosen] % 1000]
    return result


def _columns(rows: np.ndarray) -> dict[str, Any]:
    """Records: the row's number as path, one of six cameras."""
    return {
        "path": [str(row) for row in rows.tolist()],
        "modality": ["visible"] * len(rows),
        "camid": (rows % CAMERAS + 1).tolist(),
    }


def _brute(index: Index, batch: np.ndarray, where: str | None) -> np.ndarray:
    """Rows with the largest products in float64, over all rows: (Q, 10)."""
    best = np.empty((len(batch), 0))
    rows = np.empty((len(batch), 0), np.int64)
    with index.snapshot() as state:
        for first in range(0, len(state.vectors), 8192):
            block = state.vectors[first : first + 8192].astype(np.float64)
            numbers = np.arange(first, first + len(block))
            scores = batch.astype(np.float64) @ block.T
            if where is not None:
                scores[:, ~np.isin(numbers % CAMERAS + 1, (3, 6))] = -np.inf
            near = np.argpartition(scores, -min(TOP, len(block)), axis=1)[:, -TOP:]
            best = np.concatenate([best, np.take_along_axis(scores, near, 1)], axis=1)
            rows = np.concatenate([rows, numbers[near]], axis=1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :TOP]
            best, rows = np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)
    return rows


def _recall(listed: np.ndarray, expected: np.ndarray) -> float:
    """Mean share of the expected rows among the listed ones."""
    return float((listed[:, :, None] == expected[:, None, :]).any(axis=1).mean())
