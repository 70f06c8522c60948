"""Reader of ``embeddings.npz`` in run folders: the embeddings and trials of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli.array_files import load_arrays
from vireid_cli.counts import counted
from vireid_cli.data import npz
from vireid_cli.errors import DataError
from vireid_cli.types import Embeddings

EMBEDDED = ("features", "pids", "camids", "modalities", "paths")
TRIALS = ("queries", "query_offsets", "galleries", "gallery_offsets")
"""Arrays of a run folder's ``embeddings.npz``."""


@dataclass(frozen=True, slots=True)
class StoredTrials:
    """Embeddings and trials of an evaluation.

    Attributes:
        embeddings: Embeddings of all images in some trial.
        queries, galleries: Rows of the embeddings, for each trial.
    """

    embeddings: Embeddings
    queries: tuple[np.ndarray, ...]
    galleries: tuple[np.ndarray, ...]


def has_trials(path: Path) -> bool:
    """Whether a file has the arrays of a run folder's ``embeddings.npz``; False for a missing file."""
    if not path.is_file():
        return False
    return not {TRIALS[0], "features"}.isdisjoint(load_arrays(path, (), hint=npz.FORM)[1])


def read_trials(path: Path) -> StoredTrials:
    """Read the ``embeddings.npz`` of a run folder.

    Raises:
        DataError: Arrays are missing (older evaluations stored no trials) or do not fit each other.
    """
    arrays = npz.load(path, (*EMBEDDED, *TRIALS))
    missing = [name for name in TRIALS if name not in arrays]
    if missing:
        raise DataError(
            f"{path} has embeddings but no trials: it lacks {', '.join(missing)}.",
            "Evaluate the run again: vireid evaluate RUN. For your own embeddings:\n" + npz.FORM,
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
            raise DataError(f"{path}: {name} contains row numbers that do not exist.")
        parts.append(tuple(np.split(rows, offsets[1:-1])))
    if len(parts[0]) != len(parts[1]):
        raise DataError(
            f"{path}: {TRIALS[1]} counts {counted(len(parts[0]), 'trial')}, {TRIALS[3]} {len(parts[1])}."
        )
    # trials with equal queries share one array, so that one matrix product serves all of them
    first = parts[0][0]
    queries = tuple(first if np.array_equal(part, first) else part for part in parts[0])
    return StoredTrials(embeddings, queries, parts[1])
