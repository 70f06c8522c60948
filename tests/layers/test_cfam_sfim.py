"""CFAM and SFIM: sizes, the identity at the start, and their parts against plain arithmetic."""

import math
from typing import Literal, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import gradcheck

from tests.tensors import parameter_count
from vireid_cli.frequency import fourier
from vireid_cli.frequency.fourier import Spectrum
from vireid_cli.layers.cfam import GRID, Cfam, Spectral, interpolate_positions
from vireid_cli.layers.pairs import partners
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.layers.prototypes import Prototypes
from vireid_cli.layers.sfim import Sfim, cross_covariance, power_normalised, shrunk, softmax_gate
from vireid_cli.layers.trans_mamba import Attention, TransMamba
from vireid_cli.types import Modality, Size

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def no_transport(
    infrared: Spectral, visible: Spectral, source: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    return source, target


@pytest.mark.parametrize(
    ("dim", "state", "ratio", "millions"), [(768, 16, 2, 38.12), (512, 1, 1, 18.0), (256, 1, 1, 6.1)]
)
def test_parameters_of_cfam(dim: int, state: int, ratio: int, millions: float) -> None:
    with torch.device("meta"):
        cfam = Cfam(2048, dim, state=state, ratio=ratio, carry=no_transport)
    # Without the table of positions, which has the size of the paper's images.
    digits = len(str(millions).partition(".")[2])
    assert round((parameter_count(cfam) - cfam.positions.numel()) / 1e6, digits) == millions


def test_parameters_of_sfim() -> None:
    with torch.device("meta"):
        assert round(parameter_count(Sfim(2048)) / 1e6, 2) == 9.71


def spectra(batch: int = 3, channels: int = 6, size: Size = (8, 5), seed: int = 0) -> tuple[Tensor, Spectrum]:
    maps = torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed)).relu()
    return maps, fourier.spectrum(maps)


def rebuilt(spectrum: Spectrum, size: Size = (8, 5)) -> Tensor:
    grid = (size[0], size[1] // 2 + 1)
    return fourier.inverse(tuple(part.unflatten(2, grid) for part in spectrum), size)


def perturbed(module: ModuleT, seed: int = 1) -> ModuleT:
    """Every parameter off its start, the zeros too."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return module


def angle_of(cfam: Cfam, bins: Spectrum) -> Tensor | None:
    return fourier.phase(bins) if cfam.phase_repr == "angle" else None


@pytest.mark.parametrize("phase_repr", ["sincos", "angle"])
@pytest.mark.parametrize(("scale", "most"), [(1.0, 1e-4), (0.01, 0.1)])
def test_cfam_starts_as_the_identity(
    phase_repr: Literal["sincos", "angle"], scale: float, most: float
) -> None:
    """Nearly so for small maps, whose bins the floor of the amplitude raises."""
    torch.manual_seed(0)
    cfam = Cfam(6, 16, state=2, phase_repr=phase_repr, carry=no_transport)
    maps, other = (spectra(seed=seed)[0] * scale for seed in (0, 1))
    bins, other_bins = fourier.spectrum(maps), fourier.spectrum(other)
    sides = [cfam.encode(b, angle_of(cfam, b)) for b in (bins, other_bins)]
    for actual, expected in (
        *zip(cfam.align(*sides), (maps, other), strict=True),
        (cfam.alone(sides[0], Modality.VISIBLE), maps),
        (cfam.facing(sides[1], sides[0], Modality.INFRARED), other),
    ):
        error = (rebuilt(actual) - expected).norm() / expected.norm()
        assert error < most
    perturbed(cfam)
    moved = cfam.align(*[cfam.encode(b, angle_of(cfam, b)) for b in (bins, other_bins)])[0]
    assert (rebuilt(moved) - maps).norm() / maps.norm() > 0.01


def test_empty_and_constant_channels_have_finite_gradients() -> None:
    torch.manual_seed(0)
    cfam = perturbed(Cfam(3, 8, state=2, carry=no_transport))
    maps = torch.zeros(2, 3, 8, 5)
    maps[:, 1] = 1.0
    maps.requires_grad_()
    encoded = cfam.encode(fourier.spectrum(maps))
    first, second = cfam.align(encoded, encoded)
    (rebuilt(first) + rebuilt(second)).square().sum().backward()
    assert maps.grad.isfinite().all()


def test_a_single_map_equals_a_pair_with_itself_except_transport_and_weights() -> None:
    torch.manual_seed(0)
    cfam = perturbed(Cfam(6, 16, state=2, carry=None))
    for kind in ("amplitude_attention", "phase_attention"):
        pair = getattr(cfam, kind)
        pair["infrared"].load_state_dict(pair["visible"].state_dict())
    encoded = cfam.encode(spectra()[1])
    for whole, alone in zip(
        cfam.align(encoded, encoded)[0], cfam.alone(encoded, Modality.VISIBLE), strict=True
    ):
        torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_each_modality_has_its_own_attention() -> None:
    torch.manual_seed(0)
    cfam = perturbed(Cfam(6, 16, state=2))
    encoded = cfam.encode(spectra()[1])
    visible, infrared = (cfam.alone(encoded, modality) for modality in Modality)
    assert (visible[0] - infrared[0]).abs().max() > 1e-4


def test_decoded_amplitude_is_bounded_and_the_fused_phase_less_than_half() -> None:
    torch.manual_seed(0)
    cfam = perturbed(Cfam(6, 16, state=2))
    cfam.amplitude_out.bias.data += 100.0
    own, other = (cfam.encode(spectra(seed=s)[1]) for s in (0, 1))
    re, im = cfam.align(own, other)[0]
    gain = (re * re + im * im).sqrt() / own.amplitude
    assert gain.max() <= math.exp(2.0) * 1.001
    cfam.fusion.data.fill_(100.0)  # w = 0.5, its limit
    fused = torch.complex(*cfam.align(own, other)[0])
    parts = [
        torch.complex(*cfam.phasor(cfam.attend(a, b, m)))
        for a, b, m in ((own, other, Modality.VISIBLE), (other, own, Modality.INFRARED))
    ]
    expected = parts[0] + 0.5 * parts[1]
    torch.testing.assert_close(fused / fused.abs(), expected / expected.abs(), rtol=1e-3, atol=1e-3)


def test_transport_moves_visible_tokens_by_gamma() -> None:
    torch.manual_seed(0)
    moved, back = torch.randn(3, 24, 16), torch.randn(3, 24, 16)
    for answer in ((moved, None), (moved, back)):
        cfam = Cfam(6, 16, state=2, carry=lambda *_, actual=answer: actual)
        cfam.gamma.data.fill_(0.25)
        own, other = (cfam.encode(spectra(seed=s)[1]) for s in (0, 1))
        visible, infrared = cfam.move(own, other)
        torch.testing.assert_close(visible.tokens, 0.75 * own.tokens + 0.25 * moved)
        expected = other.tokens if answer[1] is None else 0.75 * other.tokens + 0.25 * back
        torch.testing.assert_close(infrared.tokens, expected)


def test_positions_of_other_sizes_are_interpolated() -> None:
    table = torch.randn(2, *GRID, 3)
    assert torch.equal(interpolate_positions(table, GRID), table.flatten(1, 2))
    half = interpolate_positions(table, (9, 3)).unflatten(1, (9, 3))
    torch.testing.assert_close(half, table[:, ::2, ::2])
    double = interpolate_positions(table, (36, 9)).unflatten(1, (36, 9))
    torch.testing.assert_close(double[:, ::2, ::2], table)
    torch.testing.assert_close(double[:, 35, 8], (table[:, 17, 4] + table[:, 0, 4]) / 2)  # rows go round
    assert interpolate_positions(table, (4, 1)).shape == (2, 4, 3)


def test_attention_is_multi_head_attention() -> None:
    torch.manual_seed(0)
    model, reference = Attention(16), torch.nn.MultiheadAttention(16, 8, batch_first=True)
    reference.in_proj_weight.data = torch.cat([model.query.weight, model.key_value.weight]).detach()
    reference.in_proj_bias.data = torch.cat([model.query.bias, model.key_value.bias]).detach()
    reference.out_proj.load_state_dict(model.out.state_dict())
    queries, context = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    torch.testing.assert_close(
        model(queries, context), reference(queries, context, context)[0], rtol=1e-4, atol=1e-5
    )


def test_streams_learn_from_each_other_before_the_other_changed() -> None:
    torch.manual_seed(0)
    block = TransMamba(16, 2, 1)
    tokens, phases = torch.randn(2, 24, 16), torch.randn(2, 24, 16)
    actual = block(tokens, phases, (8, 3))
    for silenced in (block.to_amplitude[2], block.to_phase[2]):
        torch.nn.init.zeros_(silenced.get_parameter("weight"))
        torch.nn.init.zeros_(silenced.get_parameter("bias"))
    alone = block(tokens, phases, (8, 3))
    torch.manual_seed(0)
    block = TransMamba(16, 2, 1)
    torch.testing.assert_close(actual[0], alone[0] + block.to_amplitude(alone[1]))
    torch.testing.assert_close(actual[1], alone[1] + block.to_phase(alone[0]))


@pytest.mark.parametrize("residual", [True, False])
def test_sfim_starts_at_the_pooled_map(residual: bool) -> None:
    torch.manual_seed(0)
    sfim = Sfim(6, 4, 8, residual=residual).eval()
    spatial, frequency, modulated = (spectra(seed=s)[0] for s in range(3))
    actual = sfim(spatial, frequency, modulated)
    equal = torch.allclose(actual, generalised_mean(spatial, 3.0), atol=1e-6)
    assert equal is residual


@pytest.mark.parametrize("attn", ["shrink", "softmax_gate"])
def test_sfim_by_loops(attn: Literal["shrink", "softmax_gate"]) -> None:
    torch.manual_seed(0)
    sfim = perturbed(Sfim(5, 3, 8, attn=attn)).eval()
    maps = [spectra(2, 5, (4, 3), seed=s)[0] for s in range(3)]
    actual = sfim(*maps)
    tau, beta = sfim.threshold.sigmoid().item(), sfim.beta.item()
    for b in range(2):
        x, o, g = (m[b].flatten(1).T for m in maps)  # (positions, channels)
        enhanced = x.clone()
        for i in range(len(x)):
            row = [float(x[i] @ o[j] / (x[i].norm() * o[j].norm()).clamp_min(1e-12)) for j in range(len(o))]
            if attn == "shrink":
                excess = [max(s - tau, 0.0) for s in row]
                weights = [k / (sum(excess) + 1e-6) for k in excess]
            else:
                total = sum(math.exp(s) for s in row)
                weights = [math.exp(s) / total / (1 + math.exp(-(s - tau) / 0.1)) for s in row]
            enhanced[i] += beta * sum(w * g[j] for j, w in enumerate(weights))
        sides = [enhanced.T.reshape(1, 5, 4, 3), maps[2][b : b + 1]]
        u, v = (conv(m)[0].flatten(1) for conv, m in zip((sfim.spatial, sfim.frequency), sides, strict=True))
        cov = (u - u.mean(1, keepdim=True)) @ (v - v.mean(1, keepdim=True)).T / 12
        t = cov.sign() * ((cov.abs() + 1e-4).sqrt() - 0.01)
        expected = generalised_mean(sides[0], 3.0) + sfim.mlp(F.normalize(t.flatten(), dim=0)[None])
        torch.testing.assert_close(actual[b : b + 1], expected, rtol=1e-4, atol=1e-4)


def described(sfim: Sfim, maps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Input of SFIM's MLP: (B, r²)."""
    inputs: list[Tensor] = []
    handle = sfim.mlp.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    sfim(*maps)
    handle.remove()
    return inputs[0]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_sfim_describes_what_differs_between_images(norm: Literal["batch", "none"]) -> None:
    torch.manual_seed(0)
    pattern = torch.rand(1, 6, 6, 3)  # of all images, 50 times as large as their differences
    maps = pattern + 0.02 * torch.rand(16, 6, 6, 3)
    sfim = Sfim(6, 4, 8, norm=norm).train()
    actual = described(sfim, (maps, maps, maps))
    cosines = (actual @ actual.T)[~torch.eye(16, dtype=torch.bool)]
    if norm == "none":
        assert cosines.min() > 0.99
        return
    assert cosines.mean().abs() < 0.2
    assert cosines.max() < 0.9
    covariance = cross_covariance(sfim.spatial(maps).flatten(2), sfim.frequency(maps).flatten(2))
    entries = covariance.flatten(1).double()
    entries = (entries - entries.mean(0)) / (entries.var(0, correction=0) + 1e-8).sqrt()
    expected = F.normalize(entries.sign() * ((entries.abs() + 1e-4).sqrt() - 0.01), dim=1)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-3, atol=1e-3)


def test_weights_and_covariance() -> None:
    similarity = torch.tensor([[0.5, 0.3, -1.0], [0.1, 0.0, 0.2]])
    weights = shrunk(similarity, 0.2)
    torch.testing.assert_close(
        weights, torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.0, 0.0]]), rtol=1e-4, atol=1e-5
    )
    assert softmax_gate(similarity, 0.2).sum(1).max() < 1
    left, right = torch.randn(2, 3, 20), torch.randn(2, 4, 20)
    joined = torch.cat([left[0], right[0]]).numpy()
    import numpy as np

    expected = torch.from_numpy(np.cov(joined, bias=True)[:3, 3:]).float()
    torch.testing.assert_close(cross_covariance(left, right)[0], expected, rtol=1e-4, atol=1e-5)


def test_power_normalisation() -> None:
    values = torch.tensor([-4.0, -1e-9, 0.0, 0.25], dtype=torch.float64, requires_grad=True)
    actual = power_normalised(values)
    torch.testing.assert_close(actual, values.sign() * ((values.abs() + 1e-4).sqrt() - 0.01))
    actual.sum().backward()
    assert values.grad.isfinite().all()
    assert values.grad[1].item() == pytest.approx(50.0, rel=1e-3)
    assert gradcheck(power_normalised, torch.tensor([-1.0, 0.3], dtype=torch.float64, requires_grad=True))


def test_partners() -> None:
    labels = torch.tensor([4, 4, 0, 0, 4, 1])
    assert partners(labels).tolist() == list(range(6))
    assert partners(labels, 2).tolist() == list(range(6)) * 2
    torch.manual_seed(0)
    draws = {tuple(partners(labels, 1, True).tolist()) for _ in range(40)}
    assert len(draws) == 12  # 3! · 2! · 1!
    for draw in draws:
        assert sorted(draw) == list(range(6))
        assert torch.equal(labels[list(draw)], labels)
    assert len(partners(labels, 3, True)) == 18


def made_up(count: int, positions: int = 6) -> Spectral:
    parts = (
        torch.randn(count, 3, positions),
        torch.randn(count, positions, 4),
        torch.randn(count, positions, 4),
    )
    return Spectral(parts[0], parts[0], parts[0], parts[1], parts[2])


def test_prototypes_are_means_over_images_for_any_batches() -> None:
    prototypes = Prototypes(3, 4)
    assert bool(prototypes.empty)
    batches = {m: [made_up(3), made_up(1), made_up(2)] for m in Modality}
    prototypes.learn(batches)
    assert not bool(prototypes.empty)
    for modality, parts in batches.items():
        actual = prototypes.of(modality, made_up(5))
        for name in ("amplitude", "tokens", "phases"):
            expected = torch.cat([getattr(part, name) for part in parts]).mean(0)
            assert getattr(actual, name).shape[0] == 5
            torch.testing.assert_close(getattr(actual, name)[4], expected)
    fresh = Prototypes(3, 4)
    fresh.load_state_dict(prototypes.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(fresh.buffers(), prototypes.buffers(), strict=True))
    with pytest.raises(ValueError, match="both modalities"):
        prototypes.learn({Modality.VISIBLE: batches[Modality.VISIBLE], Modality.INFRARED: []})
