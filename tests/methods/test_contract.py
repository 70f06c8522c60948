"""The contract of ``ReIdNetwork``, tested for every method of the package."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.engine.subjects.attention import attention_maps
from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.strict import Strict
from vireid_cli.types import Batch, Erasure, Exchange, Modality

PartT = TypeVar("PartT", Batch, Erasure, Exchange)

every_method = pytest.mark.parametrize("name", methods.available())


def without_dropout(network: ReIdNetwork) -> ReIdNetwork:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def reordered(batch: Batch, order: Tensor) -> Batch:
    def moved(part: PartT) -> PartT:
        tensors: dict[str, Any] = {
            field.name: value[order]
            for field in dataclasses.fields(part)
            if isinstance(value := getattr(part, field.name), torch.Tensor)
        }
        return dataclasses.replace(part, **tensors)

    assert batch.erase is not None
    assert batch.exchange is not None
    return dataclasses.replace(moved(batch), erase=moved(batch.erase), exchange=moved(batch.exchange))


def randomise_statistics(network: ReIdNetwork) -> ReIdNetwork:
    """Running statistics as after some training, so that eval mode is not a special case."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, BranchNorm)):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.1, 0.1)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
    return network


@every_method
def test_module_has_the_three_public_names(name: str, build: Build) -> None:
    module = methods.load(name)
    assert issubclass(module.Options, Strict)
    assert isinstance(methods.options_of(name, {}), module.Options)
    assert isinstance(build(name), methods.ReIdNetwork)


@pytest.mark.parametrize("missing", ["losses", "embed", "parameter_groups"])
def test_network_without_part_of_the_contract_is_not_built(missing: str) -> None:
    parts = {part: lambda self: None for part in ("losses", "embed", "parameter_groups") if part != missing}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (methods.ReIdNetwork,), parts)()


@every_method
def test_losses_are_finite_scalars_and_reach_every_parameter(name: str, build: Build, batch: Batch) -> None:
    network = build(name).train()
    losses = network.losses(batch)
    assert losses
    for term, value in losses.items():
        assert value.shape == (), term
        assert value.isfinite(), term
    sum(losses.values()).backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key


@every_method
def test_parameter_groups_hold_every_trainable_parameter_once(name: str, build: Build) -> None:
    network = build(name)
    groups = network.parameter_groups()
    grouped = [id(parameter) for group in groups for parameter in group.parameters]
    trainable = [id(parameter) for parameter in network.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(trainable)
    assert len({group.name for group in groups}) == len(groups)
    assert methods.BACKBONE in {group.name for group in groups}


@every_method
@pytest.mark.parametrize("modality", list(Modality))
def test_one_modality_embeds_alone_at_unit_length_whatever_its_batch_mates(
    name: str, modality: Modality, build: Build, batch: Batch
) -> None:
    network = randomise_statistics(build(name)).eval()
    images = batch.visible if modality is Modality.VISIBLE else batch.infrared
    with torch.no_grad():
        together = network.embed(images, modality)
        alone = torch.cat([network.embed(image.unsqueeze(0), modality) for image in images[:3]])
    assert together.dtype == torch.float32
    assert together.shape[0] == len(images)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(len(images)), rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, together[:3], rtol=0, atol=1e-5)
    assert (together[0] - together[2]).abs().max() > 1e-4


@every_method
def test_embeddings_depend_on_the_modality(name: str, build: Build, batch: Batch) -> None:
    # After a step the copies of a separate stage differ; a shared network sees only its input's change.
    network = build(name).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    sum(network.losses(batch).values()).backward()
    optimizer.step()
    network.eval()
    with torch.no_grad():
        visible, infrared = (network.embed(batch.visible, modality) for modality in Modality)
    assert (visible - infrared).abs().max() > 1e-4


@every_method
def test_order_of_identities_changes_no_loss(name: str, build: Build, batch: Batch) -> None:
    network = without_dropout(build(name)).train()
    order = torch.tensor([4, 0, 2, 6, 1, 7, 5, 3])  # interleaved; each identity's images stay in order
    before = network.losses(batch)
    after = network.losses(reordered(batch, order))
    assert before.keys() == after.keys()
    for term, value in before.items():
        torch.testing.assert_close(after[term], value, rtol=1e-4, atol=1e-4)


@every_method
def test_erased_pixels_do_not_matter(name: str, build: Build, batch: Batch) -> None:
    network = without_dropout(build(name)).train()
    everything = torch.ones_like(batch.erase.visible)
    erase = Erasure(everything, everything, (0.3, 0.3, 0.3), second=everything)
    first = dataclasses.replace(batch, erase=erase)
    views = {name: getattr(batch, name).flip(0) for name in ("visible", "infrared", "second")}
    second = dataclasses.replace(first, **views)
    actual, expected = network.losses(first), network.losses(second)
    for term, value in expected.items():
        torch.testing.assert_close(actual[term], value, rtol=1e-4, atol=1e-4)
    plain, struck = network.losses(dataclasses.replace(batch, erase=None)), network.losses(batch)
    assert max(abs(plain[term].item() - struck[term].item()) for term in plain) > 1e-4


@every_method
def test_saved_and_loaded_it_embeds_the_same_bits(
    name: str, build: Build, batch: Batch, tmp_path: Path
) -> None:
    network = randomise_statistics(build(name)).eval()
    torch.save(network.state_dict(), tmp_path / "state.pth")
    other = build(name).eval()
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    with torch.no_grad():
        for modality in Modality:
            assert torch.equal(other.embed(batch.visible, modality), network.embed(batch.visible, modality))


@every_method
def test_folded_batch_norms_embed_alike(name: str, build: Build, batch: Batch) -> None:
    network = randomise_statistics(build(name)).eval()
    folded = fold_batch_norms(network)
    with torch.no_grad():
        for modality in Modality:
            actual, expected = (net.embed(batch.visible, modality) for net in (folded, network))
            assert (actual - expected).abs().max() < 1e-5


@every_method
def test_bf16_autocast_gives_finite_losses_close_to_float32(name: str, build: Build, batch: Batch) -> None:
    network = without_dropout(build(name)).train()
    exact = network.losses(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = network.losses(batch)
        embedding = network.eval().embed(batch.visible, Modality.VISIBLE)
    assert embedding.dtype == torch.float32
    for term, value in exact.items():
        assert low[term].dtype == torch.float32
        assert low[term].item() == pytest.approx(value.item(), rel=0.15, abs=0.1), term


@every_method
@pytest.mark.parametrize("modality", list(Modality))
def test_attention_maps_are_computed_for_every_method(
    name: str, modality: Modality, build: Build, batch: Batch
) -> None:
    network = fold_batch_norms(randomise_statistics(build(name)))
    images = (batch.visible if modality is Modality.VISIBLE else batch.infrared)[[0, 2]]
    maps = attention_maps(network, images, modality, steps=2)
    assert maps.shape == (2, *images.shape[2:])
    assert maps.isfinite().all()
    assert maps.min() >= 0
    torch.testing.assert_close(maps.amax((1, 2)), torch.ones(2))
    assert (maps.std((1, 2)) > 0.01).all()
    assert (maps[0] - maps[1]).abs().max() > 0.01


@every_method
def test_exports_without_a_dft(name: str, build: Build, batch: Batch) -> None:
    network = build(name).eval()

    class Visible(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            return self.network.embed(images, Modality.VISIBLE)

    sizes = ({0: torch.export.Dim.DYNAMIC},)  # any number; raises if the graph would fix it
    program = torch.export.export(Visible(), (batch.visible[:2],), dynamic_shapes=sizes)
    assert not any("fft" in str(node.target) for node in program.graph.nodes)
    with torch.no_grad():
        expected = network.embed(batch.visible, Modality.VISIBLE)
        torch.testing.assert_close(program.module()(batch.visible), expected, rtol=0, atol=1e-4)
