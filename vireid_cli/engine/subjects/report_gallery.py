"""Rankings of a report for the common queries of all runs, and the people in its t-SNE chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.engine.subjects.evaluations import evaluation_of
from vireid_cli.engine.subjects.report_images import MOST_IMAGES, Album
from vireid_cli.figures.report.parts import Gallery, ImageTable, Ranking
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, Modality

SHOWN = 12
"""Largest number of images per person and modality in the t-SNE chart."""

Arrays = Mapping[str, Any]


def rankings_of(runs: Sequence[RunFolder], protocol: str, seed: int) -> list[Arrays]:
    """Read ``ranking.npz`` of each run, restricted to the common queries, in the first run's order.

    If their images exceed the limit of a page, a random subset of the queries remains.

    Args:
        runs: Runs that were evaluated under ``protocol``.
        protocol: Name of the evaluation.
        seed: Seed of the random subset.

    Raises:
        UsageError: A run has no ranking.
        DataError: A file is damaged.
    """
    rankings = [evaluation_of(run, protocol).ranking() for run in runs]
    paths = rankings[0]["query_paths"]
    shared = np.logical_and.reduce([np.isin(paths, arrays["query_paths"]) for arrays in rankings])
    paths = paths[shared]
    order = np.random.default_rng(seed).permutation(len(paths))
    count = len(paths)
    while True:
        subset = paths[np.sort(order[:count])]
        reduced = [_select(arrays, subset) for arrays in rankings]
        if count <= 1 or len(Album.of(image_paths(reduced)).paths) <= MOST_IMAGES:
            return reduced
        count //= 2


def _select(arrays: Arrays, paths: np.ndarray) -> Arrays:
    """Restrict a ranking to the queries with these paths."""
    sorter = np.argsort(arrays["query_paths"])
    rows = sorter[np.searchsorted(arrays["query_paths"], paths, sorter=sorter)]
    per_query = [name for name, shape in schema.RANKING_ARRAYS.items() if shape.startswith("(Q,")]
    return {**arrays, **{name: arrays[name][rows] for name in per_query}}


def image_paths(rankings: Sequence[Arrays]) -> list[np.ndarray]:
    """Return the paths of all queries, and of all gallery images among the best matches of each run."""
    matches = [arrays["gallery_paths"][np.unique(_existing(arrays["top"]))] for arrays in rankings]
    return [rankings[0]["query_paths"], *matches]


def _existing(top: np.ndarray) -> np.ndarray:
    """Matches without the padding −1."""
    return top[top >= 0]


def gallery_of(rankings: Sequence[Arrays], album: Album, total: int, protocol: str, cameras: bool) -> Gallery:
    """Combine the rankings of all runs; the gallery contains all images among the best matches.

    Args:
        rankings: Rankings of ``rankings_of``.
        album: The page's images.
        total: Number of queries of the evaluation.
        protocol: Name of the protocol and its trial, for the note.
        cameras: Whether the dataset has several cameras per modality.
    """
    first = rankings[0]
    paths = np.unique(np.concatenate(image_paths(rankings)[1:]))
    columns = [np.zeros(len(paths), dtype=np.int64) for _ in range(2)]
    tables = []
    for arrays in rankings:
        rows = np.unique(_existing(arrays["top"]))
        places = np.searchsorted(paths, arrays["gallery_paths"][rows])
        for column, name in zip(columns, ("gallery_pids", "gallery_camids"), strict=True):
            column[places] = arrays[name][rows]
        table = np.full(len(arrays["gallery_paths"]) + 1, -1)
        table[rows] = places  # the last entry stays −1, so that index −1 maps to −1
        tables.append(
            Ranking(arrays["average_precision"], arrays["first_rank"], table[arrays["top"]], arrays["scores"])
        )
    shown = len(first["query_paths"])
    some = "All" if shown == total else f"{shown:,} of"
    note = (
        f"{some} {counted(total, 'query')} of {protocol}, each with its ten best matches. "
        "Choose an image to enlarge it."
    )
    query = ImageTable(
        first["query_paths"], first["query_pids"], first["query_camids"], album.indices(first["query_paths"])
    )
    gallery = ImageTable(paths, columns[0], columns[1], album.indices(paths))
    return Gallery(query, gallery, tuple(tables), tuple(range(len(tables))), note, cameras)


def people_shown(embeddings: Embeddings, people: np.ndarray, ids: int) -> np.ndarray:
    """Return rows of the first ``ids`` people, evenly spread, at most ``SHOWN`` per person and modality.

    Args:
        embeddings: N images.
        people: Persons with images in both modalities, ascending.
        ids: Number of people.
    """
    rows = [
        candidates[np.linspace(0, len(candidates) - 1, min(SHOWN, len(candidates))).astype(int)]
        for pid in people[:ids]
        for modality in Modality
        for candidates in [
            np.flatnonzero((embeddings.pids == pid) & (embeddings.modalities == modality.code))
        ]
    ]
    return np.sort(np.concatenate(rows))
