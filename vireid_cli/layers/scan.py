"""The selective scan of a state-space model, exact, in plain PyTorch (docs/methods.md#cfam).

For each direction k and channel d, a state of n numbers runs along the sequence:

    h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t u_t,    y_t = C_t · h_t + D u_t,    h_{−1} = 0.

One autograd function processes all directions, channels and images at once, with one fused operation per
step and all other operations per segment of steps. It stores no graph of its steps. The forward pass saves
the state at the start of each segment, and the backward pass recomputes the states of one segment after
another. Both need the memory of a few segments for any length. Sums do not use logarithms, which large
steps Δ would turn into NaN.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vireid_cli.layers.recurrence import linear_recurrence

SEGMENT_BYTES = 2**21
"""Approximate size in bytes of the states of one segment, which fits the processor's cache."""

LEAST_SEGMENT = 8
"""Smallest number of steps per segment; it limits the memory of the starting states."""

KERNEL = "mamba_ssm.ops.selective_scan_interface"
"""Optional package with a CUDA kernel, used on a GPU if it is installed."""


def selective_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
    """Run the recurrence over all images, directions and channels.

    The computation runs in float32 (float64 stays), also under autocast. On a CPU and, without the optional
    kernel, on a GPU it is one autograd function; an export uses ``recurrence.linear_recurrence``.

    Args:
        u: Inputs, (B, K, L, D): images, directions, steps, channels.
        delta: Step sizes Δ > 0, (B, K, L, D).
        a: Decay rates A < 0, (K, D, N).
        b: Input weights, (B, K, L, N).
        c: Output weights, (B, K, L, N).
        skip: D, weight of the input, (K, D).

    Returns:
        y, (B, K, L, D).
    """
    device = u.device.type
    if torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return selective_scan(u, delta, a, b, c, skip)
    u, delta, a, b, c, skip = (
        t if t.dtype == torch.float64 else t.float() for t in (u, delta, a, b, c, skip)
    )
    # Not torch.compiler.is_exporting(): up to PyTorch 2.11 it is true under torch.compile, too.
    exporting = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    if exporting or torch.jit.is_tracing():
        return scan_by_recurrence(u, delta, a, b, c, skip)
    if u.is_cuda and u.dtype == torch.float32 and (kernel := cuda_kernel()) is not None:
        return scan_by_kernel(kernel, u, delta, a, b, c, skip)
    return _eager(u, delta, a, b, c) + u * skip.unsqueeze(1)


def scan_by_recurrence(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
    """Compute ``selective_scan`` with ``recurrence.linear_recurrence``, which can be exported."""
    decay, drive = decays_and_drives(u, delta, a, b)
    states = linear_recurrence(decay, drive)  # (L, B, K, N, D)
    outputs = torch.einsum("lbknd,bkln->bkld", states, c)
    return outputs + u * skip.unsqueeze(1)


def decays_and_drives(u: Tensor, delta: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """exp(Δ_t A) and Δ_t B_t u_t of every step, steps first: (L, B, K, N, D) each."""
    steps = delta.movedim(2, 0)  # (L, B, K, D)
    decay = (steps.unsqueeze(-2) * a.mT).exp()
    drive = (steps * u.movedim(2, 0)).unsqueeze(-2) * b.movedim(2, 0).unsqueeze(-1)
    return decay, drive


@cache
def cuda_kernel() -> ModuleType | None:
    """Module of the optional package, or None if it is not installed."""
    try:
        return importlib.import_module(KERNEL)
    except ImportError:
        return None


def scan_by_kernel(
    kernel: Any, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor
) -> Tensor:
    """Compute ``selective_scan`` with the CUDA kernel: channels before steps, directions as groups."""
    inputs, steps = (t.mT.flatten(1, 2).contiguous() for t in (u, delta))  # (B, K·D, L)
    groups = (t.mT.contiguous() for t in (b, c))  # (B, K, N, L)
    outputs: Tensor = kernel.selective_scan_fn(inputs, steps, a.flatten(0, 1), *groups, skip.flatten())
    return outputs.unflatten(1, skip.shape).mT  # (B, K, L, D)


# Not compiled, because the compiler would unroll hundreds of steps.
@torch.compiler.disable
def _eager(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    outputs: Tensor = _SelectiveScan.apply(u, delta, a, b, c)
    return outputs


class _SelectiveScan(torch.autograd.Function):
    """y_t = C_t · h_t. States are (B, K, N, D) with channels last, so that inner loops are long."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute outputs (B, K, L, D); save the arguments and one state per segment."""
        u_, delta_, b_, c_ = (t.movedim(2, 0).contiguous() for t in (u, delta, b, c))  # steps first
        a_ = a.mT.contiguous()  # (K, N, D)
        length, batch, directions, channels = u_.shape
        state = u_.new_zeros(batch, directions, a_.shape[1], channels)
        segments = _segments(length, state)
        y = torch.empty_like(u_)
        starts = []
        for part in segments:
            starts.append(state)
            _, states = _states(u_[part], delta_[part], a_, b_[part], state)
            y[part] = _contract(c_[part].unsqueeze(-2), states).squeeze(-2)
            state = states[-1].clone()
        ctx.save_for_backward(u_, delta_, a_, b_, c_, *starts)
        return y.movedim(0, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradients of u, Δ, A, B and C, from the last segment to the first."""
        u, delta, a, b, c, *starts = ctx.saved_tensors
        device = u.device.type
        with torch.autocast(device, enabled=False):
            dy = gradient.to(u.dtype).movedim(2, 0).contiguous()  # (L, B, K, D)
            grads = [torch.empty_like(t) for t in (u, delta, b, c)]
            da, carry = torch.zeros_like(a), torch.zeros_like(starts[0])
            for part, start in reversed(list(zip(_segments(len(u), starts[0]), starts, strict=True))):
                arguments = (u[part], delta[part], a, b[part], c[part], start, dy[part])
                *pieces, da_part, carry = _segment_backward(*arguments, carry)
                da += da_part
                for whole, piece in zip(grads, pieces, strict=True):
                    whole[part] = piece
        du, ddelta, db, dc = (t.movedim(0, 2) for t in grads)
        return du, ddelta, da.mT, db, dc


def _segments(length: int, state: Tensor) -> list[slice]:
    """Consecutive segments of the sequence; the states of one take about ``SEGMENT_BYTES``."""
    steps = max(LEAST_SEGMENT, SEGMENT_BYTES // max(1, state.numel() * state.element_size()))
    return [slice(i, min(i + steps, length)) for i in range(0, length, steps)]


def _states(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """exp(Δ_t A) and h_t of one segment's S steps from the state before it: (S, B, K, N, D) each."""
    decay = (delta.unsqueeze(-2) * a).exp_()
    states = _contract(b.unsqueeze(-1), (delta * u).unsqueeze(-2))  # Δ_t B_t u_t, then states in place
    for drive, factor in zip(states.unbind(), decay.unbind(), strict=True):
        state = drive.addcmul_(factor, state)
    return decay, states


def _segment_backward(
    u: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    start: Tensor,
    dy: Tensor,
    carry: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of one segment.

    Args:
        u, delta, a, b, c: Arguments of the segment, steps first.
        start: State before the first step of the segment.
        dy: Gradient of the outputs, (S, B, K, D).
        carry: Gradient of the last state from the steps after the segment.

    Returns:
        Gradients of u, Δ, B, C and A, and of the state before the segment.
    """
    decay, states = _states(u, delta, a, b, start)
    dc = _contract(states, dy.unsqueeze(-1)).squeeze(-1)  # (S, B, K, N)
    dstates = _contract(c.unsqueeze(-1), dy.unsqueeze(-2))  # (S, B, K, N, D)
    dstates[-1] += carry
    steps, factors = dstates.unbind(), decay.unbind()
    for t in range(len(steps) - 2, -1, -1):
        steps[t].addcmul_(factors[t + 1], steps[t + 1])
    db = _contract(dstates, (delta * u).unsqueeze(-1)).squeeze(-1)  # (S, B, K, N)
    ddrive = _contract(b.unsqueeze(-2), dstates).squeeze(-2)  # of Δ_t u_t, (S, B, K, D)
    dexponent = dstates.mul_(decay)  # of Δ_t A, after multiplication by the previous state
    before = dexponent[0].clone()
    dexponent[1:].mul_(states[:-1])
    dexponent[0].mul_(start)
    da = torch.mul(dexponent, delta.unsqueeze(-2), out=states).sum(dim=(0, 1))  # (K, N, D)
    ddelta = torch.mul(dexponent, a, out=states).sum(-2).addcmul_(ddrive, u)
    return ddrive * delta, ddelta, db, dc, da, before


def _contract(left: Tensor, right: Tensor) -> Tensor:
    """Matrix products over equal leading axes, without broadcasting: one batched product."""
    lead = right.shape[:3]
    return torch.bmm(left.flatten(0, 2), right.flatten(0, 2)).unflatten(0, lead)
