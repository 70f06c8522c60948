"""Reading ``rand_perm_cam.mat``: the cells, and errors that say what to do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from vireid_cli.data.permutation import find_permutation, read_permutation
from vireid_cli.errors import DataError


def cells(*lengths: int, rows: int = 10) -> NDArray[Any]:
    """A camera's cell: for each id a (rows, n) permutation table, or an empty cell."""
    rng = np.random.default_rng(sum(lengths))
    column = np.empty((len(lengths), 1), dtype=object)
    for k, n in enumerate(lengths):
        column[k, 0] = (
            np.stack([rng.permutation(n) + 1 for _ in range(rows)]).astype(np.float64)
            if n
            else np.empty((0, 0))
        )
    return column


def write(path: Path, cameras: Sequence[NDArray[Any]] | NDArray[Any], name: str = "rand_perm_cam") -> Path:
    outer = np.empty((len(cameras), 1), dtype=object)
    for k, camera in enumerate(cameras):
        outer[k, 0] = camera
    savemat(path, {name: outer})
    return path


def test_reads_every_filled_cell(tmp_path: Path) -> None:
    cameras = [cells(4, 0, 12), cells(0, 3)]
    result = read_permutation(write(tmp_path / "rand_perm_cam.mat", cameras))
    assert set(result.orders) == {(1, 1), (1, 3), (2, 2)}
    np.testing.assert_array_equal(result.orders[1, 3], cameras[0][2, 0])
    assert result.orders[1, 3].dtype == np.int64
    assert result.source.endswith("rand_perm_cam.mat")


@pytest.mark.parametrize("place", ["", "exp", "data_split", "evaluation/data_split"])
def test_file_is_found_in_the_usual_folders(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    path = write(tmp_path / place / "rand_perm_cam.mat", [cells(2)])
    assert find_permutation(tmp_path) == path


def test_missing_file_error_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no rand_perm_cam\.mat.*not part of the dataset's zip.*seeded"):
        find_permutation(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_permutation(tmp_path / "rand_perm_cam.mat")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rand_perm_cam.mat"
    path.write_bytes(b"not a MATLAB file at all" * 20)
    with pytest.raises(DataError, match="can't be read as a MATLAB file"):
        read_permutation(path)
    # how a version 7.3 file (HDF5) begins
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 20)
    with pytest.raises(DataError, match=r"7\.3"):
        read_permutation(path)
    with pytest.raises(DataError, match="no variable 'rand_perm_cam'"):
        read_permutation(write(path, [cells(2)], name="other"))
    savemat(path, {"rand_perm_cam": np.ones((6, 3))})
    with pytest.raises(DataError, match="not a cell array"):
        read_permutation(path)
    with pytest.raises(DataError, match="is empty"):
        read_permutation(write(path, [cells(0, 0), cells(0)]))


def test_a_cell_of_another_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rand_perm_cam.mat"
    with pytest.raises(DataError, match=r"cell \{2\}\{1\} .* has shape \(9, 4\)"):
        read_permutation(write(path, [cells(3), cells(4, rows=9)]))
    broken = cells(3, 5)
    broken[1, 0][7, 0] = broken[1, 0][7, 1]
    with pytest.raises(DataError, match=r"cell \{1\}\{2\} .* not a permutation of 1\.\.5"):
        read_permutation(write(path, [broken]))
