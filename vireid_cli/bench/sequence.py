"""Speed of the selective scan and of Sinkhorn iterations, compared with common implementations."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.bench.timing import interleaved
from vireid_cli.engine.session import Session
from vireid_cli.frequency.transport import entropy_ratio, relative_cost, sinkhorn
from vireid_cli.layers.recurrence import by_doubling
from vireid_cli.layers.scan import decays_and_drives, selective_scan

Inputs = list[Tensor]


def scan(
    session: Session, *, batch: int, length: int, channels: int, state: int, repeats: int
) -> dict[str, Any]:
    """Measure forward and backward of the selective scan, autograd of a loop, and an associative scan.

    Args:
        session: Session with the device.
        batch, length, channels, state: B, L, D and N of ``layers.scan``.
        repeats: Interleaved repetitions.

    Returns:
        Median seconds of each form, their ratios, and the largest error against float64.
    """
    runtime = session.runtime
    inputs = _scan_inputs((batch, length, channels, state), runtime.device)
    forms = {"ours": selective_scan, "loop": scan_by_loop, "associative": associative_scan}
    outputs = {name: form(*inputs).detach() for name, form in forms.items()}

    def work(form: Callable[..., Tensor]) -> Callable[[], object]:
        """Return a forward and backward pass of one form of the scan."""
        return lambda: torch.autograd.grad(form(*inputs).sum(), inputs)

    seconds = interleaved({name: work(form) for name, form in forms.items()}, repeats, runtime)
    exact = selective_scan(*(t.detach().double() for t in inputs))
    return {
        "shape": f"B={batch} L={length} d={channels} n={state}",
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "loop_over_ours": seconds["loop"] / seconds["ours"],
        "associative_over_ours": seconds["associative"] / seconds["ours"],
        "largest_error": _largest(outputs["ours"], exact),
        "largest_error_of_loop": _largest(outputs["loop"], exact),
    }


def scan_by_loop(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
    """Selective scan in the common form: all decays at once, then a Python loop over steps, with autograd.

    For shapes, see ``selective_scan``.
    """
    decay = torch.exp(torch.einsum("bkld,kdn->bkldn", delta, a))
    drive = torch.einsum("bkld,bkln,bkld->bkldn", delta, b, u)
    state, outputs = torch.zeros_like(drive[:, :, 0]), []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + drive[:, :, t]
        outputs.append(torch.einsum("bkdn,bkn->bkd", state, c[:, :, t]))
    return torch.stack(outputs, dim=2) + u * skip.unsqueeze(1)


def associative_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
    """Selective scan in log₂ L rounds, with autograd. For shapes, see ``selective_scan``."""
    states = by_doubling(*decays_and_drives(u, delta, a, b))
    return torch.einsum("lbknd,bkln->bkld", states, c) + u * skip.unsqueeze(1)


def transport(
    session: Session, *, shape: str, epsilon: float, iterations: int, repeats: int
) -> dict[str, Any]:
    """Measure entropic transport plans of a batch of pairs, and POT's solvers if it is installed.

    Args:
        session: Session with the device.
        shape: ``PAIRSxROWSxCOLUMNS``.
        epsilon: ε relative to the mean cost.
        iterations: Number of Sinkhorn iterations.
        repeats: Interleaved repetitions.

    Returns:
        Median seconds of each solver, their ratios, and the accuracy of the plans.
    """
    runtime = session.runtime
    batch, rows, columns = (int(part) for part in shape.split("x"))
    random = torch.Generator().manual_seed(0)
    source, target = (torch.randn(batch, n, 64, generator=random) for n in (rows, columns))
    cost = relative_cost(source.to(runtime.device), target.to(runtime.device))
    ours = sinkhorn(cost, epsilon, iterations)
    works: dict[str, Callable[[], Any]] = {"ours": lambda: sinkhorn(cost, epsilon, iterations)}
    works |= _pot(cost, epsilon, iterations)
    seconds = interleaved(works, repeats, runtime)
    results: dict[str, Any] = {
        "shape": shape,
        "epsilon": epsilon,
        "iterations": iterations,
        "first_updated": "rows",
        **{f"{name}_seconds": value for name, value in seconds.items()},
        **{f"{name}_over_ours": s / seconds["ours"] for name, s in seconds.items() if name != "ours"},
        "marginal_error": float(ours.error.max()),
        "entropy_ratio": float(entropy_ratio(ours.plan).mean()),
        "finite_at_0.01": bool(sinkhorn(cost, 0.01, iterations).plan.isfinite().all()),
    }
    if "pot_batched" in works:
        difference = (ours.plan - works["pot_batched"]()).abs().sum((1, 2))
        results["largest_mass_elsewhere"] = float(difference.max())
    return results


def _pot(cost: Tensor, epsilon: float, iterations: int) -> dict[str, Callable[[], Any]]:
    """Return POT's solvers with the same number of iterations, or none if POT is not installed."""
    try:
        pot, batched = importlib.import_module("ot"), importlib.import_module("ot.batch")
    except ImportError:
        return {}
    rows, columns = (torch.full((n,), 1.0 / n, device=cost.device) for n in cost.shape[1:])
    settings = {"method": "sinkhorn_log", "numItermax": iterations, "stopThr": 0.0, "warn": False}

    def solve_batch() -> Any:
        """Compute all plans in one call."""
        return batched.solve_batch(cost, reg=epsilon, max_iter=iterations, tol=0.0).plan

    def solve_pairs() -> Any:
        """Compute one plan after the other."""
        return [pot.sinkhorn(rows, columns, pair, epsilon, **settings) for pair in cost]

    return {"pot_batched": solve_batch, "pot_per_pair": solve_pairs}


def _scan_inputs(shape: tuple[int, int, int, int], device: torch.device) -> Inputs:
    batch, length, channels, state = shape
    random = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        """Draw standard normal values."""
        return torch.randn(*size, generator=random)

    drawn = (
        normal(batch, 1, length, channels),
        F.softplus(normal(batch, 1, length, channels) - 2.0),
        -normal(1, channels, state).exp(),
        normal(batch, 1, length, state),
        normal(batch, 1, length, state),
        normal(1, channels),
    )
    return [tensor.to(device).requires_grad_() for tensor in drawn]


def _largest(values: Tensor, exact: Tensor) -> float:
    return float((values.double() - exact).abs().max())
