"""Reading of the ``.npz`` files of a run folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from vireid_cli.array_files import load_arrays
from vireid_cli.errors import DataError, UsageError
from vireid_cli.results import schema

Arrays = dict[str, np.ndarray]
"""Arrays by name."""


def read_arrays(
    path: Path, names: Mapping[str, str], next_command: str, optional: tuple[str, ...] = ()
) -> Arrays:
    """Read arrays of an ``.npz`` file in a run folder.

    Args:
        path: Path of the file.
        names: Required arrays with their forms; see ``schema``.
        next_command: Command that writes the file, for errors.
        optional: Names of further arrays; they may be missing.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is damaged or lacks an array, or an array has another form.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist.", f"Create it: {next_command}")
    hint = f"Create it again: {next_command}"
    arrays, _ = load_arrays(path, (*names, *optional), hint=hint)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}.", hint)
    refuse_misfits(arrays, names, path, hint)
    return arrays


_NUMBER_KINDS = {"int": "iu", "uint": "iu", "float": "f", "unicode": "U"}


def refuse_misfits(arrays: Arrays, forms: Mapping[str, str], path: Path, hint: str) -> None:
    """Refuse arrays with another type or shape than in ``schema``.

    Args:
        arrays: Arrays by name.
        forms: Forms by name, such as ``(Q, 10) int64: …``. A letter is the same length in all arrays.
        path: Path of the file, for errors.
        hint: Advice for errors.

    Raises:
        DataError: An array has another type, or its shape does not fit its form or the other arrays.
    """
    lengths: dict[str, int] = {}
    for name, form in forms.items():
        if not form:
            continue
        array = arrays[name]
        parsed = re.match(r"\((.*?)\) ([a-z]+)", form)
        assert parsed is not None, form
        sides = [side.strip() for side in parsed[1].split(",") if side.strip()]
        fits = array.ndim == len(sides) and array.dtype.kind in _NUMBER_KINDS[parsed[2]]
        if not fits or any(
            length != (int(side) if side.isdigit() else lengths.setdefault(side, length))
            for side, length in zip(sides, array.shape, strict=True)
        ):
            known = ", ".join(f"{side} = {length}" for side, length in lengths.items())
            raise DataError(
                f"{path}: array '{name}' is {array.dtype} of shape {array.shape}; "
                f"expected {form.partition(':')[0].rstrip()}{f' with {known}' if known else ''}.",
                hint,
            )
    _refuse_rows(arrays, forms, path, hint)


def _refuse_rows(arrays: Arrays, forms: Collection[str], path: Path, hint: str) -> None:
    """Refuse row numbers out of range, and offsets that do not divide their array into trials."""
    for name, (low, limit) in schema.ROWS.items():
        if name in forms and (values := arrays[name]).size:
            count = len(arrays[limit]) if limit in arrays else None
            if values.min() < low or (count is not None and values.max() >= count):
                raise DataError(f"{path}: array '{name}' has row numbers outside of '{limit}'.", hint)
    for name, rows in schema.OFFSETS.items():
        if name in forms:
            offsets = arrays[name]
            last = len(arrays[rows]) if rows in arrays else offsets[-1:].sum()
            if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != last or (np.diff(offsets) < 0).any():
                raise DataError(f"{path}: array '{name}' does not divide '{rows}' into trials.", hint)
