"""Compilation of a network's trunk (``train.compile: trunk``), if its gradients agree with eager mode's.

The losses are not compiled. On a CPU the compilation takes longer than it saves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.engine.session import Session

TOLERANCES = {"fp32": 1e-3, "bf16": 1e-2, "fp16": 1e-2}
"""Largest difference of the gradients, relative to their norm, by precision."""


def compile_trunk(
    network: nn.Module, compute: Callable[[], Any], session: Session, *, backend: Any = None
) -> bool:
    """Compile the stages of a network's trunk; without effect on a CPU or if the gradients differ.

    Args:
        network: The network in training. Its state and gradients are the same afterwards.
        compute: Computes the gradients of a batch, with the same random numbers in each call.
        session: Device and precision; its reporter receives the result.
        backend: Backend of ``torch.compile`` that also runs on a CPU; None: the default one, on GPUs only.

    Returns:
        Whether the trunk is compiled. All ranks agree.
    """
    reporter, runtime = session.reporter, session.runtime
    trunk = getattr(network, "trunk", None)
    if not isinstance(trunk, nn.Module):
        reporter.warn("train.compile: the network has no trunk to compile")
        return False
    if runtime.device.type != "cuda" and backend is None:
        reporter.info("train.compile: the trunk is compiled on GPUs only")
        return False
    stages = list(trunk.children())
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    eager = _gradients(network, compute)
    network.load_state_dict(state)
    problem = ""
    try:
        for stage in stages:
            stage.compile(**({"backend": backend} if backend is not None else {}))
        difference = _difference(_gradients(network, compute), eager)
        if not difference <= TOLERANCES[runtime.precision]:
            problem = f"its gradients differ by {difference:.1e} from those of eager mode"
    except Exception as error:  # the compiler's errors have no common base
        problem = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
    network.load_state_dict(state)
    network.zero_grad(set_to_none=True)
    if runtime.world.any(bool(problem)):
        for stage in stages:
            stage._compiled_call_impl = None  # nn.Module.compile has no inverse
        reporter.warn(f"train.compile: the trunk is not compiled: {problem or 'it failed on another rank'}")
        return False
    reporter.info(f"train.compile: the trunk is compiled; its gradients differ by {difference:.1e}")
    return True


def _gradients(network: nn.Module, compute: Callable[[], Any]) -> list[Tensor]:
    """Gradients of all weights that have one."""
    network.zero_grad(set_to_none=True)
    compute()
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


def _difference(gradients: list[Tensor], expected: list[Tensor]) -> float:
    """Norm of the difference over the norm of the expected gradients; infinite if some are missing."""
    if len(gradients) != len(expected):
        return float("inf")
    pairs = zip(gradients, expected, strict=True)
    error = torch.stack([(one.double() - other.double()).square().sum() for one, other in pairs]).sum()
    size = torch.stack([other.double().square().sum() for other in expected]).sum()
    return float((error / size).sqrt())
