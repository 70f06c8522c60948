"""Construction of the approximate structures: FAISS' HNSW and IVF-PQ, tuned by their measured recall.

HNSW walks a graph of the vectors' leading principal components, 8 bits each. The graph's distances only
choose the candidates, so a few components suffice: the least number is taken whose best candidates contain
the true matches. Memory and time of a distance fall with it: 96 components of 512 float32 values have a 21st
of the bytes. Vectors have unit length, so Euclidean distances rank as inner products do, and the components'
origin is the mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vireid_cli.search.approximate import (
    CELL_EFFORTS,
    DEPTHS,
    EFFORTS,
    ApproximateKind,
    Structure,
    selector_of,
)
from vireid_cli.search.cells import empty_cells
from vireid_cli.search.exact import exact_top, faiss
from vireid_cli.types import Progress

TAIL_SHARE = 0.1
"""Largest share of rows behind the structure, before an addition extends it."""

TARGETS = (0.985, 0.9, 0.9)
"""Recalls of the sample at which an effort is accepted, for ``DEPTHS``; its standard error is about 0.003.

Recall@10 is then at least 0.98. The further neighbours of a person's last image are often equally far away.
"""

SAMPLE = 400
"""Number of vectors that measure the recall."""

WIDTHS = (64, 96, 128, 192, 256)
"""Tried numbers of principal components of HNSW, before all values of the vectors."""

_COMPONENTS_HIT = 0.995
"""Share of the true matches among the best candidates by components, for a number to be accepted."""

_DEPTH = 2 * DEPTHS[0] + 32
"""Number of these candidates, which the search scores exactly."""

_NEIGHBOURS = 32
"""Links per row of HNSW, twice as many in the lowest layer.

With 1,000,000 rows of a decaying spectrum, a recall@10 of 0.985 takes an effort of 256 with 24 links, and of
192 with 32.
"""

_CONSTRUCTION = 160
"""Effort of HNSW's construction; 240 takes 1.6 times as long and lowers the effort of a search by a tenth."""

_TRAINED = 50_000
_STEP_BYTES = 4 << 20

_COVARIANCE_WIDTH = 1024
"""Width of vectors from which their principal components are computed from fewer rows than values."""


def build(
    kind: ApproximateKind,
    vectors: np.ndarray,
    live: np.ndarray,
    *,
    former: Structure | None = None,
    progress: Progress | None = None,
) -> tuple[Structure, float]:
    """Build a structure over all rows, or extend one, and measure it.

    Args:
        kind: ``hnsw`` or ``ivf-pq``.
        vectors: (N, D) float32, N ≥ 1,000 for FAISS' training.
        live: (n,) rows with a record, ascending.
        former: Structure over the first rows, to be extended; it is changed.
        progress: Called with the numbers of added and of all rows.

    Returns:
        The structure, with the least efforts of ``EFFORTS`` that reach ``TARGETS``, for ten matches the last
        one if none does; and its recall@10 against exact search.
    """
    if former and not isinstance(former.index, _types()[kind]):
        former = None  # of an earlier version
    first = former.covered if former else 0
    sample = _Sample(vectors, live, first)
    index = former.index if former else _empty(kind, sample)
    held = np.isin(np.arange(first, len(vectors)), sample.places, assume_unique=True)
    rows = first + np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
    step = max(1, _STEP_BYTES // (4 * vectors.shape[1]))
    before = len(rows) - len(sample.places)  # the sample is measured before the graph has it
    starts = [*range(0, before, step), before]
    tuned = None
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        if start == before:
            tuned = _tuned(kind, index, sample)
        part = rows[start:end]
        index.add_with_ids(np.ascontiguousarray(vectors[part]), part)
        if progress:
            progress(first + end, len(vectors))
    assert tuned is not None  # the last step begins at ``before``
    return tuned


def _types() -> dict[ApproximateKind, type]:
    """FAISS' type of each kind's index."""
    return {"hnsw": faiss().IndexIDMap, "ivf-pq": faiss().IndexPreTransform}


class _Sample:
    """Vectors that measure the recall before the structure has them, with their true matches.

    A vector of a graph finds its own neighbours too easily: with 100,000 vectors the recall of such a sample
    was 0.996, and that of new queries 0.979.

    Attributes:
        vectors: (N, D) all rows.
        live: (n,) rows with a record.
        places: (S,) rows of the sample, ascending, at most ``SAMPLE``.
        queries: Their vectors.
        selected: ``live`` without the sample; None for the structure if all rows have a record.
        exact: (S, 100) best rows of each.
    """

    def __init__(self, vectors: np.ndarray, live: np.ndarray, first: int) -> None:
        self.vectors, self.live = vectors, live
        new = live[np.searchsorted(live, first) :]
        count = min(SAMPLE, max(1, len(new) // 4))
        self.places = np.sort(np.random.default_rng(1).permutation(new)[:count])
        self.queries = np.ascontiguousarray(vectors[self.places])
        others = np.setdiff1d(live, self.places, assume_unique=True)
        self.selected = None if len(live) == len(vectors) else others
        self.exact, _ = exact_top(self.queries, vectors, others, DEPTHS[-1])

    def recall(self, proposed: np.ndarray, top: int) -> float:
        """Recall of proposed slots for ``top`` matches; see ``recall_of``."""
        return recall_of(proposed, self.exact, top)


def _empty(kind: ApproximateKind, sample: _Sample) -> Any:
    """Create a trained index without rows."""
    vectors, live = sample.vectors, sample.live
    trained = vectors[np.sort(np.random.default_rng(0).permutation(live)[:_TRAINED])]
    if kind == "hnsw":
        return _empty_graph(trained, sample)
    places = sample.exact[:, min(DEPTHS[0], max(1, len(live) // 2)) - 1]
    known = places >= 0
    near = np.stack([sample.queries[known], vectors[places[known]]], axis=1)
    covered = np.setdiff1d(live, sample.places, assume_unique=True)
    return empty_cells(trained, vectors, covered, near)


def _empty_graph(trained: np.ndarray, sample: _Sample) -> Any:
    """Create a trained HNSW index over the least sufficient number of principal components."""
    library = faiss()
    codes, metric = library.ScalarQuantizer.QT_8bit_uniform, library.METRIC_L2
    width = trained.shape[1]
    components = _components(trained, min(WIDTHS[-1], width))
    for number in (*(w for w in WIDTHS if w < components.d_out), components.d_out):
        leading = library.PCAMatrix(width, number)
        leading.copy_from(components)
        flat = library.IndexPreTransform(leading, library.IndexScalarQuantizer(number, codes, metric))
        flat.train(trained)
        if number == components.d_out == width or _suffices(flat, sample):
            graph = library.IndexHNSWSQ(number, codes, _NEIGHBOURS, metric)
            graph.hnsw.efConstruction = _CONSTRUCTION
            index = library.IndexPreTransform(leading, graph)
            index.train(trained)
            return library.IndexIDMap(index)
    graph = library.IndexHNSWSQ(width, codes, _NEIGHBOURS, metric)
    graph.hnsw.efConstruction = _CONSTRUCTION
    graph.train(trained)
    return library.IndexIDMap(graph)


def _components(trained: np.ndarray, number: int) -> Any:
    """Principal components of the rows: FAISS' ``PCAMatrix`` with ``number`` outputs."""
    width = trained.shape[1]
    # of fewer rows than values, FAISS decomposes the rows' products: quadratic in the rows, not in the width
    rows = trained if width <= _COVARIANCE_WIDTH else trained[:_COVARIANCE_WIDTH]
    components = faiss().PCAMatrix(width, min(number, len(rows)))
    components.train(rows)
    return components


def _suffices(flat: Any, sample: _Sample) -> bool:
    """Whether the true matches are among the ``_DEPTH`` best candidates by components."""
    library, vectors = faiss(), sample.vectors
    step = max(1, _STEP_BYTES // (4 * vectors.shape[1]))
    for start in range(0, len(vectors), step):
        flat.add(np.ascontiguousarray(vectors[start : start + step]))
    chosen = {} if sample.selected is None else {"sel": selector_of(sample.selected, len(vectors))}
    depth = min(_DEPTH, len(vectors))
    _, slots = flat.search(sample.queries, depth, params=library.SearchParameters(**chosen))
    return sample.recall(np.asarray(slots), DEPTHS[0]) >= _COMPONENTS_HIT


def _tuned(kind: ApproximateKind, index: Any, sample: _Sample) -> tuple[Structure, float]:
    """Choose the efforts by the recall of the sample, which the index does not have yet."""
    structure = Structure(kind, index, len(sample.vectors), (None,) * len(DEPTHS))
    tuned = [_least_effort(structure, sample, *pair) for pair in zip(DEPTHS, TARGETS, strict=True)]
    efforts = [
        effort if recall >= least else None for (effort, recall), least in zip(tuned, TARGETS, strict=True)
    ]
    efforts[0] = tuned[0][0]
    return replace(structure, efforts=tuple(efforts)), tuned[0][1]


def _least_effort(structure: Structure, sample: _Sample, top: int, target: float) -> tuple[int, float]:
    """Least effort that reaches a recall for ``top`` matches, or the largest one; and its recall."""
    recall = 0.0
    efforts = EFFORTS if structure.kind == "hnsw" else CELL_EFFORTS
    for effort in efforts:
        recall = sample.recall(structure.candidates(sample.queries, top, sample.selected, effort), top)
        if recall >= target:
            return effort, recall
    return efforts[-1], recall


def recall_of(proposed: np.ndarray, exact: np.ndarray, top: int) -> float:
    """Mean share of the best rows among the proposed ones.

    Args:
        proposed: (Q, k) slots; they are scored exactly, so their order does not matter.
        exact: (Q, n) best rows, −1 where there are fewer.
        top: Number of best rows.
    """
    shares = []
    for near, best in zip(proposed, exact[:, :top], strict=True):
        wanted = best[best >= 0]
        shares.append(np.isin(wanted, near).mean() if len(wanted) else 1.0)
    return float(np.mean(shares))
