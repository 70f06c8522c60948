"""The official gallery draw of SYSU-MM01: ``rand_perm_cam.mat``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli import reading
from vireid_cli.counts import counted
from vireid_cli.data.gallery_draws import Folders
from vireid_cli.data.ids import ids_of_array
from vireid_cli.errors import DataError

FILE = "rand_perm_cam.mat"
VARIABLE = "rand_perm_cam"
TRIALS = 10

_ADVICE = (
    f"{FILE} is not part of the dataset's zip; it belongs to the official evaluation code of SYSU-MM01 "
    "(repository wuancong/SYSU-MM01, folder evaluation/data_split).\n"
    f"Copy it to SYSU-MM01/{FILE}, beside the camera folders, or to SYSU-MM01/exp/; or use the seeded draw, "
    "which needs no file (--protocol seeded)."
)


@dataclass(frozen=True, slots=True)
class Permutation:
    """Ten orders of the images of each camera and identity.

    Attributes:
        orders: (10, n) int64 by (camid, pid); each row belongs to a trial and is a permutation of 1..n, the
            image numbers.
        source: Path of the file, for messages.
    """

    orders: dict[tuple[int, int], np.ndarray]
    source: str = ""


def find_permutation(root: Path) -> Path:
    """Find the permutation file under a dataset's root.

    Raises:
        DataError: The file is not in any usual place.
    """
    places = [
        root / FILE,
        root / "exp" / FILE,
        root / "data_split" / FILE,
        root / "evaluation" / "data_split" / FILE,
    ]
    for place in places:
        if place.is_file():
            return place
    raise DataError(f"no {FILE} under {root}: the official gallery draw needs it.", _ADVICE)


def read_permutation(path: Path) -> Permutation:
    """Read the cells {camera}{id}, each 10 × n, of the official file.

    Raises:
        DataError: The file is missing, unreadable, or has another structure.
    """
    from scipy.io import loadmat

    path = Path(path)
    with reading.open_regular(path, hint=_ADVICE) as file:
        try:
            content = loadmat(file, variable_names=[VARIABLE])
        except NotImplementedError as error:
            raise DataError(
                f"{path} is a MATLAB 7.3 file; the official one is version 5.",
                "Convert it with save('-v7', …), or use the official file.\n" + _ADVICE,
            ) from error
        except Exception as error:
            raise DataError(f"{path} can't be read as a MATLAB file: {error}", _ADVICE) from error
    if VARIABLE not in content:
        raise DataError(f"{path} has no variable '{VARIABLE}'.", _ADVICE)
    cameras = content[VARIABLE]
    if cameras.dtype != object or cameras.size == 0:
        raise DataError(f"'{VARIABLE}' in {path} is not a cell array with one cell per camera.", _ADVICE)
    orders: dict[tuple[int, int], np.ndarray] = {}
    for camid, people in enumerate(cameras.ravel(), start=1):
        cells = people.ravel() if isinstance(people, np.ndarray) and people.dtype == object else ()
        for pid, cell in enumerate(cells, start=1):
            if np.size(cell):
                orders[camid, pid] = _checked(np.asarray(cell), camid, pid, path)
    if not orders:
        raise DataError(f"every cell of '{VARIABLE}' in {path} is empty.", _ADVICE)
    return Permutation(orders, str(path))


def _checked(cell: np.ndarray, camid: int, pid: int, path: Path) -> np.ndarray:
    """Convert a cell to int64 and check that each row is a permutation of 1..n."""
    name = f"cell {{{camid}}}{{{pid}}} of {path}"
    if cell.ndim != 2 or len(cell) != TRIALS or cell.dtype.kind not in "uif":
        raise DataError(f"{name} has shape {cell.shape}, expected numbers of shape ({TRIALS}, n).", _ADVICE)
    try:
        order = np.array(ids_of_array(cell), dtype=np.int64).reshape(cell.shape)
    except ValueError as error:
        raise DataError(f"{name}: {error}.", _ADVICE) from error
    if not np.array_equal(np.sort(order, axis=1), np.tile(np.arange(1, cell.shape[1] + 1), (TRIALS, 1))):
        raise DataError(f"{name}: a row is not a permutation of 1..{cell.shape[1]}.", _ADVICE)
    return order


def official_orders(folders: Folders, permutation: Permutation) -> Folders:
    """Return the official order (10, n) of every folder.

    Raises:
        DataError: The number of files in a folder differs from that in the permutation.
    """
    orders = {}
    for (pid, camid), files in folders.items():
        order = permutation.orders.get((camid, pid))
        expected = 0 if order is None else order.shape[1]
        if order is None or expected != len(files):
            raise DataError(
                f"camera {camid}, id {pid}: the dataset has {counted(len(files), 'image')}, "
                f"{permutation.source or 'the permutation'} has {expected}.",
                "Images are missing or additional, or the permutation belongs to other data; "
                "'vireid prepare sysu --verify' lists the differences.",
            )
        orders[pid, camid] = order
    return orders


def draw_official(folders: Folders, orders: Folders, trial: int, shots: int) -> np.ndarray:
    """Draw the gallery of one trial: cameras, then ids, ascending, in the order of the permutation.

    Args:
        folders: Rows by (pid, camid), sorted by path.
        orders: (10, n) by (pid, camid), from ``official_orders``.
        trial: Number of the trial, from 0.
        shots: Number of images per folder; folders with fewer images contribute all of them.
    """
    keys = sorted(folders, key=lambda key: (key[1], key[0]))
    return np.concatenate([folders[key][orders[key][trial, :shots] - 1] for key in keys])
