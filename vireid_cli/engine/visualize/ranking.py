"""FDNM's seventh figure: queries with their first ten matches, of one run or of several one above another."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vireid_cli.data.store import Store
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import (
    evaluate_each,
    evaluation_of,
    labels_of,
    rows_of,
    shared_evaluation,
)
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import UsageError
from vireid_cli.figures import ranking
from vireid_cli.results.run import RunFolder
from vireid_cli.results.wording import protocol_words
from vireid_cli.types import Modality, Size

RUNS = (1, 4)

QUERIES = 6
"""Queries that are drawn where their number is not given."""

Arrays = dict[str, np.ndarray]
"""``schema.RANKING_ARRAYS``."""


@dataclass(frozen=True, slots=True)
class QueryChoice:
    """Which queries are drawn.

    Attributes:
        order: ``random``, ``best`` or ``worst`` by average precision, of the first run; None: random.
        count: How many; None: six.
        seed: Of the random order.
        pids: Queries of these people only; none: of everybody.
        paths: These very queries, in this order; then nothing else may be chosen.
    """

    order: str | None = None
    count: int | None = None
    seed: int = 0
    pids: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    protocol: str | None = None,
    queries: int | None = None,
    order: str | None = None,
    seed: int = 0,
    pids: Sequence[int] = (),
    paths: Sequence[str] = (),
) -> Path:
    """Queries with their first ten matches in trial 0; runs one above another, beside the same query.

    Args:
        runs: Evaluated runs.
        session: Device, listener, folders.
        output: File, format, resolution.
        protocol: Which evaluation; None: the first that all runs have.
        queries, order, seed, pids, paths: See ``QueryChoice``.

    Raises:
        UsageError: Not evaluated yet, no such query or person, or runs that were asked different queries.
    """
    name = shared_evaluation(runs, protocol)
    stored = [evaluation_of(run, name) for run in runs]
    tables = [one.ranking() for one in stored]
    _refuse_others(runs, tables, name)
    choice = QueryChoice(order, queries, seed, tuple(pids), tuple(paths))
    chosen = _chosen(tables[0], choice)
    recipe = run_recipe(runs[0], checked=False)
    size, resize = recipe.data.image_size, recipe.data.resize
    content = stored[0].content
    source = content["fingerprint"].get("source", recipe.data.dataset)  # may be another than the recipe's
    store = ensure_prepared(source, session, size, resize)
    labels = labels_of(runs) if len(runs) > 1 else ("",)
    groups = []
    for done, query in enumerate(chosen):
        each = zip(tables, labels, strict=True)
        groups.append([_row(table, int(query), store, size, label) for table, label in each])
        if len(chosen) > QUERIES:
            session.reporter.advance("queries", done + 1, len(chosen))
    if len(chosen) > QUERIES:
        images = sum(1 + len(row.images) for group in groups for row in group)
        session.reporter.info(f"drawing {images:,} images; a page of this size takes a moment")
    trial = ", trial 0" if content["trials"] > 1 else ""
    subtitle = f"{protocol_words(name)}{trial}, {_told(choice, labels)}; cosine similarity"
    if len(groups[0]) == 1:
        figure = ranking.ranking_figure([row for (row,) in groups], runs[0].name, subtitle)
        return output.save(figure, runs[0].figures / "ranking")
    figure = ranking.compared_figure(groups, " above ".join(labels), subtitle)
    return output.save(figure, runs[0].figures / f"ranking-{len(labels)}-runs")


def _refuse_others(runs: Sequence[RunFolder], tables: Sequence[Arrays], name: str) -> None:
    """Refuse runs whose queries or whose gallery of trial 0 differ."""
    for run, table in zip(runs, tables, strict=True):
        for side in ("query_paths", "gallery_paths"):
            if not np.array_equal(table[side], tables[0][side]):
                raise UsageError(
                    f"{run.name} was evaluated under {name} with other queries or another gallery than "
                    f"{runs[0].name}.",
                    f"Evaluate both again:\n{evaluate_each([runs[0], run])}",
                )


def _told(choice: QueryChoice, labels: Sequence[str]) -> str:
    """The choice in words."""
    if choice.paths:
        return "queries as named"
    of = f" of pid {', '.join(map(str, choice.pids))}" if choice.pids else ""
    by = f" by {labels[0]}" if len(labels) > 1 and choice.order in ("best", "worst") else ""
    return f"{choice.order or 'random'} queries{of}{by}"


def _chosen(arrays: Arrays, choice: QueryChoice) -> np.ndarray:
    """Indices of the queries to draw.

    Raises:
        UsageError: A person or a path that is no query, people whose queries have no legal match, or
            paths beside another choice.
    """
    if choice.paths:
        if choice.pids or choice.order is not None or choice.count is not None:
            raise UsageError("--query names the queries: leave --pid, --order and --queries out.")
        return np.array([_query_named(arrays["query_paths"], path) for path in choice.paths])
    precision = arrays["average_precision"]
    candidates = ~np.isnan(precision)
    if choice.pids:
        known = np.unique(arrays["query_pids"])
        for pid in choice.pids:
            if pid not in known:
                some = ", ".join(str(p) for p in known[:10])
                raise UsageError(f"pid {pid} is no query of this evaluation.", f"Queries are of: {some} …")
        candidates &= np.isin(arrays["query_pids"], choice.pids)
    valid = np.flatnonzero(candidates)
    if not len(valid):
        raise UsageError(
            f"No query of pid {', '.join(map(str, choice.pids))} has a match in the gallery.",
            "Draw others: leave --pid out.",
        )
    count = QUERIES if choice.count is None else choice.count
    if choice.order in (None, "random"):
        return np.random.default_rng(choice.seed).permutation(valid)[:count]
    ranked = valid[np.argsort(precision[valid], kind="stable")]
    return ranked[:count] if choice.order == "worst" else ranked[::-1][:count]


def _query_named(paths: np.ndarray, wanted: str) -> int:
    """Index of the query of that path: as in the dataset, or any path that ends so.

    Raises:
        UsageError: There is none; the nearest are named.
    """
    text = PurePosixPath(wanted).as_posix()
    for start in range(len(text)):
        if start == 0 or text[start - 1] == "/":
            found = np.flatnonzero(paths == text[start:])
            if len(found):
                return int(found[0])
    close = difflib.get_close_matches(text, paths.tolist(), n=3, cutoff=0.0)
    raise UsageError(f"{wanted} is no query of this evaluation.", f"Nearest: {', '.join(close)}")


def _row(arrays: Arrays, query: int, store: Store, size: Size, label: str) -> ranking.RankingRow:
    """One query's images and labels as one run, ``label`` where there are others, ranked them."""
    top = arrays["top"][query]
    top = top[top >= 0]
    paths = [str(arrays["query_paths"][query]), *(str(arrays["gallery_paths"][i]) for i in top)]
    rows = rows_of(store, paths)
    pixels = store.batch(size, rows)
    pid = int(arrays["query_pids"][query])
    matches = arrays["gallery_pids"][top]
    precision = float(arrays["average_precision"][query])
    did = "no match in the gallery" if np.isnan(precision) else f"AP {100 * precision:.1f} %"
    cameras = store.records.has_cameras
    side = Modality.of(store.records.modalities[rows[0]])
    asked = f"pid {pid} · cam {arrays['query_camids'][query]}" if cameras else f"pid {pid} · {side}"
    return ranking.RankingRow(
        query_image=pixels[0],
        query_label=asked if label else f"{asked}\n{did}",
        images=pixels[1:],
        correct=matches == pid,
        labels=tuple(
            f"pid {p} · cam {arrays['gallery_camids'][i]}" if cameras else f"pid {p}"
            for p, i in zip(matches, top, strict=True)
        ),
        scores=arrays["scores"][query][: len(top)],
        head=f"{label}: {did}",
    )
