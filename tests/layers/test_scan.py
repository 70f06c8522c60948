"""The selective scan against the recurrence written out, step by step, in float64."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from vireid_cli.layers import recurrence, scan
from vireid_cli.layers.scan import scan_by_recurrence, selective_scan
from vireid_cli.layers.ss2d import SelectiveScan2d, four_ways, joined_ways


def arguments(
    batch: int = 2,
    ways: int = 3,
    length: int = 19,
    channels: int = 4,
    state: int = 3,
    *,
    dtype: torch.dtype = torch.float64,
    step: float = 0.1,
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    tensors = (
        normal(batch, ways, length, channels),
        step * normal(batch, ways, length, channels).exp(),
        -normal(ways, channels, state).exp(),
        normal(batch, ways, length, state),
        normal(batch, ways, length, state),
        normal(ways, channels),
    )
    return [tensor.requires_grad_() for tensor in tensors]


def one_by_one(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
    """h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t u_t, y_t = C_t · h_t + D u_t for every image, way and channel."""
    rows = []
    for i in range(u.shape[0]):
        for k in range(u.shape[1]):
            for d in range(u.shape[3]):
                state = torch.zeros_like(a[k, d])
                for t in range(u.shape[2]):
                    step = delta[i, k, t, d]
                    state = torch.exp(step * a[k, d]) * state + step * b[i, k, t] * u[i, k, t, d]
                    rows.append(c[i, k, t] @ state + skip[k, d] * u[i, k, t, d])
    return torch.stack(rows).view(u.shape[0], u.shape[1], u.shape[3], u.shape[2]).mT


@pytest.mark.parametrize("step", [1e-3, 0.1, 20.0])
@pytest.mark.parametrize("form", [selective_scan, scan_by_recurrence])
def test_values_and_gradients(form: Callable[..., Tensor], step: float) -> None:
    tensors = arguments(step=step)
    expected, actual = one_by_one(*tensors), form(*tensors)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    for name, right, left in zip(
        ["u", "delta", "a", "b", "c", "skip"],
        torch.autograd.grad((expected * weights).sum(), tensors),
        torch.autograd.grad((actual * weights).sum(), tensors),
        strict=True,
    ):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10, msg=name)


def test_gradcheck() -> None:
    assert gradcheck(selective_scan, arguments(1, 2, 9, 2, 2))


@pytest.mark.parametrize("length", [1, 7, 8, 9, 33])
def test_segments_change_nothing(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = arguments(length=length)
    actual = {}
    for size in (1, 2**21):  # segments of 8 steps, and one of all
        monkeypatch.setattr(scan, "SEGMENT_BYTES", size)
        value = selective_scan(*tensors)
        actual[size] = [value, *torch.autograd.grad(value.square().sum(), tensors)]
    for short, whole in zip(*actual.values(), strict=True):
        torch.testing.assert_close(short, whole, rtol=1e-12, atol=1e-12)


def test_float32_with_steps_at_which_sums_of_logarithms_are_nan() -> None:
    tensors = [tensor.detach().float().requires_grad_() for tensor in arguments(length=160, step=2.0)]
    actual = selective_scan(*tensors)
    exact = scan_by_recurrence(*(tensor.detach().double() for tensor in tensors))
    torch.testing.assert_close(actual.double(), exact, rtol=1e-4, atol=1e-4)
    assert all(g.isfinite().all() for g in torch.autograd.grad(actual.sum(), tensors))


def test_memory_is_bounded_by_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forward pass keeps one state in eight steps, not one per step."""
    monkeypatch.setattr(scan, "SEGMENT_BYTES", 1)
    saved = []
    tensors = arguments(1, 1, 128, 8, 16)

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        selective_scan(*tensors)
    states = sum(count for count in saved if count == 8 * 16) / (8 * 16)
    assert states <= 128 / 8 + 1  # A has the size of a state, too


def test_autocast_does_not_round() -> None:
    tensors = [tensor.detach().float() for tensor in arguments()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = selective_scan(*tensors)
    assert actual.dtype == torch.float32
    assert torch.equal(actual, selective_scan(*tensors))


@pytest.mark.parametrize("length", [1, 2, 5, 16, 21])
def test_both_forms_for_export(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decay, drive = (
        torch.rand(length, 2, 3, dtype=torch.float64),
        torch.randn(length, 2, 3, dtype=torch.float64),
    )
    state, expected = torch.zeros(2, 3, dtype=torch.float64), []
    for t in range(length):
        state = decay[t] * state + drive[t]
        expected.append(state)
    torch.testing.assert_close(recurrence.by_doubling(decay, drive), torch.stack(expected))
    torch.testing.assert_close(recurrence.linear_recurrence(decay, drive), torch.stack(expected))
    monkeypatch.setitem(sys.modules, "torch._higher_order_ops.scan", None)  # as a torch without it
    assert recurrence.scan_operator() is None
    torch.testing.assert_close(recurrence.linear_recurrence(decay, drive), torch.stack(expected))


class Scanning(torch.nn.Module):
    def forward(self, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> Tensor:
        return selective_scan(u, delta, a, b, c, skip)


@pytest.mark.parametrize("operator", [True, False])
def test_in_onnxruntime(operator: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    if not operator:
        monkeypatch.setattr(recurrence, "scan_operator", lambda: None)
    tensors = [tensor.detach().float() for tensor in arguments(length=24)]
    free = {0: torch.export.Dim("batch", min=1)}
    program = torch.onnx.export(
        Scanning().eval(),
        tuple(tensors),
        dynamo=True,
        input_names=list("udabcs"),
        dynamic_shapes=(free, free, None, free, free, None),
        verbose=False,
    )
    kinds = [node.op_type for node in program.model.graph.all_nodes()]
    assert ("Scan" in kinds) is operator
    assert len(kinds) < (40 if operator else 120)
    program.save(tmp_path / "scan.onnx")
    session = runtime.InferenceSession(str(tmp_path / "scan.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        fed = [
            torch.cat([tensor] * 3)[:batch] if i in (0, 1, 3, 4) else tensor
            for i, tensor in enumerate(tensors)
        ]
        feeds = {name: tensor.numpy() for name, tensor in zip("udabcs", fed, strict=True)}
        (actual,) = session.run(None, feeds)
        torch.testing.assert_close(torch.from_numpy(actual), selective_scan(*fed), rtol=1e-4, atol=1e-5)


def kernel_in_its_own_layout(
    u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor
) -> Tensor:
    """The optional package's scan: u, Δ (B, D, L), A (D, N), B, C (B, G, N, L), D (D,)."""
    group = torch.arange(u.shape[1]) // (u.shape[1] // b.shape[1])
    state, outputs = torch.zeros(*u.shape[:2], a.shape[1]), []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * a) * state + step * b[:, group, :, t] * u[:, :, t, None]
        outputs.append((state * c[:, group, :, t]).sum(-1))
    return torch.stack(outputs, -1) + skip[:, None] * u


def test_the_optional_kernel_gets_its_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.SimpleNamespace(selective_scan_fn=kernel_in_its_own_layout)
    tensors = [tensor.detach().float() for tensor in arguments()]
    actual = scan.scan_by_kernel(module, *tensors)
    torch.testing.assert_close(actual, selective_scan(*tensors), rtol=1e-5, atol=1e-6)
    scan.cuda_kernel.cache_clear()
    monkeypatch.setitem(sys.modules, scan.KERNEL, None)
    assert scan.cuda_kernel() is None
    scan.cuda_kernel.cache_clear()


def test_four_ways_of_a_grid() -> None:
    grid = torch.arange(6.0).view(1, 1, 2, 3)
    ways = four_ways(grid)[0, :, :, 0].tolist()
    assert ways == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]
    joined = joined_ways(four_ways(grid), (2, 3))
    torch.testing.assert_close(joined[0, :, 0], 4 * torch.arange(6.0))


def test_ss2d_starts_as_mamba_does_and_mixes_the_whole_grid() -> None:
    torch.manual_seed(0)
    layer = SelectiveScan2d(16, state=4, ratio=2)
    torch.testing.assert_close(layer.decay_log.exp()[2, 5], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    steps = torch.nn.functional.softplus(layer.step_bias)
    assert steps.min() > 0.9e-3
    assert steps.max() < 0.11
    assert layer.rank == 1
    tokens = torch.randn(1, 12, 16, requires_grad=True)
    layer(tokens, (4, 3))[0, 5].sum().backward()
    assert (tokens.grad.abs().sum(-1) > 0).all()  # every position reaches every other one
