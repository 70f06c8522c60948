"""The losses of a network under ``torch.compile`` (the recipe's ``train.compile``)."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from vireid_cli.errors import UsageError, VireidError
from vireid_cli.methods import Method
from vireid_cli.types import Batch

Losses = Callable[[Batch], dict[str, Tensor]]

WITHOUT = "Train without it: --set train.compile=false"
COMPILERS = ("c++", "g++", "clang++")


def losses_of(network: nn.Module, compiled: bool, device: torch.device) -> Losses:
    """The method's ``losses``, as it is or compiled for batches of one shape.

    Compilation happens at the first call and takes from half a minute to several.

    Args:
        network: A method's.
        compiled: Whether to compile.
        device: Where the network is.

    Raises:
        UsageError: What compiles is not there: a C++ compiler, on a GPU also Triton.
    """
    losses = cast(Method, network).losses
    if not compiled:
        return losses
    refuse_without_tools(device)
    made = torch.compile(losses, dynamic=False)

    def call(batch: Batch) -> dict[str, Tensor]:
        try:
            found: dict[str, Tensor] = made(batch)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            reason = str(error).strip().splitlines()[0]
            raise VireidError(
                f"train.compile: PyTorch can't compile this network: {reason}", WITHOUT
            ) from error
        return found

    return call


def refuse_without_tools(device: torch.device) -> None:
    """Raise ``UsageError`` where what compiles for a device is not there."""
    wanted = os.environ.get("CXX", "").split()[:1] or list(COMPILERS)
    if not any(shutil.which(name) for name in wanted):
        raise UsageError(
            f"train.compile needs a C++ compiler, and there is no {' or '.join(wanted)}.",
            f"Install one (Debian, Ubuntu: apt-get install g++). {WITHOUT}",
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UsageError("train.compile needs Triton on a GPU, and it is not installed.", WITHOUT)
