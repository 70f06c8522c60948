"""What can be said of a retrieval from labels alone: the gallery's layout and every legal match.

Where identities are merged (CMC of SYSU-MM01 and LLCM: only an identity's best image keeps its place),
the gallery is laid out so that the best score of every identity is a maximum of contiguous slices:
image k of all identities beside each other, identities with more images first. A plan takes
milliseconds and serves every trial and every embedding with the same labels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from vireid_cli.metrics.camera_rules import CameraRule, ignored

TILE = 4096
"""Gallery images that are sorted together; wider rows cost more per image, narrower ones more look-ups."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Consecutive layers of a tile that are equally long.

    Layer k of a tile holds the k-th image of each of its first identities, in one order for all layers.

    Attributes:
        start: First column, relative to the tile.
        depth: Number of layers.
        identities: Length of each.
    """

    start: int
    depth: int
    identities: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the laid-out gallery.

    Attributes:
        start, stop: Its columns in the layout.
        layers: In order, never longer than the ones before; empty where identities are not merged.
    """

    start: int
    stop: int
    layers: tuple[Layers, ...] = ()


@dataclass(frozen=True, slots=True)
class RankPlan:
    """What can be said of a retrieval before any score is known: Q queries, G gallery images, M matches.

    Attributes:
        rule: The camera rule.
        merge: Whether the CMC counts identities.
        q_pids, q_camids: (Q,).
        g_pids, g_camids: (G,) in layout order.
        order: (G,) gallery positions in layout order.
        natural: Whether the layout is the gallery's own order.
        tiles: Parts of the layout, in order.
        offsets: (Q + 1,) where each query's matches begin in ``columns``.
        columns: (M,) layout columns of the legal matches, by query.
        home: (Q,) number of the tile that holds the query's identity; −1 where it has no legal match.
        relevant_tiles: The first so many tiles hold all matches.
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
    """Lay the gallery out and find every legal match, from labels alone.

    Args:
        q_pids, q_camids: (Q,) integers.
        g_pids, g_camids: (G,) integers.
        rule: Camera rule.
        merge_identities: Whether the CMC counts identities (SYSU-MM01, LLCM) or images (RegDB).
        tile: Aim for the width of a tile; a tile never splits an identity whose images are merged.
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
    """Order of the gallery, and each column's tile and occurrence (its image number within its identity).

    Identities that some query asks for come first, so that all matches lie in the first tiles.
    """
    size = len(code)
    if not merge:
        order = np.argsort(~relevant[code], kind="stable")
        asked = int(relevant[code].sum())
        tile = _cut(np.arange(size), asked, width)
        return order, tile, np.zeros(size, dtype=np.int64)
    by_id = np.argsort(code, kind="stable")
    start = np.cumsum(count) - count
    occurrence = np.empty(size, dtype=np.int64)
    occurrence[by_id] = np.arange(size) - start[code[by_id]]
    # asked-for identities first, then those with more images
    sequence = np.lexsort((-count, ~relevant))
    before = np.cumsum(count[sequence]) - count[sequence]
    place = np.empty(len(count), dtype=np.int64)
    place[sequence] = np.arange(len(count))
    tile_of_id = np.empty(len(count), dtype=np.int64)
    tile_of_id[sequence] = _cut(before, int(count[relevant].sum()), width)
    order = np.lexsort((place[code], occurrence, tile_of_id[code]))
    return order, tile_of_id[code[order]], occurrence[order]


def _cut(before: np.ndarray, asked: int, width: int) -> np.ndarray:
    """Tile number of each entry, cut every ``width`` columns and where the asked-for ones end."""
    first = -(-asked // width)
    tile = np.where(before < asked, before // width, first + (before - asked) // width)
    # an identity wider than a tile leaves numbers unused: close the gaps
    return np.unique(tile, return_inverse=True)[1].astype(np.int64)


def _tiles(tile_of_column: np.ndarray, occurrence: np.ndarray, merge: bool) -> tuple[Tile, ...]:
    """Bounds of the tiles and, where identities are merged, of the layers in each."""
    total = int(tile_of_column[-1]) + 1 if len(tile_of_column) else 0
    bounds = np.searchsorted(tile_of_column, np.arange(total + 1))
    return tuple(
        Tile(start, stop, _layers(occurrence[start:stop]) if merge else ())
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    )


def _layers(occurrence: np.ndarray) -> tuple[Layers, ...]:
    """Runs of equally long layers in one tile; ``occurrence`` is each column's layer, ascending."""
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
    """Legal matches of each query: offsets (Q + 1,) and layout columns (M,)."""
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
