"""AGP and ANM against torch.fft in complex arithmetic, and their laws."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tensors import normal
from vireid_cli.frequency import fourier
from vireid_cli.frequency.agp import AmplitudeGuidedPhase, Init, mean_amplitude, share_monitors
from vireid_cli.frequency.anm import AmplitudeNuancesMining, Norm
from vireid_cli.frequency.fourier import Kind
from vireid_cli.frequency.rotation import rotate
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.types import Size

KINDS = ("fft", "matmul")
SIZES = [(6, 5), (5, 4), (24, 12)]


def agp_by_fft(features: Tensor, module: AmplitudeGuidedPhase) -> Tensor:
    """Equation by equation."""
    bins = torch.fft.rfft2(features, norm="ortho")
    share = torch.sigmoid(module.mix(bins.abs().mean(dim=(2, 3))))[..., None, None]
    turned = torch.polar(bins.abs(), (1 + share) * bins.angle())
    return torch.fft.irfft2(turned, s=features.shape[-2:], norm="ortho")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("init", ["identity", "paper"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_agp_is_its_equations_in_value_and_gradient(
    kind: Kind, size: Size, init: Init, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = AmplitudeGuidedPhase(3, init, kind=kind).double()
    actual = normal(2, 3, *size).contiguous(memory_format=layout).requires_grad_()
    expected = actual.detach().clone().requires_grad_()
    weight = normal(2, 3, *size, seed=1)
    gradients = []
    for run, features in ((module, actual), (lambda x: agp_by_fft(x, module), expected)):
        module.zero_grad()
        output = run(features)
        (output * weight).sum().backward()
        gradients.append((output, features.grad, module.mix.weight.grad.clone()))
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_agp_without_share_is_the_identity_and_starts_near_it(kind: Kind, size: Size) -> None:
    features = normal(2, 8, *size)
    bins = fourier.spectrum(features, kind)
    unturned = rotate(bins, torch.zeros(2, 8, 1, 1, dtype=torch.float64))
    torch.testing.assert_close(fourier.inverse(unturned, size, kind), features, rtol=0, atol=1e-6)
    started = AmplitudeGuidedPhase(8, kind=kind).double()
    assert (
        started.share(mean_amplitude(fourier.amplitude(bins), size[1], "half")).sub(0.018).abs().max() < 2e-3
    )
    agreement = F.cosine_similarity(started(features).flatten(), features.flatten(), dim=0)
    assert agreement > 0.99


def test_split_convolutions_side_by_side_are_one() -> None:
    module, guide = AmplitudeGuidedPhase(12).double(), normal(5, 12)
    split = [
        F.conv1d(guide[..., None], w[..., None], b)
        for w, b in zip(module.mix.weight.chunk(4), module.mix.bias.chunk(4), strict=True)
    ]
    torch.testing.assert_close(module.share(guide), torch.sigmoid(torch.cat(split, 1).squeeze(-1)))


@pytest.mark.parametrize("kind", KINDS)
def test_phasor_representation_is_a_gain(kind: Kind) -> None:
    module, features = AmplitudeGuidedPhase(3, "paper", "phasor", kind=kind).double(), normal(2, 3, 6, 5)
    bins = torch.fft.rfft2(features, norm="ortho")
    share = torch.sigmoid(module.mix(bins.abs().mean(dim=(2, 3))))[..., None, None]
    scaled = torch.fft.irfft2(bins * (1 + share), s=(6, 5), norm="ortho")
    torch.testing.assert_close(module(features), scaled)


@pytest.mark.parametrize("width", [5, 6])
def test_pool_over_the_half_or_the_full_plane(width: int) -> None:
    features = normal(2, 3, 4, width)
    half = torch.fft.rfft2(features, norm="ortho").abs()
    full = torch.fft.fft2(features, norm="ortho").abs().mean(dim=(2, 3))
    torch.testing.assert_close(mean_amplitude(half, width, "hermitian"), full)
    torch.testing.assert_close(mean_amplitude(half, width, "half"), half.mean(dim=(2, 3)))
    assert (full - half.mean(dim=(2, 3))).abs().max() > 1e-3


def test_rotation_gradcheck() -> None:
    re, im = normal(2, 3, 4, seed=1).requires_grad_(), normal(2, 3, 4, seed=2).requires_grad_()
    share = torch.rand(2, 1, 1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b, s: rotate((a, b), s), (re, im, share))


def anm_by_fft(features: Tensor, module: AmplitudeNuancesMining) -> Tensor:
    """Equation by equation with torch's instance norm."""
    bins = torch.fft.rfft2(features, norm="ortho")
    outputs = []
    for branch, kernel in enumerate(module.mix.weight.chunk(2)):
        size = bins.abs()
        mined = F.instance_norm(F.conv2d(size, kernel), weight=module.weight[branch].flatten(),
                                bias=module.bias[branch].flatten())  # fmt: skip
        positive = {"relu": F.relu, "softplus": F.softplus, "abs": torch.abs, "none": lambda x: x}
        if module.residual and module.positivity_on == "sum":
            mined = positive[module.positivity](mined + size)
        else:
            mined = positive[module.positivity](mined) + (size if module.residual else 0.0)
        turned = mined * torch.exp(1j * bins.angle())
        outputs.append(torch.fft.irfft2(turned, s=features.shape[-2:], norm="ortho"))
    if module.norm is None:
        return torch.cat(outputs)
    groups = outputs if module.norm.branches == 2 else [torch.cat(outputs)]
    shared = (module.norm.weight, module.norm.bias)
    return torch.cat([F.batch_norm(maps, None, None, *shared, training=True) for maps in groups])


@pytest.mark.parametrize(
    "reading",
    [
        {},
        {"norm": "joint"},
        {"norm": "none"},
        *({"positivity_on": "sum", "positivity": kind} for kind in ("relu", "softplus", "abs")),
        *(
            {"residual": False, "positivity": positivity}
            for positivity in ("relu", "softplus", "abs", "none")
        ),
        *({"positivity": kind} for kind in ("softplus", "abs", "none")),
    ],
)
@pytest.mark.parametrize(("kind", "size"), [("fft", (6, 5)), ("matmul", (6, 5)), ("matmul", (24, 12))])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_anm_is_its_equations_in_value_and_gradient(
    reading: dict[str, Any], kind: Kind, size: tuple[int, int], layout: torch.memory_format
) -> None:
    torch.manual_seed(1)
    module = AmplitudeNuancesMining(3, kind=kind, **reading).double().train()
    torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    actual = normal(2, 3, *size).contiguous(memory_format=layout).requires_grad_()
    expected = actual.detach().clone().requires_grad_()
    weight = normal(4, 3, *size, seed=1)
    results = []
    for run, features in ((module, actual), (lambda x: anm_by_fft(x, module), expected)):
        module.zero_grad()
        output = run(features)
        (output * weight).sum().backward()
        results.append((output, features.grad, module.mix.weight.grad.clone(), module.weight.grad.clone()))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-7, atol=1e-9)


def test_positivity_on_the_sum_zeroes_zero_frequencies_and_on_the_mixed_amplitude_none() -> None:
    """The global feature is the zero frequency; a channel with this bin set to zero has no gradient."""
    features = normal(8, 32, 24, 12).relu()
    shares = {}
    for reading in ("mixed", "sum"):
        torch.manual_seed(1)
        module = AmplitudeNuancesMining(32, positivity_on=reading, norm="none").double()
        shares[reading] = (module(features).mean(dim=(2, 3)).abs() < 1e-12).double().mean().item()
    assert shares["mixed"] == 0.0
    assert shares["sum"] > 0.2


@pytest.mark.parametrize("norm", ["two", "joint"])
def test_one_norm_over_both_branches_makes_them_opposite_and_two_norms_do_not(
    norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pooled features of images that differ little, as those of a network at its start, in eval mode too."""
    generator = torch.Generator().manual_seed(0)
    identities, count = 6, 4
    looks = 0.03 * torch.randn(1, identities, 1, 64, 1, 1, generator=generator)
    modalities = 0.03 * torch.randn(2, 1, 1, 64, 1, 1, generator=generator)
    images = 0.05 * torch.randn(2, identities, count, 64, 12, 6, generator=generator)
    mean = torch.rand(64, 12, 6, generator=generator)
    features = (mean + looks + modalities + images).relu().flatten(0, 2)
    torch.manual_seed(1)
    monkeypatch.setattr("vireid_cli.frequency.branch_norm.MOMENTUM", 1.0)  # one pass as many
    module = AmplitudeNuancesMining(64, norm=norm).train()
    with torch.no_grad():
        trained = module(features).mean(dim=(2, 3)).unflatten(0, (2, -1))
        tested = module.eval()(features).mean(dim=(2, 3)).unflatten(0, (2, -1))
    labels = torch.arange(identities).repeat_interleave(count)
    loss = nuances_mining(trained, labels)
    for first, second in (trained, tested):
        cosine = F.cosine_similarity(first, second).mean()
        assert cosine > 0.2 if norm == "two" else cosine < -0.8
    assert loss > 1.0 if norm == "two" else loss == 0.0


def test_starts_of_the_gate() -> None:
    guide = normal(6, 32).abs()
    starts: tuple[tuple[Init, float], ...] = (("identity", 0.018), ("open", 0.119))
    for init, start in starts:
        share = AmplitudeGuidedPhase(32, init).double().share(guide)
        assert share.mean().item() == pytest.approx(start, rel=0.03)


def test_the_last_share_is_of_the_training_batch_and_carries_no_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, features = AmplitudeGuidedPhase(4, "open").double(), normal(5, 4, 6, 5)
    stages = torch.nn.ModuleDict({"layer1": module})
    assert share_monitors(stages) == {}
    module.eval()(features)
    assert module.last_share() is None
    guide = torch.fft.rfft2(features, norm="ortho").abs().mean(dim=(2, 3))
    for block in (2**20, 1):  # whole, and image by image
        monkeypatch.setattr("vireid_cli.frequency.products.BLOCK", block)
        module.train()(features)
        assert not module.last_share().requires_grad
        torch.testing.assert_close(module.last_share(), module.share(guide).detach())
    watched = share_monitors(stages)
    assert watched.keys() == {"agp.layer1.mean", "agp.layer1.std"}
    torch.testing.assert_close(watched["agp.layer1.mean"], module.share(guide).mean().detach())
    torch.testing.assert_close(
        watched["agp.layer1.std"], module.share(guide).mean(0).std(correction=0).detach()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_global_average_after_an_inverse_is_the_zero_frequency(kind: Kind) -> None:
    re, im = normal(2, 3, 6, 3), normal(2, 3, 6, 3, seed=1)
    rebuilt = fourier.inverse((re, im), (6, 5), kind)
    torch.testing.assert_close(rebuilt.mean(dim=(2, 3)), re[..., 0, 0] / 30**0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [AmplitudeGuidedPhase, AmplitudeNuancesMining])
def test_gradients_are_finite_for_constant_and_empty_channels(
    kind: Kind, make: type[AmplitudeGuidedPhase] | type[AmplitudeNuancesMining]
) -> None:
    features = torch.randn(2, 4, 8, 6)
    features[:, 0], features[:, 1], features[0] = 0.0, 0.7, 0.0
    module = make(4, kind=kind).train()
    pixels = features.requires_grad_()
    output = module(pixels)
    (output * torch.randn_like(output)).sum().backward()
    assert output.isfinite().all()
    assert pixels.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("make", [AmplitudeGuidedPhase, AmplitudeNuancesMining])
def test_transforms_stay_in_float32_under_autocast(
    make: type[AmplitudeGuidedPhase] | type[AmplitudeNuancesMining],
) -> None:
    torch.manual_seed(0)
    module, features = make(4).eval(), torch.randn(2, 4, 8, 6)
    with torch.no_grad():
        exact = module(features.bfloat16().float())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = module(features.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_products_follow_the_layout_of_the_maps(layout: torch.memory_format) -> None:
    images = normal(2, 3, 16, 14, dtype=torch.float32).contiguous(memory_format=layout).requires_grad_()
    bins = fourier.spectrum(images, "matmul")
    expected = torch.fft.rfft2(images.detach(), norm="ortho")
    torch.testing.assert_close(torch.complex(*bins), expected, rtol=1e-5, atol=1e-5)
    back = fourier.inverse(bins, (16, 14), "matmul")
    assert back.is_contiguous(memory_format=layout)
    torch.testing.assert_close(back, images, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_norm_of_anm_is_handed_a_gradient_in_its_own_layout(layout: torch.memory_format) -> None:
    module, layouts = AmplitudeNuancesMining(3).train(), []
    module.norm.register_full_backward_hook(
        lambda norm, to_maps, inputs: layouts.append(inputs[0].is_contiguous(memory_format=layout))
    )
    features = normal(2, 3, 8, 6, dtype=torch.float32).contiguous(memory_format=layout).requires_grad_()
    module(features).mean(dim=(-2, -1)).sum().backward()  # pooling: one number for all pixels of a map
    assert layouts == [True]


class Both(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.agp, self.anm = AmplitudeGuidedPhase(4), AmplitudeNuancesMining(4)

    def forward(self, features: Tensor) -> Tensor:
        return self.anm(self.agp(features))


class Rows(Both):
    def forward(self, features: Tensor) -> Tensor:
        return self.anm.rows(self.agp(features))


@pytest.mark.parametrize("make", [Both, Rows])
def test_compiles_whole_with_all_gradients(make: type[Both] | type[Rows]) -> None:
    torch.manual_seed(0)
    module, features = make().double().train(), normal(2, 4, 9, 6)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    results = []
    for run in (module, compiled):
        module.zero_grad()
        inputs = features.clone().requires_grad_()
        output = run(inputs)
        (output * normal(*output.shape, seed=1)).sum().backward()
        results.append([output.detach(), inputs.grad, *(p.grad.clone() for p in module.parameters())])
    for first, second in zip(*reversed(results), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-10)


def test_exports_as_products_without_fourier_nodes(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    module, features = Both().eval(), normal(2, 4, 20, 12, dtype=torch.float32)
    program = torch.onnx.export(
        module, (features,), dynamo=True, dynamic_shapes=({0: "batch"},), verbose=False
    )
    nodes = {node.op_type for node in program.model.graph.all_nodes()}
    assert "MatMul" in nodes
    assert not nodes & {"DFT", "STFT", "Loop", "If"}
    program.save(tmp_path / "both.onnx")
    session = runtime.InferenceSession(str(tmp_path / "both.onnx"))
    for batch in (1, 3):
        more = normal(batch, 4, 20, 12, seed=batch, dtype=torch.float32)
        (actual,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
        torch.testing.assert_close(torch.from_numpy(actual), module(more).detach(), rtol=1e-4, atol=1e-4)
