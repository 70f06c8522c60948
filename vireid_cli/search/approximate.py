"""Approximate search for millions of records: FAISS' HNSW and IVF-PQ over the vectors of an index.

A structure is derived from the vector file and can be rebuilt at any time, see ``building``. It proposes
candidates; their scores are computed again from the vectors. Rows that were added later are searched exactly.
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
from vireid_cli.search.exact import faiss
from vireid_cli.search.meta import StructureMeta
from vireid_cli.sums import file_digest

BUILT_FROM = 20_000
"""Number of rows beyond which a structure is built and used; fewer are searched exactly, in a millisecond."""

DEPTHS = (10, 20, 100)
"""Numbers of matches for which efforts are tuned; a deeper search is exact."""

EFFORTS = (16, 24, 32, 48, 64, 96, 112, 128, 144, 160, 176, 192, 224, 256, 320, 384, 512, 768, 1024)
"""Tried efforts: ``efSearch`` of HNSW, ``nprobe`` of IVF-PQ up to here."""

CELL_EFFORTS = (*EFFORTS, 1536, 2048, 3072, 4096)
"""Tried efforts of IVF-PQ; a cell takes a tenth of the time of a step in the graph."""

MOST_EFFORT = 1 << 15
"""Largest effort of a search, which deep and filtered searches reach."""

_REFINED = (8, 20)
"""Candidates of IVF-PQ per requested match at small and at large efforts; its codes rank coarsely."""

ApproximateKind = Literal["hnsw", "ivf-pq"]


@dataclass(frozen=True, slots=True)
class Structure:
    """A loaded structure.

    Attributes:
        kind: ``hnsw`` or ``ivf-pq``.
        index: FAISS' index over the first ``covered`` rows.
        covered: Number of rows.
        efforts: ``efSearch`` or ``nprobe`` of a search for so many matches as ``DEPTHS`` has, without a
            filter; None if no effort has a sufficient recall.
    """

    kind: ApproximateKind
    index: Any
    covered: int
    efforts: tuple[int | None, ...]

    @property
    def components(self) -> int | None:
        """Number of principal components of the distances; None: all values of the vectors."""
        index = self.index
        if isinstance(index, faiss().IndexIDMap):
            index = faiss().downcast_index(index.index)
        return int(index.index.d) if isinstance(index, faiss().IndexPreTransform) else None

    def effort(self, top: int, selected: int) -> int | None:
        """Effort of a search for ``top`` matches among a number of selected rows; None: only exact search.

        The search passes over rows that are not selected, so its effort grows with their share.
        """
        deep_enough = [effort for depth, effort in zip(DEPTHS, self.efforts, strict=True) if top <= depth]
        if not deep_enough or deep_enough[0] is None:
            return None
        return min(math.ceil(deep_enough[0] * self.covered / max(1, selected)), MOST_EFFORT)

    def candidate_count(self, top: int, effort: int) -> int:
        """Number of candidates that are scored exactly for ``top`` matches."""
        if self.kind == "ivf-pq":
            return min(max(_REFINED[0] * top, min(effort // 4, _REFINED[1] * top)), self.covered)
        return min(max(top + 8, min(effort, 2 * top + 32)), self.covered)

    def candidates(
        self, queries: np.ndarray, top: int, selected: np.ndarray | None, effort: int
    ) -> np.ndarray:
        """Propose rows: (Q, k) slots, −1 where the structure finds fewer.

        Args:
            queries: (Q, D) float32.
            top: Number of requested matches.
            selected: (n,) selected rows below ``covered``; None: all.
            effort: Effort of the search; see ``effort``.
        """
        selector = None if selected is None else selector_of(selected, self.covered)
        _, slots = self.index.search(
            np.ascontiguousarray(queries),
            self.candidate_count(top, effort),
            params=self._parameters(effort, selector),
        )
        return np.asarray(slots)

    def _parameters(self, effort: int, selector: Any) -> Any:
        """Return FAISS' parameters of a search."""
        chosen = {} if selector is None else {"sel": selector}
        if self.kind == "hnsw":
            # FAISS' unbounded queue takes 5 to 9 % less time for the same candidates, and ignores selectors
            return faiss().SearchParametersHNSW(efSearch=effort, bounded_queue=selector is not None, **chosen)
        cells = self.index
        if isinstance(cells, faiss().IndexPreTransform):
            cells = faiss().downcast_index(cells.index)
        return faiss().SearchParametersIVF(nprobe=min(effort, cells.nlist), **chosen)


def selector_of(selected: np.ndarray, rows: int) -> Any:
    """FAISS' selector of (n,) rows among a number of them."""
    mask = np.zeros(rows, np.uint8)
    mask[selected] = 1
    return faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


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
    efforts = (described["effort"], *described.get("deeper", (described["effort"],) * (len(DEPTHS) - 1)))
    return Structure(described["kind"], faiss().read_index(str(path)), described["covered"], efforts)


class StructureCache:
    """The structure of the newest state, loaded once."""

    def __init__(self) -> None:
        self._described: StructureMeta | None = None
        self._structure: Structure | None = None
        self._lock = threading.Lock()

    def get(self, folder: Path, described: StructureMeta | None) -> Structure | None:
        """Return the structure that ``meta`` describes; see ``load`` for errors."""
        if described is None:
            return None
        with self._lock:
            # with its hash: a later index in the same folder can have a file of the same name
            if described != self._described:
                self._structure = load(folder / described["file"], described)
                self._described = described
            return self._structure


def split(selected: np.ndarray | None, rows: int, covered: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Divide selected rows into those of a structure, None for all of them, and those behind it."""
    if selected is None:
        return None, np.arange(covered, rows)
    place = int(np.searchsorted(selected, covered))
    return selected[:place], selected[place:]
