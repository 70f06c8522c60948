"""The rankings of a report: the same queries in every run, and the people that t-SNE shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.engine.subjects.evaluations import evaluation_of
from vireid_cli.engine.subjects.report_images import MOST_IMAGES, Album
from vireid_cli.figures.report.parts import Gallery, ImageTable, Ranking
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, Modality

SHOWN = 12
"""Images of a person and modality in the t-SNE chart."""

Arrays = Mapping[str, Any]


def rankings_of(runs: Sequence[RunFolder], protocol: str, seed: int) -> list[Arrays]:
    """``ranking.npz`` of each run, brought to the queries that all have, in the first one's order.

    Where their images are more than a page can hold, queries are drawn at random.

    Args:
        runs: Evaluated under ``protocol``.
        protocol: Of the evaluation.
        seed: Of the draw.

    Raises:
        UsageError: A run has no ranking yet.
        DataError: A file is damaged.
    """
    all_of = [evaluation_of(run, protocol).ranking() for run in runs]
    paths = all_of[0]["query_paths"]
    shared = np.logical_and.reduce([np.isin(paths, arrays["query_paths"]) for arrays in all_of])
    paths = paths[shared]
    order = np.random.default_rng(seed).permutation(len(paths))
    count = len(paths)
    while True:
        chosen = paths[np.sort(order[:count])]
        taken = [_at(arrays, chosen) for arrays in all_of]
        if count <= 1 or len(Album.of(image_paths(taken)).paths) <= MOST_IMAGES:
            return taken
        count //= 2


def _at(arrays: Arrays, paths: np.ndarray) -> Arrays:
    """The same with these queries only."""
    sorter = np.argsort(arrays["query_paths"])
    rows = sorter[np.searchsorted(arrays["query_paths"], paths, sorter=sorter)]
    per_query = [name for name, shape in schema.RANKING_ARRAYS.items() if shape.startswith("(Q,")]
    return {**arrays, **{name: arrays[name][rows] for name in per_query}}


def image_paths(rankings: Sequence[Arrays]) -> list[np.ndarray]:
    """Paths of all queries and of all gallery images among their matches."""
    matches = [arrays["gallery_paths"][np.unique(_known(arrays["top"]))] for arrays in rankings]
    return [rankings[0]["query_paths"], *matches]


def _known(top: np.ndarray) -> np.ndarray:
    return top[top >= 0]


def gallery_of(rankings: Sequence[Arrays], album: Album, total: int, protocol: str, cameras: bool) -> Gallery:
    """Put the rankings of all runs together; the gallery holds what is among anybody's matches.

    Args:
        rankings: Of ``rankings_of``.
        album: The page's images.
        total: Queries of the evaluation.
        protocol: Its name, and which trial is shown of several.
        cameras: Whether the dataset's cameras say more than modalities.
    """
    first = rankings[0]
    paths = np.unique(np.concatenate(image_paths(rankings)[1:]))
    columns = [np.zeros(len(paths), dtype=np.int64) for _ in range(2)]
    found = []
    for arrays in rankings:
        rows = np.unique(_known(arrays["top"]))
        places = np.searchsorted(paths, arrays["gallery_paths"][rows])
        for column, name in zip(columns, ("gallery_pids", "gallery_camids"), strict=True):
            column[places] = arrays[name][rows]
        table = np.full(len(arrays["gallery_paths"]) + 1, -1)
        table[rows] = places  # the last entry stays −1, which is where −1 points
        found.append(
            Ranking(arrays["average_precision"], arrays["first_rank"], table[arrays["top"]], arrays["scores"])
        )
    shown = len(first["query_paths"])
    some = "All" if shown == total else f"{shown:,} of"
    note = (
        f"{some} {total:,} queries of {protocol}, each with its ten best matches. "
        "Choose an image to enlarge it."
    )
    query = ImageTable(
        first["query_paths"], first["query_pids"], first["query_camids"], album.places(first["query_paths"])
    )
    gallery = ImageTable(paths, columns[0], columns[1], album.places(paths))
    return Gallery(query, gallery, tuple(found), tuple(range(len(found))), note, cameras)


def people_shown(embeddings: Embeddings, people: np.ndarray, ids: int) -> np.ndarray:
    """Rows of the first ``ids`` people, at most ``SHOWN`` of each modality, evenly chosen.

    Args:
        embeddings: N images.
        people: Persons with images in both modalities, ascending.
        ids: How many people.
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
