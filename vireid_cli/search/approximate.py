"""Approximate search for millions of records: FAISS' HNSW and IVF-PQ, built from the vectors of an index.

A structure is derived from the vector file and can be rebuilt at any time. It proposes candidates; their
scores are computed again from the vectors. Rows that were added later are searched exactly.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vireid_cli import files
from vireid_cli.errors import DataError
from vireid_cli.search.exact import exact_top, faiss
from vireid_cli.search.meta import StructureMeta
from vireid_cli.sums import file_digest
from vireid_cli.types import Progress

BUILT_FROM = 1_000
"""Number of rows from which a structure is built; fewer rows are searched exactly."""

TAIL_SHARE = 0.1
"""Largest share of rows behind the structure, before an addition extends it."""

TARGET = 0.98
"""Recall@10 that determines the effort of a search."""

SAMPLE = 200
"""Number of vectors that measure the recall."""

EFFORTS = (16, 32, 64, 128, 256, 512, 1024)
"""Tried efforts: ``efSearch`` of HNSW, ``nprobe`` of IVF-PQ."""

_NEIGHBOURS = 32
_CONSTRUCTION = 120
_TRAINED = 100_000
_REFINED = 20
"""Candidates of IVF-PQ per requested match, since its codes rank coarsely."""

_STEP_BYTES = 32 << 20

ApproximateKind = Literal["hnsw", "ivf-pq"]


@dataclass(frozen=True, slots=True)
class Structure:
    """A loaded structure.

    Attributes:
        kind: ``hnsw`` or ``ivf-pq``.
        index: FAISS' index over the first ``covered`` rows.
        covered: Number of rows.
        effort: ``efSearch`` or ``nprobe`` without a filter.
    """

    kind: ApproximateKind
    index: Any
    covered: int
    effort: int

    def candidates(self, queries: np.ndarray, top: int, selected: np.ndarray | None) -> np.ndarray:
        """Propose rows: (Q, k) slots, −1 where the structure finds fewer.

        Args:
            queries: (Q, D) float32.
            top: Number of requested matches.
            selected: (n,) selected rows below ``covered``; None: all.
        """
        count = top * _REFINED if self.kind == "ivf-pq" else top + 16
        effort, selector = float(self.effort), None
        if selected is not None:
            mask = np.zeros(self.covered, np.uint8)
            mask[selected] = 1
            selector = faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))
            effort *= self.covered / max(
                1, len(selected)
            )  # the search passes over rows that are not selected
        _, slots = self.index.search(
            np.ascontiguousarray(queries),
            min(count, self.covered),
            params=self._parameters(math.ceil(effort), selector),
        )
        return np.asarray(slots)

    def _parameters(self, effort: int, selector: Any) -> Any:
        """Return FAISS' parameters of a search."""
        chosen = {} if selector is None else {"sel": selector}
        if self.kind == "hnsw":
            return faiss().SearchParametersHNSW(efSearch=min(effort, 8 * EFFORTS[-1]), **chosen)
        return faiss().SearchParametersIVF(nprobe=min(effort, self.index.nlist), **chosen)


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
        vectors: (N, D) float32, N ≥ ``BUILT_FROM``.
        live: (n,) rows with a record, ascending.
        former: Structure over the first rows, to be extended; it is changed.
        progress: Called with the numbers of added and of all rows.

    Returns:
        The structure, with the least effort of ``EFFORTS`` that reaches ``TARGET``, or the last one; and its
        recall@10 against exact search.
    """
    index = former.index if former else _empty(kind, vectors, live)
    first = former.covered if former else 0
    step = max(1, _STEP_BYTES // (4 * vectors.shape[1]))
    for start in range(first, len(vectors), step):
        index.add(np.ascontiguousarray(vectors[start : start + step]))
        if progress:
            progress(min(start + step, len(vectors)), len(vectors))
    return _tuned(kind, index, vectors, live)


def _empty(kind: ApproximateKind, vectors: np.ndarray, live: np.ndarray) -> Any:
    """Create a trained index without rows."""
    library = faiss()
    width = vectors.shape[1]
    trained = vectors[np.sort(np.random.default_rng(0).permutation(live)[:_TRAINED])]
    if kind == "hnsw":
        codes = library.ScalarQuantizer.QT_fp16
        index = library.IndexHNSWSQ(width, codes, _NEIGHBOURS, library.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _CONSTRUCTION
        index.train(trained)
        return index
    # FAISS asks for 39 training vectors per list and per centroid of a code
    lists = max(1, min(int(4 * math.sqrt(len(live))), len(trained) // 39))
    bits = 8 if len(trained) >= 39 * 256 else 4
    coarse = library.IndexFlatIP(width)
    index = library.IndexIVFPQ(coarse, width, lists, _code_parts(width), bits, library.METRIC_INNER_PRODUCT)
    index.train(trained)
    return index


def _code_parts(width: int) -> int:
    """Number of parts of a code: the largest divisor of the width with at least four values per part."""
    return next(parts for parts in range(max(1, width // 4), 0, -1) if width % parts == 0)


def _tuned(
    kind: ApproximateKind, index: Any, vectors: np.ndarray, live: np.ndarray
) -> tuple[Structure, float]:
    """Choose the effort by the recall of a sample of the vectors, whose own rows do not count."""
    places = np.sort(np.random.default_rng(1).permutation(live)[:SAMPLE])
    queries = np.ascontiguousarray(vectors[places])
    selected = None if len(live) == len(vectors) else live
    exact, _ = exact_top(queries, vectors, selected, 11)
    structure, recall = Structure(kind, index, len(vectors), EFFORTS[0]), 0.0
    for effort in EFFORTS:
        structure = Structure(kind, index, len(vectors), effort)
        proposed = structure.candidates(queries, 11, selected)
        recall = recall_of(proposed, exact, places)
        if recall >= TARGET:
            break
    return structure, recall


def recall_of(proposed: np.ndarray, exact: np.ndarray, own: np.ndarray) -> float:
    """Mean share of the ten best rows, without the query's own, among the proposed ones.

    Args:
        proposed: (Q, k) slots; they are scored exactly, so their order does not matter.
        exact: (Q, 11) best rows.
        own: (Q,) row of each query.
    """
    shares = []
    for near, best, row in zip(proposed, exact, own, strict=True):
        wanted = best[(best != row) & (best >= 0)][:10]
        shares.append(np.isin(wanted, near).mean() if len(wanted) else 1.0)
    return float(np.mean(shares))


def save(structure: Structure, path: Path) -> None:
    """Write a structure atomically.

    Raises:
        DataError: The disk is full or the folder is read-only.
    """
    library = faiss()

    def write(file: Any) -> None:
        """Pass FAISS' bytes to the file in blocks."""
        library.write_index(structure.index, library.PyCallbackIOWriter(file.write))

    files.write_with(path, write)


def load(path: Path, described: StructureMeta) -> Structure:
    """Read a structure from a file.

    Args:
        path: The file.
        described: Values of ``meta`` about it.

    Raises:
        FileNotFoundError: The file does not exist.
        DataError: The file does not match its hash.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    if file_digest(path) != described["sha256"]:
        raise DataError(
            f"{path} does not match its hash.",
            f"It is derived from the vectors; build it again: vireid index compact {path.parent.name}",
        )
    return Structure(
        described["kind"], faiss().read_index(str(path)), described["covered"], described["effort"]
    )


class StructureCache:
    """The structure of the newest state, loaded once."""

    def __init__(self) -> None:
        self._file = ""
        self._structure: Structure | None = None
        self._lock = threading.Lock()

    def get(self, folder: Path, described: StructureMeta | None) -> Structure | None:
        """Return the structure that ``meta`` describes; see ``load`` for errors."""
        if described is None:
            return None
        with self._lock:
            if described["file"] != self._file:
                self._structure = load(folder / described["file"], described)
                self._file = described["file"]
            return self._structure


def split(selected: np.ndarray | None, rows: int, covered: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Divide selected rows into those of a structure, None for all of them, and those behind it."""
    if selected is None:
        return None, np.arange(covered, rows)
    place = int(np.searchsorted(selected, covered))
    return selected[:place], selected[place:]
