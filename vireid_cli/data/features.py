"""Reader of embeddings or distances in a user's ``.npz`` file; checks every array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli.data import npz
from vireid_cli.embedding_files import is_embeddings, read_embeddings
from vireid_cli.embedding_files.rows import UNKNOWN
from vireid_cli.errors import DataError
from vireid_cli.metrics.rounded import exact_products
from vireid_cli.types import Embeddings, Modality

LABELS = ("q_pids", "g_pids", "q_camids", "g_camids")
FEATURES = ("q_feat", "g_feat")
DISTANCE = "distance"
PATHS = ("q_paths", "g_paths")
"""Optional paths of the images, by which a protocol draws its galleries."""
UNIT_TOLERANCE = 1e-3
"""Tolerance of norms of unit length; float16 rounds by 5e-4."""


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """Content of a file: Q queries and G gallery images with features or distances.

    Attributes:
        query, gallery: Embeddings; their width is 0 in a file of distances.
        distance: (Q, G), lower is closer; None in a file of features.
        norms: Smallest and largest norm of the feature rows in the file; None for distances.
        normalised: Whether ``read_features`` normalised the rows.
    """

    query: Embeddings
    gallery: Embeddings
    distance: np.ndarray | None
    norms: tuple[float, float] | None
    normalised: bool

    @property
    def q_pids(self) -> np.ndarray:
        """Person numbers of the queries, (Q,)."""
        return self.query.pids

    @property
    def g_pids(self) -> np.ndarray:
        """Person numbers of the gallery images, (G,)."""
        return self.gallery.pids

    @property
    def q_camids(self) -> np.ndarray:
        """Camera numbers of the queries, (Q,)."""
        return self.query.camids

    @property
    def g_camids(self) -> np.ndarray:
        """Camera numbers of the gallery images, (G,)."""
        return self.gallery.camids

    @property
    def has_paths(self) -> bool:
        """Whether the file states the path of each image."""
        return bool((self.query.paths != "").all() and (self.gallery.paths != "").all())

    @property
    def distance_name(self) -> str:
        """Description of the scores for a fingerprint."""
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
        # float64: the same embeddings have the same metrics on every machine
        return exact_products(self.query.features, self.gallery.features)


def read_features(
    path: Path, *, normalise: bool = False, query_modality: Modality = Modality.INFRARED
) -> FeatureFile:
    """Read and check a file of features or distances; nothing is unpickled.

    A ``distance`` array takes precedence over features. Features are not normalised by default.

    Args:
        path: Path of an ``.npz`` file, or of a file of ``vireid embed``, whose rows have unit length.
        normalise: Whether to divide each feature row by its norm.
        query_modality: Modality of the queries; the gallery has the other one.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is not an ``.npz`` file or lacks arrays, or an array has a wrong shape or type or
            values that are not finite.
    """
    path = Path(path)
    if is_embeddings(path):
        return _embedded(path, query_modality)
    arrays = npz.load(path, (*LABELS, *FEATURES, DISTANCE, *PATHS))
    by_distance = DISTANCE in arrays
    npz.require(arrays, LABELS if by_distance else (*FEATURES, *LABELS), path)
    labels = {name: npz.labels(arrays[name], name, path) for name in LABELS}
    queries, gallery = len(labels["q_pids"]), len(labels["g_pids"])
    _same_length(labels, queries, gallery, path)
    distance = None
    if by_distance:
        distance = npz.numbers(arrays[DISTANCE], DISTANCE, (queries, gallery), path)
        q_feat, g_feat = np.empty((queries, 0), np.float32), np.empty((gallery, 0), np.float32)
        norms = None
    else:
        q_feat = npz.numbers(arrays["q_feat"], "q_feat", (queries, None), path)
        g_feat = npz.numbers(arrays["g_feat"], "g_feat", (gallery, q_feat.shape[1]), path)
        q_feat, g_feat, norms = _lengths(q_feat, g_feat, normalise, path)
    paths = _paths(arrays, {"q_paths": queries, "g_paths": gallery}, path)
    sides = {"q": (q_feat, query_modality), "g": (g_feat, query_modality.other)}
    query, shown = (
        Embeddings(
            features,
            labels[f"{side}_pids"],
            labels[f"{side}_camids"],
            np.full(len(features), modality.code, dtype=np.uint8),
            paths[f"{side}_paths"],
        )
        for side, (features, modality) in sides.items()
    )
    return FeatureFile(query, shown, distance, norms, normalise and not by_distance)


def _embedded(path: Path, query_modality: Modality) -> FeatureFile:
    """Read a file of ``vireid embed``: images of one modality are the queries, the others the gallery.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is damaged, a row has no person or camera, or a modality has no image.
    """
    content = read_embeddings(path)
    rows = content.rows
    for name, numbers in (("pid", rows.pids), ("camid", rows.camids)):
        if count := int((numbers == UNKNOWN).sum()):
            raise DataError(
                f"{path}: {count:,} of {len(rows):,} images have no {name}.",
                "Embed images whose names state person and camera, or a list with the columns pid and camid.",
            )
    sides = []
    for modality in (query_modality, query_modality.other):
        own = np.flatnonzero(rows.modalities == modality.code)
        if not len(own):
            raise DataError(f"{path} has no {modality.value} image.", "Embed the images of both modalities.")
        part = rows.take(own)
        sides.append(Embeddings(content.features[own], part.pids, part.camids, part.modalities, part.paths))
    norms = np.concatenate([npz.norms(side.features) for side in sides])
    return FeatureFile(sides[0], sides[1], None, (float(norms.min()), float(norms.max())), False)


def _paths(arrays: dict[str, np.ndarray], lengths: dict[str, int], path: Path) -> dict[str, np.ndarray]:
    """Return the paths of both sides; empty arrays if the file has none.

    Raises:
        DataError: Only one side has paths, or they are not one text per image, or one occurs twice.
    """
    given = [name for name in lengths if name in arrays]
    if not given:
        return dict.fromkeys(lengths, np.empty(0, dtype=np.str_))
    npz.require(arrays, PATHS, path)
    for name, length in lengths.items():
        array = arrays[name]
        if array.dtype.kind != "U" or array.shape != (length,):
            raise DataError(
                f"{name} in {path} is {array.dtype} of shape {array.shape}; expected {length} texts.",
                npz.FORM,
            )
        if len(np.unique(array)) != length:
            raise DataError(f"{name} in {path} contains a path twice.", "Remove the repeated image.")
    return {name: arrays[name] for name in lengths}


def _same_length(labels: dict[str, np.ndarray], queries: int, gallery: int, path: Path) -> None:
    """Refuse pids and camids of different lengths, and empty sides."""
    for side, number in (("q", queries), ("g", gallery)):
        if len(labels[f"{side}_camids"]) != number:
            raise DataError(
                f"{path}: {side}_pids has {number} entries, {side}_camids {len(labels[f'{side}_camids'])}.",
                npz.FORM,
            )
        if number == 0:
            raise DataError(f"{path}: {side}_pids is empty.", npz.FORM)


def _lengths(
    q_feat: np.ndarray, g_feat: np.ndarray, normalise: bool, path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Return the rows, normalised if requested, and the range of their original norms."""
    q_norm, g_norm = npz.norms(q_feat), npz.norms(g_feat)
    low, high = min(q_norm.min(), g_norm.min()), max(q_norm.max(), g_norm.max())
    if low == 0.0:
        raise DataError(
            f"{path} has feature rows that are all zero: all their scores would be equal.",
            "Remove these images, or find out why the network returns zeros for them.",
        )
    if normalise:
        q_feat = q_feat.astype(np.float64) / q_norm[:, None]
        g_feat = g_feat.astype(np.float64) / g_norm[:, None]
    return q_feat, g_feat, (float(low), float(high))
