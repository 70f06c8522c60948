"""Arrays of the ``.npz`` files of a run folder."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vireid_cli.errors import DataError, UsageError

Arrays = dict[str, np.ndarray]
"""Arrays by their names in the file."""


def read_arrays(
    path: Path, names: Mapping[str, str], next_command: str, optional: tuple[str, ...] = ()
) -> Arrays:
    """Arrays of an ``.npz`` of the run folder.

    Args:
        path: The file.
        names: The arrays that must be there (``schema``).
        next_command: The command that makes the file, for the error.
        optional: Arrays that are read if they are there.

    Raises:
        UsageError: The file is not there yet.
        DataError: It is damaged or lacks an array.
    """
    if not path.is_file():
        raise UsageError(f"{path} is not there yet.", f"Make it: {next_command}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*names, *optional) if name in file}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} can't be read: {error}", f"Make it again: {next_command}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}.", f"Make it again: {next_command}")
    return arrays
