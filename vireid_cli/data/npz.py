"""Loading and checking of the arrays of a user's ``.npz`` file, without unpickling."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from vireid_cli.array_files import load_arrays
from vireid_cli.counts import counted
from vireid_cli.data.ids import LARGEST
from vireid_cli.errors import DataError, UsageError

FORM = (
    "Expected arrays: q_feat (Q, D) and g_feat (G, D), or distance (Q, G); q_pids and q_camids (Q,), "
    "g_pids and g_camids (G,), integers. Write them with numpy.savez(path, q_feat=…, …)."
)
"""Hint about the arrays of a file of features or distances."""

_ROWS = 8192
"""Number of rows per block, so that a large gallery is never copied as a whole."""


def load(path: Path, known: Collection[str]) -> dict[str, np.ndarray]:
    """Load the arrays of a file with known names; other arrays are returned empty.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is not an ``.npz`` file, or an array is damaged or contains Python objects.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist.", FORM)
    arrays, names = load_arrays(path, known, hint=FORM)
    return {name: arrays.get(name, np.empty(0)) for name in names}


def require(arrays: Collection[str], names: Sequence[str], path: Path) -> None:
    """Refuse a file that lacks arrays; the message suggests similar names.

    Raises:
        DataError: Arrays are missing.
    """
    missing = [name for name in names if name not in arrays]
    if not missing:
        return
    lines = []
    for name in missing:
        near = difflib.get_close_matches(name, [other for other in arrays if other not in names], 1, 0.5)
        lines.append(f"{name} (is it '{near[0]}'?)" if near else name)
    raise DataError(
        f"{path} lacks {', '.join(lines)}; it contains {', '.join(sorted(arrays)) or 'nothing'}.", FORM
    )


def labels(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Convert an array of integers (n,) to int64.

    Raises:
        DataError: The array has another type or shape.
    """
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(
            f"{name} in {path} is {array.dtype} of shape {array.shape}; expected integers of one dimension.",
            FORM,
        )
    if len(array) and array.max() > LARGEST:
        raise DataError(f"{name} in {path} contains {array.max()}, which is larger than {LARGEST}.", FORM)
    return array.astype(np.int64)


def numbers(array: np.ndarray, name: str, shape: tuple[int, int | None], path: Path) -> np.ndarray:
    """Check a matrix of finite numbers; converts half precision to float32 and integers to float64.

    Args:
        array: Array of the file.
        name: Name of the array, for errors.
        shape: Required (rows, columns); None for any number of columns but 0.
        path: Path of the file, for errors.

    Raises:
        DataError: The array has another type or shape, or contains NaN or infinity.
    """
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{name} in {path} is {array.dtype} of shape {array.shape}; expected numbers of two dimensions.",
            FORM,
        )
    rows, columns = shape
    if len(array) != rows or array.shape[1] == 0 or (columns is not None and array.shape[1] != columns):
        wanted = f"({rows}, {columns if columns is not None else 'D'})"
        raise DataError(f"{name} in {path} has shape {array.shape}; the other arrays need {wanted}.", FORM)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    bad = np.flatnonzero(~_finite(array))
    if len(bad):
        raise DataError(
            f"{name} in {path}: {counted(len(bad), 'row')} with NaN or infinity, the first is row {bad[0]}.",
            "A diverged network returns such rows; check the image of this row.",
        )
    return array


def _finite(array: np.ndarray) -> np.ndarray:
    """(n,) bool: rows with finite numbers only."""
    return np.concatenate([np.isfinite(block).all(axis=1) for block in _blocks(array)])


def norms(array: np.ndarray) -> np.ndarray:
    """Euclidean norm of each row in float64, (n,)."""
    return np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1) for block in _blocks(array)])


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    return (array[first : first + _ROWS] for first in range(0, len(array), _ROWS))
