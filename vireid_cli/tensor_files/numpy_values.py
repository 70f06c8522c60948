"""NumPy's numbers and arrays in files of ``torch.save``, rebuilt from their bytes.

Published checkpoints contain accuracies as NumPy values beside their weights. NumPy's unpickling is not
safe for untrusted files. While such a file is read, the classes below replace NumPy's builders.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np


class _DType:
    """Number type of NumPy in a pickle; replaces ``numpy.dtype`` while a file is read."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[fiub][1248]", code):
            raise pickle.UnpicklingError("only NumPy's real numbers are read")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class _Array(np.ndarray):
    """Array of NumPy in a pickle; replaces ``numpy.ndarray`` while a file is read."""

    def __new__(cls, *_: object) -> _Array:
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, data = state
        whole = isinstance(dtype, _DType) and isinstance(data, bytes) and all(n >= 0 for n in shape)
        if not whole or math.prod(shape) * dtype.value.itemsize != len(data):
            raise pickle.UnpicklingError("a NumPy array's bytes do not fit its shape")
        state = (1, shape, dtype.value, bool(by_columns), data)
        super().__setstate__(state)  # type: ignore[arg-type]


def _scalar(dtype: _DType, data: bytes) -> Any:
    """Build a NumPy number from its bytes."""
    return np.frombuffer(data, dtype.value, count=1)[0]


def _array(*_: object) -> _Array:
    """Build an empty array; ``__setstate__`` fills it."""
    return _Array()


def _no_bytes(*_: object) -> bytes:
    """Return empty bytes; pickles of protocol 2 write those of an empty array as a call without arguments."""
    return b""


def numpy_names() -> list[tuple[Callable[..., Any], str]]:
    """Replacements of NumPy's builders with their names in pickles, before and since NumPy 2."""
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    builders = (("scalar", _scalar), ("_reconstruct", _array))
    names: list[tuple[Callable[..., Any], str]] = [
        (builder, f"{module}.{name}") for module in modules for name, builder in builders
    ]
    return [*names, (_DType, "numpy.dtype"), (_Array, "numpy.ndarray"), (_no_bytes, "builtins.bytes")]
