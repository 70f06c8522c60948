"""Constant matrices, made once for each size, device and type; constants of a compiled graph too."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Make = Callable[..., np.ndarray]

NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}

_kept: dict[tuple[Any, ...], Tensor] = {}


def constant(make: Make, arguments: tuple[int, ...], like: Tensor) -> Tensor:
    """``make(*arguments)`` on the device and in the type of ``like``, from the cache where it is there.

    Args:
        make: A pure function of integers that returns a float64 array.
        arguments: Its arguments.
        like: Whose device and floating type the result has.
    """
    if torch.compiler.is_dynamo_compiling():
        # An operator that the compiler doesn't look into: it takes no second constant from one function.
        name = f"{make.__module__}:{make.__name__}"
        matrix: Tensor = _compiled_constant(name, list(arguments), like.device, like.dtype)
        return matrix
    return _constant(make, arguments, like.device, like.dtype)


@torch.library.custom_op("vireid::constant", mutates_args=())
def _compiled_constant(name: str, arguments: list[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    return _constant(_named(name), tuple(arguments), device, dtype).clone()


@_compiled_constant.register_fake
def _(name: str, arguments: list[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.empty(_named(name)(*arguments).shape, device=device, dtype=dtype)


def _named(name: str) -> Make:
    module, _, function = name.partition(":")
    make: Make = getattr(importlib.import_module(module), function)
    return make


def _constant(make: Make, arguments: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    key = (make, arguments, device, dtype)
    found = _kept.get(key)
    if found is None:
        # Made in inference mode, it could not be used in a training step later.
        with torch.inference_mode(False):
            found = torch.from_numpy(np.ascontiguousarray(make(*arguments), NUMPY_TYPES[dtype])).to(device)
        # During an export this is the trace's own symbol, which must not outlive it. (is_exporting() would
        # be true under torch.compile, too, up to PyTorch 2.11.)
        exporting = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
        if type(found) is Tensor and not exporting:
            _kept[key] = found
    return found


# The compiler takes the result as it is, instead of tracing how it is made. torch.compiler's
# ``assume_constant_result`` sets just this, and loads the compiler for it: a second of every command.
_constant._dynamo_marked_constant = True  # type: ignore[attr-defined]
