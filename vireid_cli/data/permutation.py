"""The official gallery draw of SYSU-MM01: ``rand_perm_cam.mat``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli import reading
from vireid_cli.data.ids import ids_of_array
from vireid_cli.data.plan import Folders
from vireid_cli.errors import DataError

FILE = "rand_perm_cam.mat"
VARIABLE = "rand_perm_cam"
TRIALS = 10

_ADVICE = (
    f"{FILE} is not part of the dataset's zip; it belongs to the official evaluation code of SYSU-MM01 "
    "(repository wuancong/SYSU-MM01, folder evaluation/data_split).\n"
    f"Put it beside the camera folders, SYSU-MM01/{FILE}, or into SYSU-MM01/exp/; or use the seeded draw, "
    "which needs no file (--protocol seeded)."
)


@dataclass(frozen=True, slots=True)
class Permutation:
    """For each (camid, pid) with images, ten orders of its images.

    Attributes:
        orders: (camid, pid) → (10, n) int64; row = trial, each a permutation of 1..n: "the p-th image".
        source: Where it was read.
    """

    orders: dict[tuple[int, int], np.ndarray]
    source: str = ""


def find_permutation(root: Path) -> Path:
    """Locate the file under a dataset's root.

    Raises:
        DataError: It is in none of the usual places.
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
    raise DataError(f"no {FILE} under {root}: the official gallery draw can't be made without it.", _ADVICE)


def read_permutation(path: Path) -> Permutation:
    """Read the cells {camera}{id}, each 10 × n, of the official file.

    Raises:
        DataError: The file is missing, unreadable or of another form.
    """
    from scipy.io import loadmat

    path = Path(path)
    with reading.open_regular(path, hint=_ADVICE) as file:
        try:
            content = loadmat(file, variable_names=[VARIABLE])
        except NotImplementedError as error:
            raise DataError(
                f"{path} is a MATLAB 7.3 file; the official one is version 5.",
                "Save it again with save('-v7', …), or take the official file.\n" + _ADVICE,
            ) from error
        except Exception as error:
            raise DataError(f"{path} can't be read as a MATLAB file: {error}", _ADVICE) from error
    if VARIABLE not in content:
        raise DataError(f"{path} holds no variable '{VARIABLE}'.", _ADVICE)
    cameras = content[VARIABLE]
    if cameras.dtype != object or cameras.size == 0:
        raise DataError(f"'{VARIABLE}' in {path} is no cell array with one cell a camera.", _ADVICE)
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
    """The cell as integers, each row a permutation of 1..n."""
    where = f"cell {{{camid}}}{{{pid}}} of {path}"
    if cell.ndim != 2 or len(cell) != TRIALS or cell.dtype.kind not in "uif":
        raise DataError(f"{where} has shape {cell.shape}, expected numbers of shape ({TRIALS}, n).", _ADVICE)
    try:
        order = np.array(ids_of_array(cell), dtype=np.int64).reshape(cell.shape)
    except ValueError as error:
        raise DataError(f"{where}: {error}.", _ADVICE) from error
    if not np.array_equal(np.sort(order, axis=1), np.tile(np.arange(1, cell.shape[1] + 1), (TRIALS, 1))):
        raise DataError(f"{where}: a row is no permutation of 1..{cell.shape[1]}.", _ADVICE)
    return order


def official_orders(folders: Folders, permutation: Permutation) -> Folders:
    """Look up the official order (10, n) of every folder.

    Raises:
        DataError: A folder's number of files is not the permutation's.
    """
    orders = {}
    for (pid, camid), files in folders.items():
        order = permutation.orders.get((camid, pid))
        found = 0 if order is None else order.shape[1]
        if order is None or found != len(files):
            raise DataError(
                f"camera {camid}, id {pid}: the record table has {len(files)} images, "
                f"{permutation.source or 'the permutation'} counts {found}.",
                "Images are missing or too many, or the permutation belongs to other data; "
                "'vireid prepare sysu --verify' lists the differences.",
            )
        orders[pid, camid] = order
    return orders


def draw_official(folders: Folders, orders: Folders, trial: int, shots: int) -> np.ndarray:
    """Draw one trial, from 0: camera by camera, ids ascending, in the permutation's order.

    Args:
        folders: (pid, camid) → rows, sorted by path.
        orders: (pid, camid) → (10, n), from ``official_orders``.
        trial: Row of the orders.
        shots: Images of each folder; all of a folder that has fewer.
    """
    keys = sorted(folders, key=lambda key: (key[1], key[0]))
    return np.concatenate([folders[key][orders[key][trial, :shots] - 1] for key in keys])
