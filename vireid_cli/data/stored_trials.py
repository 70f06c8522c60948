"""Embeddings that an evaluation of ours left in a run folder, with its trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli.array_files import load_arrays
from vireid_cli.data import npz
from vireid_cli.errors import DataError
from vireid_cli.types import Embeddings

EMBEDDED = ("features", "pids", "camids", "modalities", "paths")
TRIALS = ("queries", "query_offsets", "galleries", "gallery_offsets")
"""Arrays of a run folder's ``embeddings.npz``."""


@dataclass(frozen=True, slots=True)
class StoredTrials:
    """Embeddings that an evaluation of ours left, with its trials.

    Attributes:
        embeddings: Of every image that some trial uses.
        queries, galleries: For each trial the rows of the embeddings.
    """

    embeddings: Embeddings
    queries: tuple[np.ndarray, ...]
    galleries: tuple[np.ndarray, ...]


def holds_trials(path: Path) -> bool:
    """Whether a file is of the form of a run folder's ``embeddings.npz``."""
    if not path.is_file():
        return False  # reading names the problem
    return not {TRIALS[0], "features"}.isdisjoint(load_arrays(path, (), hint=npz.FORM)[1])


def read_trials(path: Path) -> StoredTrials:
    """Read a run folder's ``embeddings.npz`` with the trials that it holds.

    Raises:
        DataError: It lacks arrays (older evaluations stored no trials), or they do not fit each other.
    """
    arrays = npz.load(path, (*EMBEDDED, *TRIALS))
    missing = [name for name in TRIALS if name not in arrays]
    if missing:
        raise DataError(
            f"{path} holds embeddings but not which are queries and gallery: it lacks {', '.join(missing)}.",
            "Evaluate the run again: vireid evaluate RUN. For embeddings of your own:\n" + npz.FORM,
        )
    npz.require(arrays, EMBEDDED, path)
    pids, camids = (npz.labels(arrays[name], name, path) for name in ("pids", "camids"))
    features = npz.numbers(arrays["features"], "features", (len(pids), None), path)
    columns = (camids, arrays["modalities"], arrays["paths"])
    if any(len(column) != len(pids) for column in columns):
        raise DataError(f"{path}: the columns pids, camids, modalities and paths differ in length.")
    if arrays["paths"].dtype.kind != "U" or arrays["modalities"].dtype.kind not in "iu":
        raise DataError(f"{path}: paths must be text and modalities integers.", npz.FORM)
    embeddings = Embeddings(features, pids, camids, arrays["modalities"], arrays["paths"])
    parts = []
    for name in ("queries", "galleries"):
        rows = npz.labels(arrays[name], name, path)
        offset_name = TRIALS[1] if name == "queries" else TRIALS[3]
        offsets = npz.labels(arrays[offset_name], offset_name, path)
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < 0).any():
            raise DataError(f"{path}: {offset_name} does not divide {name} into trials.")
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(pids):
            raise DataError(f"{path}: {name} names rows that are not there.")
        parts.append(tuple(np.split(rows, offsets[1:-1])))
    if len(parts[0]) != len(parts[1]):
        raise DataError(f"{path}: {TRIALS[1]} counts {len(parts[0])} trials, {TRIALS[3]} {len(parts[1])}.")
    # trials with the same queries share them: one product serves all
    first = parts[0][0]
    queries = tuple(first if np.array_equal(part, first) else part for part in parts[0])
    return StoredTrials(embeddings, queries, parts[1])
