"""Embeddings or distances in somebody's ``.npz`` file, checked array by array."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Embeddings, Modality

LABELS = ("q_pids", "g_pids", "q_camids", "g_camids")
FEATURES = ("q_feat", "g_feat")
DISTANCE = "distance"
EMBEDDED = ("features", "pids", "camids", "modalities", "paths")
TRIALS = ("queries", "query_offsets", "galleries", "gallery_offsets")
"""Arrays of a run folder's ``embeddings.npz``."""

UNIT_TOLERANCE = 1e-3
"""Rows whose norm lies within this of 1 count as unit length (float16 rounds by 5e-4)."""

_FORM = (
    "Expected arrays: q_feat (Q, D) and g_feat (G, D), or distance (Q, G); q_pids and q_camids (Q,), "
    "g_pids and g_camids (G,), integers. Write them with numpy.savez(path, q_feat=…, …)."
)


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """What a file holds: Q queries against G gallery images, by features or by distances.

    Attributes:
        query, gallery: Embeddings as they stand in the file; width 0 where distances are given.
        distance: (Q, G), lower is closer; None where features are given.
        norms: Smallest and largest length of a feature row as found in the file; None for distances.
        normalised: Whether the rows were brought to unit length on reading.
    """

    query: Embeddings
    gallery: Embeddings
    distance: np.ndarray | None
    norms: tuple[float, float] | None
    normalised: bool

    @property
    def q_pids(self) -> np.ndarray:
        """(Q,)."""
        return self.query.pids

    @property
    def g_pids(self) -> np.ndarray:
        """(G,)."""
        return self.gallery.pids

    @property
    def q_camids(self) -> np.ndarray:
        """(Q,)."""
        return self.query.camids

    @property
    def g_camids(self) -> np.ndarray:
        """(G,)."""
        return self.gallery.camids

    @property
    def distance_name(self) -> str:
        """What is compared, in words for a fingerprint."""
        if self.norms is None:
            return "distances as given in the file"
        if self.normalised:
            return "cosine (rows normalised on reading, float64 product)"
        low, high = self.norms
        if max(abs(low - 1.0), abs(high - 1.0)) <= UNIT_TOLERANCE:
            return "cosine (rows of unit length as given, float64 product)"
        return f"inner product (rows as given, norms {low:.4g} to {high:.4g}, float64 product)"

    def scores(self) -> np.ndarray:
        """Compute the (Q, G) scores, higher is better: inner products in float64, or minus the distances."""
        if self.distance is not None:
            return -self.distance
        # float64: two files with the same embeddings give the same figures on every machine
        return self.query.features.astype(np.float64) @ self.gallery.features.astype(np.float64).T


def read_features(
    path: Path, *, normalise: bool = False, query_modality: Modality = Modality.INFRARED
) -> FeatureFile:
    """Read and check a file of features or distances; nothing in it is unpickled.

    Features are taken as they are: rows are brought to unit length only if asked. Where the file has a
    ``distance`` array, it is used in place of features.

    Args:
        path: A ``.npz`` file.
        normalise: Divide each feature row by its length.
        query_modality: What the queries are; the gallery is the other modality.

    Raises:
        UsageError: The file does not exist.
        DataError: It is no ``.npz`` file, lacks arrays, or they are of wrong shape or kind, or not finite.
    """
    path = Path(path)
    arrays = _load(path, (*LABELS, *FEATURES, DISTANCE))
    by_distance = DISTANCE in arrays
    _require(arrays, LABELS if by_distance else (*FEATURES, *LABELS), path)
    labels = {name: _labels(arrays[name], name, path) for name in LABELS}
    queries, gallery = len(labels["q_pids"]), len(labels["g_pids"])
    _same_length(labels, queries, gallery, path)
    distance = None
    if by_distance:
        distance = _numbers(arrays[DISTANCE], DISTANCE, (queries, gallery), path)
        q_feat, g_feat = np.empty((queries, 0), np.float32), np.empty((gallery, 0), np.float32)
        norms = None
    else:
        q_feat = _numbers(arrays["q_feat"], "q_feat", (queries, None), path)
        g_feat = _numbers(arrays["g_feat"], "g_feat", (gallery, q_feat.shape[1]), path)
        q_feat, g_feat, norms = _lengths(q_feat, g_feat, normalise, path)
    sides = {"q": (q_feat, query_modality), "g": (g_feat, query_modality.other)}
    query, shown = (
        Embeddings(
            features,
            labels[f"{side}_pids"],
            labels[f"{side}_camids"],
            np.full(len(features), modality.code, dtype=np.uint8),
        )
        for side, (features, modality) in sides.items()
    )
    return FeatureFile(query, shown, distance, norms, normalise and not by_distance)


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
    return TRIALS[0] in _names(path) or "features" in _names(path)


def read_trials(path: Path) -> StoredTrials:
    """Read a run folder's ``embeddings.npz`` with the trials that it holds.

    Raises:
        DataError: It lacks arrays (older evaluations stored no trials), or they do not fit each other.
    """
    arrays = _load(path, (*EMBEDDED, *TRIALS))
    missing = [name for name in TRIALS if name not in arrays]
    if missing:
        raise DataError(
            f"{path} holds embeddings but not which are queries and gallery: it lacks {', '.join(missing)}.",
            "Evaluate the run again: vireid evaluate RUN. For embeddings of your own:\n" + _FORM,
        )
    _require(arrays, EMBEDDED, path)
    pids, camids = (_labels(arrays[name], name, path) for name in ("pids", "camids"))
    features = _numbers(arrays["features"], "features", (len(pids), None), path)
    columns = (camids, arrays["modalities"], arrays["paths"])
    if any(len(column) != len(pids) for column in columns):
        raise DataError(f"{path}: the columns pids, camids, modalities and paths differ in length.")
    embeddings = Embeddings(features, pids, camids, arrays["modalities"], arrays["paths"])
    parts = []
    for name in ("queries", "galleries"):
        rows = _labels(arrays[name], name, path)
        offsets = _labels(arrays[TRIALS[1] if name == "queries" else TRIALS[3]], name, path)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(pids):
            raise DataError(f"{path}: {name} names rows that are not there.")
        parts.append(tuple(np.split(rows, offsets[1:-1])))
    # trials with the same queries share them: one product serves all
    first = parts[0][0]
    queries = tuple(first if np.array_equal(part, first) else part for part in parts[0])
    return StoredTrials(embeddings, queries, parts[1])


def _names(path: Path) -> list[str]:
    """Names of a file's arrays; none where it is not an ``.npz``, which reading will explain."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []


def _load(path: Path, known: Collection[str]) -> dict[str, np.ndarray]:
    """All arrays of the file that we know by name; names of the others with empty arrays."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist.", _FORM)
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds a single array, not a set of named ones.", _FORM)
        with archive:
            return {name: archive[name] if name in known else np.empty(0) for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        reason = "it is no zip archive" if "pickle" in str(error) else str(error)
        raise DataError(
            f"{path} can't be read as an .npz file: {reason}",
            "Arrays of Python objects are never loaded; save plain numeric arrays.\n" + _FORM,
        ) from error


def _require(arrays: Collection[str], names: Sequence[str], path: Path) -> None:
    """Refuse a file that lacks arrays; name those that look like a misspelling."""
    missing = [name for name in names if name not in arrays]
    if not missing:
        return
    lines = []
    for name in missing:
        near = difflib.get_close_matches(name, [other for other in arrays if other not in names], 1, 0.5)
        lines.append(f"{name} (is it '{near[0]}'?)" if near else name)
    raise DataError(
        f"{path} lacks {', '.join(lines)}; it holds {', '.join(sorted(arrays)) or 'nothing'}.", _FORM
    )


def _labels(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Integers (n,) as int64."""
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(
            f"{name} in {path} is {array.dtype} of shape {array.shape}; expected integers of one dimension.",
            _FORM,
        )
    return array.astype(np.int64)


def _same_length(labels: dict[str, np.ndarray], queries: int, gallery: int, path: Path) -> None:
    """Refuse pids and camids that differ in number, and empty sides."""
    for side, number in (("q", queries), ("g", gallery)):
        if len(labels[f"{side}_camids"]) != number:
            raise DataError(
                f"{path}: {side}_pids has {number} entries, {side}_camids {len(labels[f'{side}_camids'])}.",
                _FORM,
            )
        if number == 0:
            raise DataError(f"{path}: {side}_pids is empty.", _FORM)


def _numbers(array: np.ndarray, name: str, shape: tuple[int, int | None], path: Path) -> np.ndarray:
    """Finite floating-point numbers of a shape (None: any, but not 0); integers and halves are widened."""
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{name} in {path} is {array.dtype} of shape {array.shape}; expected numbers of two dimensions.",
            _FORM,
        )
    rows, columns = shape
    if len(array) != rows or array.shape[1] == 0 or (columns is not None and array.shape[1] != columns):
        wanted = f"({rows}, {columns if columns is not None else 'D'})"
        raise DataError(
            f"{name} in {path} has shape {array.shape}; the other arrays ask for {wanted}.", _FORM
        )
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    bad = np.flatnonzero(~_finite(array))
    if len(bad):
        raise DataError(
            f"{name} in {path}: {len(bad)} rows hold NaN or infinity, the first is row {bad[0]}.",
            "A network that has diverged gives such rows; find the image and look.",
        )
    return array


def _lengths(
    q_feat: np.ndarray, g_feat: np.ndarray, normalise: bool, path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Range of the row norms, and the rows, brought to unit length if asked."""
    q_norm, g_norm = _norms(q_feat), _norms(g_feat)
    low, high = min(q_norm.min(), g_norm.min()), max(q_norm.max(), g_norm.max())
    if low == 0.0:
        raise DataError(
            f"{path} has feature rows that are all zero: every score of theirs would be a tie.",
            "Leave these images out, or find out why the network gives nothing for them.",
        )
    if normalise:
        q_feat = q_feat.astype(np.float64) / q_norm[:, None]
        g_feat = g_feat.astype(np.float64) / g_norm[:, None]
    return q_feat, g_feat, (float(low), float(high))


_ROWS = 8192
"""Rows looked at at once: a large gallery is never copied whole."""


def _finite(array: np.ndarray) -> np.ndarray:
    """Whether each row holds finite numbers only, (n,)."""
    blocks = (array[first : first + _ROWS] for first in range(0, len(array), _ROWS))
    return np.concatenate([np.isfinite(block).all(axis=1) for block in blocks])


def _norms(array: np.ndarray) -> np.ndarray:
    """Length of each row in float64, (n,)."""
    blocks = (array[first : first + _ROWS].astype(np.float64) for first in range(0, len(array), _ROWS))
    return np.concatenate([np.linalg.norm(block, axis=1) for block in blocks])
