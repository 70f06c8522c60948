import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.layers.chunk_head import ChunkHeads, ModalityHeads
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.pixels import Normalise, both_masks, both_modalities
from vireid_cli.layers.pooling import (
    SMALLEST,
    GemForm,
    GeneralisedMean,
    generalised_mean,
    generalised_mean_stripes,
    global_average,
    stripe_weights,
    stripes,
)
from vireid_cli.types import Batch, Erasure, Modality


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def erasure(masks: Tensor, *, normalised: bool) -> Erasure:
    return Erasure(masks[:2], masks[2:], (0.5, 0.25, 0.125), normalised)


def test_normalise_by_hand() -> None:
    pixels = torch.tensor([0.5, 0.5, 0.5]).view(1, 3, 1, 1)
    expected = torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    torch.testing.assert_close(Normalise()(pixels).flatten(), expected)


@pytest.mark.parametrize("normalised", [False, True])
def test_erasing_writes_its_fill_in_the_space_that_it_names(normalised: bool) -> None:
    pixels, masks = torch.rand(4, 3, 6, 4), draw(4, 1, 6, 4) > 0
    normalise = Normalise()
    result = normalise(pixels, masks, erasure(masks, normalised=normalised))
    fill = torch.tensor([0.5, 0.25, 0.125])
    expected = normalise(pixels).clone()
    for image in range(4):
        for y in range(6):
            for x in range(4):
                if masks[image, 0, y, x]:
                    plain = (
                        fill if normalised else (fill - normalise.mean.flatten()) / normalise.std.flatten()
                    )
                    expected[image, :, y, x] = plain
    torch.testing.assert_close(result, expected)


def test_both_modalities_visible_first() -> None:
    visible, infrared = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    masks = draw(4, 1, 4, 4) > 0
    batch = Batch(visible, infrared, torch.tensor([0, 1]), erase=erasure(masks, normalised=False))
    pixels, actual = both_modalities(batch)
    assert torch.equal(pixels, torch.cat([visible, infrared]))
    assert actual is not None
    assert torch.equal(actual, masks)
    assert both_masks(Batch(visible, infrared, torch.tensor([0, 1]))) is None


@pytest.mark.parametrize(("height", "count"), [(18, 12), (18, 6), (18, 1), (9, 12), (4, 12), (24, 4), (7, 5)])
def test_stripes_are_adaptive_average_pooling(height: int, count: int) -> None:
    features = draw(2, 3, height, 9)
    expected = F.adaptive_avg_pool2d(features, (count, 1)).squeeze(-1)
    torch.testing.assert_close(stripes(features, count), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_stripes_of_several_counts_and_their_gradient(layout: torch.memory_format) -> None:
    features = draw(2, 3, 7, 4).double().contiguous(memory_format=layout).requires_grad_()
    weight = draw(2, 3, 9).double()
    pooled = [F.adaptive_avg_pool2d(features, (count, 1)).squeeze(-1) for count in (1, 3, 5)]
    (expected,) = torch.autograd.grad((torch.cat(pooled, -1) * weight).sum(), features)
    actual = stripes(features, 1, 3, 5)
    torch.testing.assert_close(actual, torch.cat(pooled, -1))
    (gradient,) = torch.autograd.grad((actual * weight).sum(), features)
    torch.testing.assert_close(gradient, expected)
    assert gradient.is_contiguous(memory_format=torch.channels_last), "what convolutions here go on with"


def test_eighteen_rows_in_twelve_stripes() -> None:
    windows = [[0, 1], [1, 2], [3, 4], [4, 5], [6, 7], [7, 8], [9, 10], [10, 11]]
    windows += [[12, 13], [13, 14], [15, 16], [16, 17]]
    weights = stripe_weights(18, 1, 12, torch.zeros(1))
    for stripe, rows in enumerate(windows):
        assert weights[:, stripe].nonzero().flatten().tolist() == rows
        assert weights[rows, stripe].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("learned", [False, True])
def test_generalised_mean(learned: bool) -> None:
    features = draw(2, 3, 4, 5)
    pool = GeneralisedMean(3.0, learned)
    clamped = features.double().clamp_min(SMALLEST)
    expected = (clamped**3).mean(dim=(2, 3)) ** (1 / 3)
    torch.testing.assert_close(pool(features).double(), expected, rtol=1e-5, atol=1e-6)
    assert len(list(pool.parameters())) == learned
    torch.testing.assert_close(generalised_mean(features.abs(), 1.0), global_average(features.abs()))


@pytest.mark.parametrize("power", [3.0, 10.0, 40.0])
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_high_powers_of_small_and_large_features(power: float, scale: float, form: GemForm) -> None:
    # The tenth power of 1e-5 is 0 in float32, that of 1e4 infinite.
    features = (scale * draw(1, 3, 4, 5).abs()).requires_grad_()
    actual = generalised_mean(features, power, form)
    least, addend = (SMALLEST, 0.0) if form == "paper" else (0.0, 1e-12)
    exact = features.detach().double().clamp_min(least).requires_grad_()
    expected = ((exact**power).mean(dim=(2, 3)) + addend) ** (1 / power)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=0)
    actual.sum().backward()
    expected.sum().backward()
    inside = features.detach() > least
    assert features.grad.isfinite().all()
    torch.testing.assert_close(features.grad.double()[inside], exact.grad[inside], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(("height", "count"), [(18, 6), (18, 12), (4, 6), (7, 5), (3, 1)])
@pytest.mark.parametrize("power", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_generalised_mean_of_stripes(height: int, count: int, power: float, form: GemForm) -> None:
    # From row to row the size changes by a factor of ten: no stripe may lose itself in another's.
    scale = 10.0 ** (torch.arange(height) % 5 - 4.0).view(-1, 1)
    features = (scale * draw(2, 3, height, 4).abs()).requires_grad_()
    pooled = generalised_mean_stripes(features, count, power, form)
    least, addend = (SMALLEST, 0.0) if form == "paper" else (0.0, 1e-12)
    exact = features.detach().double().clamp_min(least)
    raised = F.adaptive_avg_pool2d(exact**power, (count, 1)).squeeze(-1)
    expected = (raised + addend) ** (1 / power)
    torch.testing.assert_close(pooled.double(), expected, rtol=1e-5, atol=0)
    pooled.sum().backward()
    assert features.grad.isfinite().all()


def test_the_two_forms_of_the_generalised_mean_differ_by_a_constant_at_most() -> None:
    features = draw(64, 8, 3, 3).relu() * 10.0 ** draw(64, 8, 1, 1, seed=1)
    features[0] = 0.0
    paper, released = (generalised_mean(features, 3.0, form) for form in ("paper", "released"))
    assert (paper - released).abs().max() <= 1e-4
    torch.testing.assert_close(released[0], torch.full((8,), 1e-4))


def test_the_released_form_of_empty_maps_has_finite_gradients() -> None:
    features = torch.zeros(2, 3, 6, 4, requires_grad=True)
    for power in (1.0, 3.0, 10.0):
        pooled = generalised_mean_stripes(features, 3, power, "released").sum()
        (pooled + generalised_mean(features, power, "released").sum()).backward()
    assert features.grad.isfinite().all()


def test_the_released_form_with_a_learned_power() -> None:
    features = draw(2, 3, 4, 5).abs().double()
    power = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: generalised_mean(features, p, "released"), power)


def test_generalised_mean_of_negative_features_has_finite_gradients() -> None:
    features = (-draw(1, 2, 3, 3).abs()).requires_grad_()
    GeneralisedMean(3.0, True)(features).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_neck_and_classifier_initialisation() -> None:
    torch.manual_seed(0)
    neck, head = bn_neck(2048), classifier(2048, 395)
    assert not neck.bias.requires_grad
    assert neck.bias.abs().max() == 0
    assert neck.weight.mean().item() == pytest.approx(1.0, abs=1e-3)
    assert neck.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert "bias" not in dict(head.named_parameters())
    assert head.weight.std().item() == pytest.approx(0.001, rel=0.01)
    assert classifier(4, 3, bias=True).bias.tolist() == [0, 0, 0]


def one_by_one(heads: ChunkHeads, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Each part's Linear, batch norm and classifier as layers of their own."""
    parts, features, inputs = heads.weight.shape
    embeddings, logits = [], []
    for part in range(parts):
        linear = torch.nn.Linear(inputs, features, bias=False)
        norm = torch.nn.BatchNorm1d(features)
        last = torch.nn.Linear(features, heads.identities)
        chosen = slice(part * features, (part + 1) * features)
        with torch.no_grad():
            linear.weight.copy_(heads.weight[part])
            norm.weight.copy_(heads.norm.weight[chosen])
            norm.bias.copy_(heads.norm.bias[chosen])
            norm.running_mean.copy_(heads.norm.running_mean[chosen])
            norm.running_var.copy_(heads.norm.running_var[chosen])
            last.weight.copy_(heads.classifier_weight[part].T)
            last.bias.copy_(heads.classifier_bias[part, 0])
        norm.train(heads.training)
        embeddings.append(norm(linear(pooled[:, :, part])))
        logits.append(last(embeddings[-1]))
    return torch.stack(embeddings), torch.stack(logits)


@pytest.mark.parametrize("training", [True, False])
def test_chunk_heads_are_separate_heads(training: bool) -> None:
    torch.manual_seed(1)
    heads = ChunkHeads(parts=3, inputs=8, features=5, identities=4)
    heads.norm.running_mean.normal_()
    heads.norm.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(heads.norm.bias)
    torch.nn.init.normal_(heads.classifier_bias)
    heads.train(training)
    pooled = draw(6, 8, 3)
    expected_embeddings, expected_logits = one_by_one(heads, pooled)
    embeddings = heads.embed(pooled)  # (parts, B, features)
    torch.testing.assert_close(embeddings, expected_embeddings, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(heads.classify(embeddings), expected_logits, rtol=1e-4, atol=1e-5)


def test_chunk_heads_running_statistics_and_initialisation() -> None:
    torch.manual_seed(1)
    heads = ChunkHeads(parts=2, inputs=64, features=256, identities=100)
    pooled = draw(7, 64, 2)
    heads.embed(pooled)
    hidden = torch.einsum("bip,pfi->bpf", pooled, heads.weight)
    torch.testing.assert_close(heads.norm.running_mean, 0.1 * hidden.mean(0).flatten(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        heads.norm.running_var, 0.9 + 0.1 * hidden.var(0).flatten(), rtol=1e-4, atol=1e-5
    )
    assert heads.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert heads.classifier_weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not hasattr(ChunkHeads(2, 4, 3, 0), "classifier_weight")


def test_modality_heads_serve_their_own_modality() -> None:
    torch.manual_seed(2)
    heads = ModalityHeads(8, 5, 4).eval()
    torch.nn.init.normal_(heads.visible.classifier_weight)
    torch.nn.init.normal_(heads.infrared.classifier_weight)
    pooled = draw(6, 8)
    logits = heads.logits(pooled, 2)
    for modality, rows in ((Modality.VISIBLE, slice(0, 2)), (Modality.INFRARED, slice(2, 6))):
        head = heads.of(modality)
        embedding = heads.embed(pooled[rows], modality)
        torch.testing.assert_close(embedding[0], head.norm(pooled[rows] @ head.weight[0].T))
        torch.testing.assert_close(logits[rows], head.classify(embedding)[0])
