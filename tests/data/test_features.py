"""Somebody else's ``.npz``: taken as it is, or refused with the reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.arrays import save_arrays
from vireid_cli.data.features import read_features
from vireid_cli.embedding_files import write_embeddings
from vireid_cli.embedding_files.origin import EmbeddingOrigin
from vireid_cli.embedding_files.rows import UNKNOWN, ImageRows
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality


def arrays(**change: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    good = {
        "q_feat": rng.standard_normal((4, 3)).astype(np.float32),
        "g_feat": rng.standard_normal((6, 3)).astype(np.float32),
        "q_pids": np.array([1, 2, 3, 1]),
        "g_pids": np.array([1, 2, 3, 1, 2, 3]),
        "q_camids": np.array([3, 3, 6, 6]),
        "g_camids": np.array([1, 1, 2, 2, 4, 5]),
    }
    return {name: array for name, array in (good | change).items() if array is not None}


def save(tmp_path: Path, **change: NDArray[Any] | None) -> Path:
    path = tmp_path / "features.npz"
    save_arrays(path, **arrays(**change))
    return path


def test_features_are_taken_as_they_are(tmp_path: Path) -> None:
    result = read_features(save(tmp_path))
    given = arrays()
    np.testing.assert_array_equal(result.query.features, given["q_feat"])
    assert result.query.features.dtype == np.float32
    assert result.scores().dtype == np.float64
    np.testing.assert_array_equal(
        result.scores(), given["q_feat"].astype(float) @ given["g_feat"].astype(float).T
    )
    norms = np.linalg.norm(np.concatenate([given["q_feat"], given["g_feat"]]).astype(float), axis=1)
    assert result.norms == pytest.approx((norms.min(), norms.max()))
    assert result.distance_name.startswith("inner product (rows as given, norms")
    assert set(result.query.modalities.tolist()) == {Modality.INFRARED.code}
    assert set(result.gallery.modalities.tolist()) == {Modality.VISIBLE.code}
    assert (result.q_pids.tolist(), result.g_camids.tolist()) == ([1, 2, 3, 1], [1, 1, 2, 2, 4, 5])


def test_rows_are_normalised_only_if_asked(tmp_path: Path) -> None:
    path = save(tmp_path)
    result = read_features(path, normalise=True, query_modality=Modality.VISIBLE)
    np.testing.assert_allclose(np.linalg.norm(result.query.features, axis=1), 1.0, rtol=1e-12)
    assert "normalised on reading" in result.distance_name
    assert set(result.query.modalities.tolist()) == {Modality.VISIBLE.code}
    unit = arrays()["q_feat"]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    other = save(tmp_path, q_feat=unit, g_feat=np.concatenate([unit, unit[:2]]))
    assert "of unit length as given" in read_features(other).distance_name
    with pytest.raises(DataError, match="all zero"):
        read_features(save(tmp_path, q_feat=np.zeros((4, 3), np.float32)), normalise=True)


def test_distances_serve_in_place_of_features(tmp_path: Path) -> None:
    distance = np.random.default_rng(1).random((4, 6))
    result = read_features(save(tmp_path, q_feat=None, g_feat=None, distance=distance))
    np.testing.assert_array_equal(result.scores(), -distance)
    assert result.norms is None
    assert result.distance_name == "distances as given in the file"
    assert result.query.features.shape == (4, 0)


def test_half_precision_is_widened(tmp_path: Path) -> None:
    result = read_features(save(tmp_path, q_feat=np.ones((4, 3), np.float16)))
    assert result.query.features.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q_feat": None}, "lacks q_feat"),
        ({"q_pids": None, "q_pid": np.arange(4)}, r"lacks q_pids \(is it 'q_pid'\?\)"),
        ({"q_pids": np.arange(5)}, "q_pids has 5 entries, q_camids 4"),
        ({"g_pids": np.arange(6.0)}, "g_pids .* is float64 .* expected integers"),
        ({"q_camids": np.zeros((4, 1), int)}, r"q_camids .* shape \(4, 1\)"),
        ({"q_feat": np.zeros((5, 3))}, r"q_feat .* shape \(5, 3\); the other arrays need \(4, D\)"),
        ({"g_feat": np.zeros((6, 2))}, r"g_feat .* shape \(6, 2\); the other arrays need \(6, 3\)"),
        ({"g_feat": np.full((6, 3), np.nan)}, "6 rows with NaN or infinity, the first is row 0"),
        ({"q_feat": np.zeros((4, 0))}, r"shape \(4, 0\)"),
        ({"q_feat": np.array([["a"] * 3] * 4)}, "expected numbers of two dimensions"),
        ({"distance": np.zeros((6, 4))}, r"distance .* shape \(6, 4\); the other arrays need \(4, 6\)"),
        ({"q_pids": np.array([], int), "q_camids": np.array([], int)}, "q_pids is empty"),
    ],
)
def test_errors_name_the_wrong_array(
    tmp_path: Path, change: dict[str, NDArray[Any] | None], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_features(save(tmp_path, **change))
    assert str(tmp_path) in caught.value.message


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_features(tmp_path / "nothing.npz")
    path = tmp_path / "features.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"can't be read as an \.npz file"):
        read_features(path)
    path.write_bytes(save(tmp_path).read_bytes()[:300])
    with pytest.raises(DataError, match="can't be read"):
        read_features(path)
    single = tmp_path / "one.npy"
    np.save(single, np.zeros(3))
    with pytest.raises(DataError, match="single array"):
        read_features(single)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = np.array([{"a": 1}], dtype=object)
    with pytest.raises(DataError, match="holds Python objects"):
        read_features(save(tmp_path, q_pids=trap))


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_file_of_embed_is_read_as_it_stands(ending: str, tmp_path: Path) -> None:
    """Modality, person, camera and path of each image are those of the file."""
    features = np.random.default_rng(0).standard_normal((6, 4))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    paths = np.array([f"cam{i}/{i}.jpg" for i in range(6)])
    codes = np.array([0, 1, 0, 1, 0, 0], np.uint8)
    rows = ImageRows(paths, codes, np.arange(6), np.arange(6) // 2, np.full(6, "", np.str_))
    origin = EmbeddingOrigin({"resize": "lanczos"}, 4, "list", None, "/images", "p")
    path = write_embeddings(tmp_path / f"e.{ending}", origin, rows, [features])
    file = read_features(path)
    assert file.query.paths.tolist() == ["cam1/1.jpg", "cam3/3.jpg"]
    assert file.gallery.pids.tolist() == [0, 1, 2, 2]
    assert file.gallery.camids.tolist() == [0, 2, 4, 5]
    np.testing.assert_array_equal(file.gallery.features, features[codes == 0])
    assert file.has_paths
    assert "unit length as given" in file.distance_name
    assert read_features(path, query_modality=Modality.VISIBLE).query.paths.tolist()[0] == "cam0/0.jpg"
    unknown = replace(rows, pids=np.array([0, 0, UNKNOWN, 1, 2, 2]))
    write_embeddings(path, origin, unknown, [features])
    with pytest.raises(DataError, match="1 of 6 images have no pid"):
        read_features(path)
    write_embeddings(path, origin, replace(rows, modalities=np.zeros(6, np.uint8)), [features])
    with pytest.raises(DataError, match="no infrared image"):
        read_features(path)
