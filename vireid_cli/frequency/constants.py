"""Cache of constant matrices per size, device and type, also for compiled graphs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Make = Callable[..., np.ndarray]

NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}

CACHE: dict[tuple[Any, ...], Tensor] = {}


def constant(make: Make, arguments: tuple[int, ...], like: Tensor) -> Tensor:
    """Return ``make(*arguments)`` on the device and in the type of ``like``; results are cached.

    Args:
        make: A pure function of integers that returns a float64 array.
        arguments: Its arguments.
        like: Tensor with the device and the floating type of the result.
    """
    if torch.compiler.is_dynamo_compiling():
        # A custom operator, because the compiler takes only one constant from a function.
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
    matrix = CACHE.get(key)
    if matrix is None:
        # A tensor created in inference mode could not be used in a training step.
        with torch.inference_mode(False):
            matrix = torch.from_numpy(np.ascontiguousarray(make(*arguments), NUMPY_TYPES[dtype])).to(device)
        # During an export this is a symbol of the trace, which must not outlive it. (is_exporting() would
        # be true under torch.compile, too, up to PyTorch 2.11.)
        exporting = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
        if type(matrix) is Tensor and not exporting:
            CACHE[key] = matrix
    return matrix


# The compiler uses the result as a constant instead of tracing this function. torch.compiler's
# ``assume_constant_result`` sets the same attribute, but importing it costs a second in every command.
_constant._dynamo_marked_constant = True  # type: ignore[attr-defined]
