"""LAM, I-MFPE and DEEN's blocks against plain loops in float64."""

from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tensors import normal
from vireid_cli.frequency.dct import dct, inverse_dct, part_descriptors
from vireid_cli.frequency.lam import DescriptorAttention, SpectrumMask, lam
from vireid_cli.frequency.lam import Kind as LamKind
from vireid_cli.layers.imfpe import Align, CrossScale, Guide, gate_kernel, reduced_channels
from vireid_cli.layers.mfa import ChannelFusion, Diversify, Fusion, PositionFusion

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("height", "parts"), [(12, 4), (11, 3)])
def test_descriptor_attention_part_by_part(residual: bool, height: int, parts: int) -> None:
    torch.manual_seed(0)
    layer = DescriptorAttention(32, parts, "top16", True, residual).double()
    features = normal(2, 32, height, 6)
    described = part_descriptors(features, parts, "top16")
    expected = []
    for p in range(parts):
        rows = features[:, :, p * height // parts : (p + 1) * height // parts]
        hidden = (described[:, :, p] @ layer.squeeze.weight.T).relu()
        attention = torch.sigmoid(hidden @ layer.excite.weight.T)[:, :, None, None]
        expected.append(rows * attention + (rows if residual else 0))
    torch.testing.assert_close(layer(features), torch.cat(expected, dim=2))


def test_reduction_is_16_and_never_below_4_units() -> None:
    assert [lam(c).squeeze.out_features for c in (512, 256, 64, 16)] == [32, 16, 4, 4]


@pytest.mark.parametrize("residual", [False, True])
def test_spectrum_mask_by_loops(residual: bool) -> None:
    layer = SpectrumMask(8, 2, residual).double()
    with torch.no_grad():
        layer.logits.copy_(normal(8, 7, 7, seed=3))
    features = normal(2, 8, 9, 7)  # parts of 4 and 5 rows; 7 columns meet the mask's cells exactly
    expected = torch.zeros_like(features)
    for first, end in ((0, 4), (4, 9)):
        part = dct(features[:, :, first:end])
        stretched = F.interpolate(
            layer.logits.detach()[None], size=(end - first, 7), mode="bilinear", align_corners=True
        )
        expected[:, :, first:end] = inverse_dct(part * stretched.sigmoid())
    torch.testing.assert_close(layer(features), expected + (features if residual else 0))


def test_spectrum_mask_starts_at_a_half_and_open_is_the_identity() -> None:
    layer, features = SpectrumMask(16, 3, False).double(), normal(1, 16, 8, 5)
    torch.testing.assert_close(layer(features), 0.5 * features)
    with torch.no_grad():
        layer.logits.fill_(50.0)
    torch.testing.assert_close(layer(features), features)


@pytest.mark.parametrize("kind", ["descriptor", "idct"])
def test_lam_gradients(kind: LamKind) -> None:
    torch.manual_seed(1)
    layer, features = lam(4, 2, kind=kind).double(), normal(1, 4, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(layer, (features,))


def test_gate_kernels() -> None:
    assert [gate_kernel(c) for c in (64, 256, 512, 1024, 2048)] == [3, 5, 5, 5, 7]
    assert all(gate_kernel(c) % 2 for c in (8, 16, 24, 48, 96, 128))


def test_reduced_channels_are_the_papers_for_resnet50_and_shrink_with_the_backbone() -> None:
    assert reduced_channels(2048) == (64, 256)
    assert reduced_channels(512) == (16, 64)
    assert reduced_channels(64) == (8, 8)
    assert reduced_channels(8192) == (64, 256)


@pytest.mark.parametrize("align", ["up", "pool"])
def test_cross_scale_by_hand(align: Align) -> None:
    torch.manual_seed(2)
    layer = CrossScale(6, 10, (4, 5), align).double().eval()
    low, high = normal(2, 6, 7, 6), normal(2, 10, 4, 3, seed=1)
    shallow, deep = layer.reduce_low(low), layer.reduce_high(high)
    if align == "up":
        deep = F.interpolate(deep, size=(7, 6), mode="bilinear", align_corners=False)
    else:
        padded = F.pad(shallow, (0, 0, 0, 1), value=-torch.inf)  # 7 rows in pairs
        shallow = padded.unflatten(2, (4, 2)).unflatten(4, (3, 2)).amax(dim=(3, 5))
    joined = layer.join[1](layer.join[0](torch.cat([shallow, deep], 1)))
    expected = torch.sigmoid(layer.out(joined))
    actual = layer(low, high)
    assert actual.shape == ((2, 1, 7, 6) if align == "up" else (2, 1, 4, 3))
    torch.testing.assert_close(actual, expected)


def test_guide_by_loops() -> None:
    torch.manual_seed(3)
    features, attention = normal(2, 16, 4, 3).abs(), normal(2, 1, 8, 6, seed=1).sigmoid()
    layer = Guide(16, residual=False).double().eval()
    halved = attention.unflatten(2, (4, 2)).unflatten(4, (3, 2)).mean(dim=(3, 5))
    refined = layer.refine(features * halved + features)
    means, kernel = refined.mean(dim=(2, 3)), layer.gate.weight[0, 0]
    reach = len(kernel) // 2
    expected = torch.zeros_like(refined)
    for c in range(16):
        total = sum(
            kernel[k] * means[:, c + k - reach] for k in range(len(kernel)) if 0 <= c + k - reach < 16
        )
        expected[:, c] = refined[:, c] * torch.sigmoid(total)[:, None, None]
    torch.testing.assert_close(layer(features, attention), expected)


def test_residual_guide_is_the_identity_at_first_and_learns() -> None:
    torch.manual_seed(4)
    layer, features = Guide(8).double(), normal(2, 8, 4, 3).abs()
    attention = torch.full((2, 1, 4, 3), 0.5, dtype=torch.float64)
    out = layer(features, attention)
    torch.testing.assert_close(out, features)
    (out * normal(2, 8, 4, 3, seed=9)).sum().backward()
    # A zero-initialised batch norm before the ReLU would get no gradient, ever.
    assert layer.gamma.grad.abs().max() > 0
    with torch.no_grad():
        layer.gamma.fill_(0.5)
    layer.zero_grad()
    (layer(features, attention) * normal(2, 8, 4, 3, seed=9)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


def opened(block: ModuleT) -> ModuleT:
    """Its batch norm as after some training: not 0."""
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return block.double().eval()


@pytest.mark.parametrize("size", [(4, 3), (8, 6), (7, 5)])
def test_channel_fusion_as_released(size: tuple[int, int]) -> None:
    torch.manual_seed(5)
    block = opened(ChannelFusion(6, 4))
    high, low = normal(2, 6, 4, 3), normal(2, 4, *size, seed=1)
    stride = 1 if size == (4, 3) else 2
    theta, g = block.theta(high).flatten(2), block.g(low).flatten(2)
    phi = F.conv2d(low, block.phi.weight, block.phi.bias, stride=stride).flatten(2)
    attended = torch.zeros_like(g)
    for i in range(4):
        for j in range(4):
            attended[:, i] += (theta[:, i] * phi[:, j]).sum(-1, keepdim=True) / 4 * g[:, j]
    expand, norm = block.out
    attended = F.conv2d(
        attended.unflatten(2, size),
        expand.get_parameter("weight"),
        expand.get_parameter("bias"),
        stride=stride,
    )
    torch.testing.assert_close(block(high, low), high + norm(attended))


def test_position_fusion_as_released() -> None:
    torch.manual_seed(6)
    block = opened(PositionFusion(6, 4))
    high, low = normal(2, 6, 4, 3), normal(2, 4, 8, 6, seed=1)
    theta, phi, g = block.theta(high).flatten(2), block.phi(low).flatten(2), block.g(low).flatten(2)
    attention = torch.einsum("bcn,bcm->bnm", theta, phi) / 48
    attended = torch.einsum("bnm,bcm->bcn", attention, g).unflatten(2, (4, 3))
    torch.testing.assert_close(block(high, low), high + block.out(attended))


def test_fusion_is_the_identity_at_first() -> None:
    block, high = Fusion(6, 4).double().train(), normal(2, 6, 4, 3)
    torch.testing.assert_close(block(high, normal(2, 4, 8, 6, seed=1)), high)


def test_expansion_triples_the_batch() -> None:
    torch.manual_seed(7)
    dee, features = Diversify(8, dropout=0.0).double(), normal(2, 8, 5, 4)
    out = dee(features)
    assert out.shape == (6, 8, 5, 4)
    torch.testing.assert_close(out[:2], features)
    for number, branch in enumerate(dee.branches, start=1):
        first, second, third = (
            F.conv2d(features, layer.get_parameter("weight"), padding=d, dilation=d)
            for d, layer in zip((1, 2, 3), branch.get_submodule("dilated").children(), strict=True)
        )
        hidden = torch.relu((first + second + third) / 3)
        expected = F.conv2d(
            hidden, branch.get_parameter("expand.weight"), branch.get_parameter("expand.bias")
        )
        torch.testing.assert_close(out[2 * number : 2 * number + 2], expected)
    assert branch.expand.in_channels == 2
