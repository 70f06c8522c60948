"""Retrieval plan computed from labels alone: the layout of the gallery and all legal matches.

If identities are merged (CMC of SYSU-MM01 and LLCM: only the best image of an identity is ranked), the
layout stores image k of all identities contiguously, identities with more images first. The best score
of every identity is then a maximum over contiguous slices. A plan takes milliseconds to compute and
serves every trial and every embedding with the same labels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from vireid_cli.metrics.camera_rules import CameraRule, ignored

TILE = 4096
"""Gallery images sorted together; wider rows cost more time per image, narrower rows more look-ups."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Consecutive layers of a tile with equal length.

    Layer k of a tile holds the k-th image of its first identities, in the same order in all layers.

    Attributes:
        start: First column, relative to the tile.
        depth: Number of layers.
        identities: Number of identities in each layer.
    """

    start: int
    depth: int
    identities: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A contiguous part of the gallery layout.

    Attributes:
        start, stop: Range of layout columns.
        layers: Layers in order of decreasing length; empty unless identities are merged.
    """

    start: int
    stop: int
    layers: tuple[Layers, ...] = ()


@dataclass(frozen=True, slots=True)
class RankPlan:
    """Plan of a retrieval, independent of scores: Q queries, G gallery images, M legal matches.

    Attributes:
        rule: The camera rule.
        merge: Whether the CMC counts identities.
        q_pids, q_camids: (Q,) labels of the queries.
        g_pids, g_camids: (G,) labels of the gallery, in layout order.
        order: (G,) gallery positions in layout order.
        natural: Whether the layout equals the gallery order.
        tiles: Parts of the layout, in order.
        offsets: (Q + 1,) start of each query's matches in ``columns``.
        columns: (M,) layout columns of the legal matches, sorted by query.
        home: (Q,) number of the tile with the query's identity; −1 for queries without a legal match.
        relevant_tiles: Number of leading tiles that contain all matches.
    """

    rule: CameraRule
    merge: bool
    q_pids: np.ndarray
    q_camids: np.ndarray
    g_pids: np.ndarray
    g_camids: np.ndarray
    order: np.ndarray
    natural: bool
    tiles: tuple[Tile, ...]
    offsets: np.ndarray
    columns: np.ndarray
    home: np.ndarray
    relevant_tiles: int

    @property
    def queries(self) -> int:
        """Number of queries, Q."""
        return len(self.q_pids)

    @property
    def gallery(self) -> int:
        """Number of gallery images, G."""
        return len(self.g_pids)

    def of_queries(self, rows: np.ndarray) -> RankPlan:
        """Return the plan of some queries, (n,), against the same gallery."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return replace(
            self,
            q_pids=self.q_pids[rows],
            q_camids=self.q_camids[rows],
            offsets=offsets,
            columns=self.columns[np.repeat(self.offsets[rows], counts) + within],
            home=self.home[rows],
        )


def plan_ranks(
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    tile: int = TILE,
) -> RankPlan:
    """Compute the gallery layout and all legal matches from labels.

    Args:
        q_pids, q_camids: (Q,) integers.
        g_pids, g_camids: (G,) integers.
        rule: Camera rule.
        merge_identities: Whether the CMC counts identities (SYSU-MM01, LLCM) or images (RegDB).
        tile: Target width of a tile; a tile never splits a merged identity.
    """
    ids, code, count = np.unique(g_pids, return_inverse=True, return_counts=True)
    relevant = np.isin(ids, q_pids)
    order, tile_of_column, occurrence = _layout(code, count, relevant, merge_identities, tile)
    tiles = _tiles(tile_of_column, occurrence, merge_identities)
    offsets, columns = _matches(ids, code[order], q_pids, q_camids, g_camids[order], rule)
    counts = np.diff(offsets)
    home = np.full(len(q_pids), -1, dtype=np.int64)
    home[counts > 0] = tile_of_column[columns[offsets[:-1][counts > 0]]]
    return RankPlan(
        rule=rule,
        merge=merge_identities,
        q_pids=q_pids,
        q_camids=q_camids,
        g_pids=g_pids[order],
        g_camids=g_camids[order],
        order=order,
        natural=bool(np.array_equal(order, np.arange(len(order)))),
        tiles=tiles,
        offsets=offsets,
        columns=columns,
        home=home,
        relevant_tiles=int(tile_of_column[columns].max()) + 1 if len(columns) else 0,
    )


def _layout(
    code: np.ndarray, count: np.ndarray, relevant: np.ndarray, merge: bool, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the layout order and, per column, its tile and its image number within the identity.

    Identities with queries come first, so that the first tiles contain all matches.
    """
    size = len(code)
    if not merge:
        order = np.argsort(~relevant[code], kind="stable")
        requested = int(relevant[code].sum())
        tile = _cut(np.arange(size), requested, width)
        return order, tile, np.zeros(size, dtype=np.int64)
    by_id = np.argsort(code, kind="stable")
    start = np.cumsum(count) - count
    occurrence = np.empty(size, dtype=np.int64)
    occurrence[by_id] = np.arange(size) - start[code[by_id]]
    # identities with queries first, then identities with more images
    sequence = np.lexsort((-count, ~relevant))
    before = np.cumsum(count[sequence]) - count[sequence]
    place = np.empty(len(count), dtype=np.int64)
    place[sequence] = np.arange(len(count))
    tile_of_id = np.empty(len(count), dtype=np.int64)
    tile_of_id[sequence] = _cut(before, int(count[relevant].sum()), width)
    order = np.lexsort((place[code], occurrence, tile_of_id[code]))
    return order, tile_of_id[code[order]], occurrence[order]


def _cut(before: np.ndarray, requested: int, width: int) -> np.ndarray:
    """Assign tile numbers: a new tile every ``width`` columns and after the ``requested`` columns."""
    first = -(-requested // width)
    tile = np.where(before < requested, before // width, first + (before - requested) // width)
    # an identity wider than a tile leaves unused numbers: renumber
    return np.unique(tile, return_inverse=True)[1].astype(np.int64)


def _tiles(tile_of_column: np.ndarray, occurrence: np.ndarray, merge: bool) -> tuple[Tile, ...]:
    """Compute the bounds of the tiles and, if identities are merged, their layers."""
    total = int(tile_of_column[-1]) + 1 if len(tile_of_column) else 0
    bounds = np.searchsorted(tile_of_column, np.arange(total + 1))
    return tuple(
        Tile(start, stop, _layers(occurrence[start:stop]) if merge else ())
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    )


def _layers(occurrence: np.ndarray) -> tuple[Layers, ...]:
    """Group the layers of one tile by length; ``occurrence`` is the layer of each column, ascending."""
    length = np.bincount(occurrence)
    cuts = np.concatenate(([0], np.flatnonzero(np.diff(length)) + 1, [len(length)]))
    starts = np.concatenate(([0], np.cumsum(length)))
    return tuple(
        Layers(int(starts[first]), int(last - first), int(length[first]))
        for first, last in itertools.pairwise(cuts)
    )


def _matches(
    ids: np.ndarray,
    code: np.ndarray,
    q_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    rule: CameraRule,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the legal matches of each query: offsets (Q + 1,) and layout columns (M,)."""
    queries = len(q_pids)
    by_id = np.argsort(code, kind="stable")
    count = np.bincount(code, minlength=len(ids))
    start = np.cumsum(count) - count
    slot = np.minimum(np.searchsorted(ids, q_pids), max(len(ids) - 1, 0))
    number = np.where(ids[slot] == q_pids, count[slot], 0) if len(ids) else np.zeros(queries, dtype=np.int64)
    row = np.repeat(np.arange(queries), number)
    within = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    columns = by_id[start[slot[row]] + within]
    mask = ignored(rule, q_pids[row], q_camids[row], q_pids[row], g_camids[columns])
    if mask is not None:
        row, columns = row[~mask], columns[~mask]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=queries))))
    return offsets.astype(np.int64), columns
