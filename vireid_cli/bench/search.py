"""Speed, recall and memory of searches in an index of synthetic identities."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vireid_cli.bench.timing import peak_memory
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.search import approximate
from vireid_cli.search.approximate_search import nearest
from vireid_cli.search.exact import faiss
from vireid_cli.search.index import Index, Kind

IMAGES = 20
"""Images per identity."""

SPREAD = 1.0
"""Length of the difference between an image's embedding and that of its identity, before normalisation."""

DECAY = 34
"""Values over which the ``decaying`` standard deviations fall by the factor e: the covariance's effective
dimension is then 34, as measured for embeddings of trained networks (15 to 33)."""

CAMERAS = 6
TOP = 10
WHERE = "camid in (3, 6)"
SHARES = (67, 33, 10, 1)
"""Percentages of selected records, by the column ``percentile``."""

REPEATS = 3

DEPTHS = (20, 100)
"""Further numbers of matches of which the recall of an approximate kind is measured."""

Keep = Callable[[np.ndarray], np.ndarray]
Spectrum = Literal["flat", "decaying"]

_PART = 50_000
"""Records per addition, so that the benchmark's own arrays stay small."""

_FINGERPRINT = {"weights_sha256": "benchmark", "size": "", "resize": "", "decoder": {}, "embedding": ""}


def search(
    session: Session,
    *,
    records: int,
    width: int = 512,
    queries: int = 100,
    kind: Kind = "exact",
    spectrum: Spectrum = "flat",
) -> dict[str, Any]:
    """Measure an index: additions, exact search with and without a filter, an approximate kind, memory.

    Identities have ``IMAGES`` images each, at a cosine similarity of about 0.5. Queries are further images of
    the same identities. With a flat spectrum all directions have the same variance, the hardest case for an
    approximate search of one identity's images; a decaying one is that of trained networks, where people
    resemble each other. Times are processor seconds of this process per query of one batch; medians of
    ``REPEATS``. Recall is the share of the ten best rows by float64 products over all rows.

    Args:
        session: Its reporter receives progress.
        records: Number of records.
        width: Width of the embeddings.
        queries: Queries per batch.
        kind: Also measure this approximate kind.
        spectrum: Variances of the embeddings' directions: ``flat`` or ``decaying``, see ``DECAY``.

    Raises:
        UsageError: An approximate kind with too few records.
    """
    if kind != "exact" and records <= approximate.BUILT_FROM:
        raise UsageError(
            f"an index of {records:,} records is searched exactly, of any kind.",
            f"{kind} is measured with more than {approximate.BUILT_FROM:,} records.",
        )
    scale = np.ones(width, np.float32)
    if spectrum == "decaying":
        scale = np.exp(-np.arange(width, dtype=np.float32) / DECAY)
    with tempfile.TemporaryDirectory(prefix="vireid-bench-search-") as folder:
        index = Index.create(Path(folder) / "index")
        started = time.process_time()
        for first in range(0, records, _PART):
            rows = np.arange(first, min(first + _PART, records))
            index.add(_images(rows, records, scale), _columns(rows), fingerprint=_FINGERPRINT)
            session.reporter.advance("adding", int(rows[-1]) + 1, records)
        result: dict[str, Any] = {
            "records": records,
            "width": width,
            "spectrum": spectrum,
            "queries": queries,
            "adding_cpu_seconds": time.process_time() - started,
        }
        batch = _images(np.arange(queries) * max(1, records // queries), records, scale, seed=1)
        result["exact"] = _measured(index, batch, None, _every)
        result["exact_filtered"] = {"where": WHERE, **_measured(index, batch, WHERE, _in_where)}
        result["exact_memory_gib"] = peak_memory() / 2**30
        if kind != "exact":
            result[kind] = _approximate(session, index, kind, batch, result["exact"])
        result["peak_memory_gib"] = peak_memory() / 2**30
        result["faiss"] = faiss().__version__
        index.close()
    return result


def _measured(index: Index, batch: np.ndarray, where: str | None, keep: Keep) -> dict[str, Any]:
    """Time and recall of a search through the index; ``keep`` is the filter ``where`` on row numbers."""
    first = _cpu(lambda: index.search(batch, top=TOP, where=where), repeats=1)
    milliseconds = 1000 / len(batch) * _cpu(lambda: index.search(batch, top=TOP, where=where))
    results = index.search(batch, top=TOP, where=where)
    listed = np.array([[int(match.record.path) for match in matches] for matches in results])
    return {
        "ms_per_query": milliseconds,
        "first_ms_per_query": 1000 / len(batch) * first,
        "recall_at_10": _recall(listed, _brute(index, batch, keep)),
    }


def _approximate(
    session: Session, index: Index, kind: Kind, batch: np.ndarray, exact: dict[str, Any]
) -> dict[str, Any]:
    """Build a structure, and compare its search with the exact one."""
    started = time.process_time()
    index.compact(build_progress=session.reporter.progress("building"), kind=kind)
    seconds = time.process_time() - started
    measured = _measured(index, batch, None, _every)
    with index.snapshot() as state:
        structure, vectors = state.structure(), state.vectors
        products = _cpu(lambda: nearest(None, batch, vectors, None, TOP))
        candidates = _cpu(lambda: nearest(structure, batch, vectors, None, TOP))
        deeper = {
            f"recall_at_{top}": _recall(
                nearest(structure, batch, vectors, None, top)[0], nearest(None, batch, vectors, None, top)[0]
            )
            for top in DEPTHS
        }
    described = index.info()["structure"]
    return {
        "build_cpu_seconds": seconds,
        "effort": described["effort"],
        "components": described["components"],
        "structure_bytes": (index.folder / described["file"]).stat().st_size,
        "recall_at_build": described["recall"],
        **measured,
        **deeper,
        "times_faster": exact["ms_per_query"] / measured["ms_per_query"],
        "vector_search_ms_per_query": 1000 * candidates / len(batch),
        "vector_search_times_faster": products / candidates,
        "filtered": {f"{share} %": _measured(index, batch, *_share(share)) for share in SHARES},
    }


def _every(rows: np.ndarray) -> np.ndarray:
    """Mark all rows: (n,) bool."""
    return np.ones(len(rows), dtype=bool)


def _in_where(rows: np.ndarray) -> np.ndarray:
    """Mark the rows that ``WHERE`` selects."""
    return np.isin(rows % CAMERAS + 1, (3, 6))


def _share(percent: int) -> tuple[str, Keep]:
    """Filter of a percentage of the records, as text and on row numbers."""
    return f"percentile < {percent}", lambda rows: _percentiles(rows) < percent


def _cpu(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median processor seconds of this process, all threads included."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def _images(rows: np.ndarray, records: int, scale: np.ndarray, seed: int = 0) -> np.ndarray:
    """Embeddings of images: (n, D) float32; a row depends on its number and the seed only.

    ``scale`` has the D standard deviations before normalisation.
    """
    identities = rows % max(1, records // IMAGES)
    result = _drawn(2, identities, len(scale)) + SPREAD * _drawn(3 + seed, rows, len(scale))
    result *= scale
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
        "percentile": _percentiles(rows).tolist(),
    }


def _percentiles(rows: np.ndarray) -> np.ndarray:
    """Pseudo-random percentile of each row, 0 to 99: Knuth's multiplicative hash."""
    return (rows.astype(np.uint64) * np.uint64(2654435761) % np.uint64(2**32) >> np.uint64(8)) % np.uint64(
        100
    )


def _brute(index: Index, batch: np.ndarray, keep: Keep) -> np.ndarray:
    """Rows with the largest products in float64, over all rows: (Q, 10)."""
    best = np.empty((len(batch), 0))
    rows = np.empty((len(batch), 0), np.int64)
    with index.snapshot() as state:
        for first in range(0, len(state.vectors), 8192):
            block = state.vectors[first : first + 8192].astype(np.float64)
            numbers = np.arange(first, first + len(block))
            scores = batch.astype(np.float64) @ block.T
            scores[:, ~keep(numbers)] = -np.inf
            near = np.argpartition(scores, -min(TOP, len(block)), axis=1)[:, -TOP:]
            best = np.concatenate([best, np.take_along_axis(scores, near, 1)], axis=1)
            rows = np.concatenate([rows, numbers[near]], axis=1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :TOP]
            best, rows = np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)
    return rows


def _recall(listed: np.ndarray, expected: np.ndarray) -> float:
    """Mean share of the expected rows among the listed ones."""
    return float((listed[:, :, None] == expected[:, None, :]).any(axis=1).mean())
