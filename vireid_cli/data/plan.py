"""An evaluation plan: which rows of a record table are queries and galleries, trial by trial.

A plan is data: row indices, the camera rule, the kind of CMC, and a fingerprint that says in words
what was measured. It is drawn from labels and file names alone, so it can be printed, compared and
tested without an image or a network.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.camera_rules import EXPLANATIONS, CameraRule
from vireid_cli.metrics.outcome import Trials
from vireid_cli.metrics.retrieval import evaluate_trials
from vireid_cli.metrics.verification import FarReading
from vireid_cli.types import Embeddings, RecordTable

Fingerprint = dict[str, str | int | float | bool]
Folders = dict[tuple[int, int], np.ndarray]
"""(pid, camid) → rows of the record table, sorted by path; pids ascending."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is compared with what.

    Attributes:
        name: Of the protocol, fit for a folder: ``all-single-seeded``.
        queries: For each trial the query rows of the record table.
        galleries: For each trial the gallery rows, in gallery order (it decides between equal scores).
        rule: Camera rule.
        merge_identities: Whether the CMC counts identities.
        fingerprint: The protocol in words and numbers.
        fars: False acceptance rates at which the verification rate is reported too; none: Rank-k, mAP
            and mINP only.
        far_reading: Which operating point such a rate means.

    Raises:
        DataError: A trial without queries or without gallery.
    """

    name: str
    queries: tuple[np.ndarray, ...]
    galleries: tuple[np.ndarray, ...]
    rule: CameraRule
    merge_identities: bool
    fingerprint: Fingerprint
    fars: tuple[float, ...] = ()
    far_reading: FarReading = "not-exceeded"

    def __post_init__(self) -> None:
        if len(self.queries) != len(self.galleries) or not self.queries:
            raise ValueError(f"{len(self.queries)} query sets for {len(self.galleries)} galleries")
        for what, sides in (("query", self.queries), ("gallery", self.galleries)):
            empty = [trial for trial, rows in enumerate(sides) if len(rows) == 0]
            if empty:
                raise DataError(f"protocol {self.name}: the {what} of trial {empty[0]} is empty.")

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.queries)

    @property
    def query(self) -> np.ndarray:
        """The query rows of all trials together, in the order of their first appearance."""
        return _union(self.queries)

    @property
    def gallery(self) -> np.ndarray:
        """The gallery rows of all trials together, in the order of their first appearance."""
        return _union(self.galleries)

    @property
    def rows(self) -> np.ndarray:
        """All rows that need an embedding, ascending."""
        return np.union1d(self.query, self.gallery)


def _union(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of all parts without repetition, first come first."""
    if all(part is parts[0] for part in parts):
        return parts[0]
    together = np.concatenate(parts)
    return together[np.sort(np.unique(together, return_index=True)[1])]


def evaluate_plan(plan: EvaluationPlan, embeddings: Embeddings, rows: np.ndarray) -> Trials:
    """Evaluate every trial of a plan by inner products of embeddings.

    Where all trials have the same queries, one product against the union of the galleries serves all.

    Args:
        plan: The plan.
        embeddings: Of the record table's ``rows``, (N, D), unit length for cosine similarity.
        rows: (N,) row of the record table of each embedding, ascending: ``plan.rows`` or more.

    Raises:
        UsageError: A row of the plan has no embedding, or an embedding is not finite.
        DataError: No query has a legal match.
    """
    missing = np.setdiff1d(plan.rows, rows)
    if len(missing):
        raise UsageError(
            f"{len(missing)} rows of protocol {plan.name} have no embedding, first {missing[0]}."
        )

    def trials_of(query: np.ndarray, gallery: np.ndarray, galleries: Sequence[np.ndarray]) -> Trials:
        q = embeddings.take(np.searchsorted(rows, query))
        g = embeddings.take(np.searchsorted(rows, gallery))
        sorter = np.argsort(gallery)
        columns = [sorter[np.searchsorted(gallery, part, sorter=sorter)] for part in galleries]
        return evaluate_trials(
            q.features @ g.features.T,
            columns,
            q.pids,
            g.pids,
            q.camids,
            g.camids,
            rule=plan.rule,
            merge_identities=plan.merge_identities,
        )

    if all(query is plan.queries[0] for query in plan.queries):
        return trials_of(plan.queries[0], plan.gallery, plan.galleries)
    pairs = zip(plan.queries, plan.galleries, strict=True)
    return Trials(tuple(trials_of(query, gallery, [gallery]).results[0] for query, gallery in pairs))


def complete_fingerprint(
    start: Fingerprint, rule: CameraRule, *, merged: bool, notes: Sequence[str]
) -> Fingerprint:
    """Add what every protocol has: camera rule, kind of CMC, remarks."""
    return start | {
        "camera_rule": f"{rule}: {EXPLANATIONS[rule]}",
        "cmc": "identities" if merged else "images",
        "notes": "; ".join(notes),
    }


def check_trials(trials: int, most: int | None = None) -> None:
    """Refuse a number of trials that can't be drawn.

    Raises:
        UsageError: Below 1, or above ``most``.
    """
    if trials < 1 or (most is not None and trials > most):
        limit = "at least 1" if most is None else f"1 to {most}"
        raise UsageError(f"{trials} trials were asked for; this protocol takes {limit}.")


def sorted_rows(table: RecordTable, rows: np.ndarray) -> np.ndarray:
    """Sort rows by pid, then camera, then path."""
    return rows[np.lexsort((table.paths[rows], table.camids[rows], table.pids[rows]))]


def folders_of(table: RecordTable, rows: np.ndarray) -> Folders:
    """Group rows by (pid, camid), each sorted by path; pids ascending."""
    rows = sorted_rows(table, rows)
    if len(rows) == 0:
        return {}
    keys = np.stack([table.pids[rows], table.camids[rows]], axis=1)
    cuts = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    starts = np.concatenate(([0], cuts))
    names = [(int(pid), int(camid)) for pid, camid in keys[starts]]
    return dict(zip(names, np.split(rows, cuts), strict=True))


def draw_seeded(folders: Folders, cameras: Sequence[int], trial: int, shots: int) -> np.ndarray:
    """Draw one trial as the field does: ids outer, cameras inner, one stream; sequential by its nature.

    Args:
        folders: From ``folders_of``.
        cameras: In the protocol's order; missing folders draw nothing.
        trial: Seed of the stream.
        shots: 1: ``random.choice``; more: ``random.sample`` of min(shots, n).

    Returns:
        Rows of the record table, in gallery order.
    """
    stream = random.Random(trial)
    drawn: list[int] = []
    for pid in sorted({pid for pid, _ in folders}):
        for camid in cameras:
            files = folders.get((pid, camid))
            if files is None:
                continue
            rows = files.tolist()
            drawn += [stream.choice(rows)] if shots == 1 else stream.sample(rows, min(shots, len(rows)))
    return np.array(drawn, dtype=np.int64)
