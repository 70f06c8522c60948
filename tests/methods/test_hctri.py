import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.backbones.spec import Streams
from vireid_cli.backbones.two_stream import PerModality
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.methods.hctri import HcTri
from vireid_cli.types import Batch, Modality


def stripes_by_hand(
    network: HcTri, images: Tensor, streams: Streams, power: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Each stripe's own GeM, linear layer, batch norm, ReLU and classifier, one after the other."""
    maps = network.trunk(images, streams)
    pooled = F.adaptive_avg_pool2d(maps.double().clamp_min(1e-6) ** power, (network.options.parts, 1))
    pooled = (pooled.squeeze(-1) ** (1 / power)).float()
    heads, width = network.heads, network.options.features
    embeddings, logits = [], []
    for part in range(network.options.parts):
        rows = slice(part * width, (part + 1) * width)
        hidden = pooled[:, :, part] @ heads.weight[part].T
        norm = heads.norm
        hidden = (hidden - norm.running_mean[rows]) / (norm.running_var[rows] + norm.eps).sqrt()
        embeddings.append((hidden * norm.weight[rows] + norm.bias[rows]).clamp_min(0))
        logits.append(embeddings[-1] @ heads.classifier_weight[part] + heads.classifier_bias[part])
    return embeddings, logits


@pytest.mark.parametrize("parts", [2, 3])
def test_losses(build: Build, batch: Batch, parts: int) -> None:
    options = {"parts": parts, "features": 16, "gem_power": 4.0, "label_smoothing": 0.1}
    weights = {"identity_weight": 0.5, "joined_weight": 2.0, "stripe_weight": 3.0, "margin": 0.9}
    network = build("hctri", options | weights).eval()
    torch.nn.init.normal_(network.heads.classifier_weight)
    images = torch.cat([batch.visible, batch.infrared])
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    embeddings, logits = stripes_by_hand(network, network.normalise(images, masks, batch.erase), 8, 4.0)
    labels = batch.labels.repeat(2)
    joined = hetero_center_triplet(torch.cat(embeddings, 1), batch.labels, 0.9)
    expected = {
        "identity": 0.5 * sum(F.cross_entropy(rows, labels, label_smoothing=0.1) for rows in logits),
        "joined": 2.0 * joined,
        "stripe": 3.0 * sum(hetero_center_triplet(rows, batch.labels, 0.9) for rows in embeddings),
    }
    losses = network.losses(batch)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=1e-4, atol=1e-4)


def test_the_embedding_joins_the_stripes(build: Build, batch: Batch) -> None:
    network = build("hctri", {"features": 16}).eval()
    embeddings, _ = stripes_by_hand(network, network.normalise(batch.visible), Modality.VISIBLE, 3.0)
    expected = F.normalize(torch.cat(embeddings, 1))
    actual = network.embed(batch.visible, Modality.VISIBLE)
    assert actual.shape == (8, 6 * 16)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("separate", "stages"), [(0, 0), (2, 2), (5, 5)])
def test_separate_stages(build: Build, separate: int, stages: int) -> None:
    trunk = build("hctri", {"separate": separate}).trunk
    own = [isinstance(trunk.get_submodule(stage), PerModality) for stage in trunk.stages]
    assert own == [True] * stages + [False] * (5 - stages)


def test_a_weight_of_zero_omits_its_term(build: Build, batch: Batch) -> None:
    assert build("hctri", {"joined_weight": 0.0}).losses(batch).keys() == {"identity", "stripe"}
    metric = build("hctri", {"identity_weight": 0.0})
    assert metric.losses(batch).keys() == {"joined", "stripe"}
    assert not hasattr(metric.heads, "classifier_weight")


def test_a_recipe_without_losses_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError):
        methods.options_of("hctri", {"identity_weight": 0.0, "joined_weight": 0.0, "stripe_weight": 0.0})
    with pytest.raises(pydantic.ValidationError, match="weight is 0"):
        methods.options_of("hctri", {"identity_weight": 0.0, "label_smoothing": 0.1})
