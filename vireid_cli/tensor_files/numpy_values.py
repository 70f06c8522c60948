"""NumPy's numbers and arrays in files of ``torch.save``, rebuilt from their bytes.

Published checkpoints hold accuracies as NumPy values beside their weights. NumPy's own unpickling was not
written for foreign files; while one is read, the names of its builders stand for the classes below.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np


class _DType:
    """NumPy's number type as a pickle names it; replaces ``numpy.dtype`` while a file is read."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[fiub][1248]", code):
            raise pickle.UnpicklingError("only NumPy's real numbers are read")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class _Array(np.ndarray):
    """NumPy's array as a pickle names it; replaces ``numpy.ndarray`` while a file is read."""

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
    """A NumPy number from its bytes."""
    return np.frombuffer(data, dtype.value, count=1)[0]


def _array(*_: object) -> _Array:
    """An empty array, which its state then fills."""
    return _Array()


def _no_bytes(*_: object) -> bytes:
    """The bytes of an empty array, which pickles of protocol 2 write as a call without arguments."""
    return b""


def numpy_names() -> list[tuple[Callable[..., Any], str]]:
    """Our own builders under the names that NumPy's pickles use, before and since NumPy 2."""
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    builders = (("scalar", _scalar), ("_reconstruct", _array))
    names: list[tuple[Callable[..., Any], str]] = [
        (builder, f"{module}.{name}") for module in modules for name, builder in builders
    ]
    return [*names, (_DType, "numpy.dtype"), (_Array, "numpy.ndarray"), (_no_bytes, "builtins.bytes")]
