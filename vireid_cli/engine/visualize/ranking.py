"""FDNM's figure 7: queries with their first ten matches, of one run or of several runs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.data.store import Store
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import (
    evaluation_commands,
    evaluation_of,
    rows_of,
    shared_evaluation,
)
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import UsageError
from vireid_cli.figures import ranking
from vireid_cli.results.formatting import protocol_label
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality, Size

RUNS = (1, 4)

QUERIES = 6
"""Default number of queries."""

Arrays = dict[str, np.ndarray]
"""Arrays of ``ranking.npz`` by name, see ``schema.RANKING_ARRAYS``."""


@dataclass(frozen=True, slots=True)
class QuerySelection:
    """Selection of queries.

    Attributes:
        order: ``random``, or ``best`` or ``worst`` by the first run's average precision; None: random.
        count: Number of queries; None: six.
        seed: Seed of the random order.
        pids: Persons of the queries; empty: all.
        paths: Paths of the queries, in this order; excludes ``order``, ``count`` and ``pids``.
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
    """Draw queries with their first ten matches in trial 0; the rows of several runs are above each other.

    Args:
        runs: Evaluated runs.
        session: Device, reporter and folders.
        output: File, format and resolution.
        protocol: Name of the evaluation; None: the first that all runs have.
        queries, order, seed, pids, paths: See ``QuerySelection``; ``queries`` is its ``count``.

    Raises:
        UsageError: A run has no such evaluation, a query or person does not exist, or the runs have different
            queries or galleries.
    """
    name = shared_evaluation(runs, protocol)
    stored = [evaluation_of(run, name) for run in runs]
    tables = [evaluation.ranking() for evaluation in stored]
    _check_same_images(runs, tables, name)
    selection = QuerySelection(order, queries, seed, tuple(pids), tuple(paths))
    selected = _select(tables[0], selection)
    recipe = run_recipe(runs[0], checked=False)
    size, resize = recipe.data.image_size, recipe.data.resize
    content = stored[0].content
    source = content["fingerprint"].get("source", recipe.data.dataset)  # can differ from the recipe's
    store = ensure_prepared(source, session, size, resize)
    marks = [evaluation.content["fingerprint"] for evaluation in stored]
    labels = output.names(runs, marks) if len(runs) > 1 else ("",)
    groups = []
    for done, query in enumerate(selected):
        each = zip(tables, labels, strict=True)
        groups.append([_row(table, int(query), store, size, label) for table, label in each])
        if len(selected) > QUERIES:
            session.reporter.advance("queries", done + 1, len(selected))
    if len(selected) > QUERIES:
        images = sum(1 + len(row.images) for group in groups for row in group)
        session.reporter.info(f"drawing {counted(images, 'image')}; a page of this size takes a moment")
    trial = ", trial 0" if content["trials"] > 1 else ""
    subtitle = f"{protocol_label(name)}{trial}, {_description(selection, labels)}; cosine similarity"
    if len(groups[0]) == 1:
        figure = ranking.ranking_figure([row for (row,) in groups], output.name(runs[0]), subtitle)
        return output.save(figure, runs[0].figures / "ranking")
    figure = ranking.compared_figure(groups, " above ".join(labels), subtitle)
    return output.save(figure, runs[0].figures / f"ranking-{len(labels)}-runs")


def _check_same_images(runs: Sequence[RunFolder], tables: Sequence[Arrays], name: str) -> None:
    """Raise ``UsageError`` if queries or galleries of trial 0 differ between runs."""
    for run, table in zip(runs, tables, strict=True):
        for side in ("query_paths", "gallery_paths"):
            if not np.array_equal(table[side], tables[0][side]):
                raise UsageError(
                    f"{run.name} was evaluated under {name} with other queries or another gallery than "
                    f"{runs[0].name}.",
                    f"Evaluate both again:\n{evaluation_commands([runs[0], run])}",
                )


def _description(selection: QuerySelection, labels: Sequence[str]) -> str:
    """Describe the selection for the subtitle."""
    if selection.paths:
        return "queries as named"
    of = f" of pid {', '.join(map(str, selection.pids))}" if selection.pids else ""
    by = f" by {labels[0]}" if len(labels) > 1 and selection.order in ("best", "worst") else ""
    return f"{selection.order or 'random'} queries{of}{by}"


def _select(arrays: Arrays, selection: QuerySelection) -> np.ndarray:
    """Return the indices of the selected queries.

    Raises:
        UsageError: A person or a path has no query, no selected query has a legal match, or ``paths`` is
            combined with another criterion.
    """
    if selection.paths:
        if selection.pids or selection.order is not None or selection.count is not None:
            raise UsageError("--query can't be combined with --pid, --order or --queries.", "Remove them.")
        return np.array([_query_index(arrays["query_paths"], path) for path in selection.paths])
    precision = arrays["average_precision"]
    candidates = ~np.isnan(precision)
    if selection.pids:
        pids = np.unique(arrays["query_pids"])
        for pid in selection.pids:
            if pid not in pids:
                some = ", ".join(str(p) for p in pids[:10])
                raise UsageError(f"This evaluation has no query of pid {pid}.", f"Queries are of: {some} …")
        candidates &= np.isin(arrays["query_pids"], selection.pids)
    valid = np.flatnonzero(candidates)
    if not len(valid):
        raise UsageError(
            f"No query of pid {', '.join(map(str, selection.pids))} has a match in the gallery.",
            "Choose other persons, or remove --pid.",
        )
    count = QUERIES if selection.count is None else selection.count
    if selection.order in (None, "random"):
        return np.random.default_rng(selection.seed).permutation(valid)[:count]
    ranked = valid[np.argsort(precision[valid], kind="stable")]
    return ranked[:count] if selection.order == "worst" else ranked[::-1][:count]


def _query_index(paths: np.ndarray, path: str) -> int:
    """Return the index of the query with this path, relative to the dataset or with leading folders.

    Raises:
        UsageError: No query has this path; the error lists the nearest ones.
    """
    text = PurePosixPath(path).as_posix()
    for start in range(len(text)):
        if start == 0 or text[start - 1] == "/":
            matches = np.flatnonzero(paths == text[start:])
            if len(matches):
                return int(matches[0])
    close = difflib.get_close_matches(text, paths.tolist(), n=3, cutoff=0.0)
    raise UsageError(f"{path} is not a query of this evaluation.", f"Nearest: {', '.join(close)}")


def _row(arrays: Arrays, query: int, store: Store, size: Size, label: str) -> ranking.RankingRow:
    """Return one query with its matches in one run; ``label`` names the run if there are several."""
    top = arrays["top"][query]
    top = top[top >= 0]
    paths = [str(arrays["query_paths"][query]), *(str(arrays["gallery_paths"][i]) for i in top)]
    rows = rows_of(store, paths)
    pixels = store.batch(size, rows)
    pid = int(arrays["query_pids"][query])
    matches = arrays["gallery_pids"][top]
    precision = float(arrays["average_precision"][query])
    outcome = "no match in the gallery" if np.isnan(precision) else f"AP {100 * precision:.1f} %"
    cameras = store.records.has_cameras
    side = Modality.of(store.records.modalities[rows[0]])
    caption = f"pid {pid} · cam {arrays['query_camids'][query]}" if cameras else f"pid {pid} · {side}"
    return ranking.RankingRow(
        query_image=pixels[0],
        query_label=caption if label else f"{caption}\n{outcome}",
        images=pixels[1:],
        correct=matches == pid,
        labels=tuple(
            f"pid {p} · cam {arrays['gallery_camids'][i]}" if cameras else f"pid {p}"
            for p, i in zip(matches, top, strict=True)
        ),
        scores=arrays["scores"][query][: len(top)],
        head=f"{label}: {outcome}",
    )
