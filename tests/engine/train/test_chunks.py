"""Gradients in chunks (GradCache) equal those of one graph; recomputed activations change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.engine.contract_batch import CASE_IDENTITIES, small_batch
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.train.chunks import BatchChunks, InChunks
from vireid_cli.engine.train.recompute import recompute_blocks
from vireid_cli.engine.train.step import OneProcess
from vireid_cli.errors import UsageError
from vireid_cli.methods import GatheredNetwork
from vireid_cli.sharding.share import RankShare

RUNTIME = Runtime(torch.device("cpu"), "fp32")
SIZE = (64, 32)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("deen", {"dee": {"dropout": 0.5}}),
    ("sfcl", {"pair": "same_id_shuffled"}),
]


def build(name: str, options: dict[str, Any]) -> GatheredNetwork:
    """A narrow network in float64, in training mode."""
    torch.manual_seed(0)
    trunk = BackboneSpec("resnet18", width=8)
    network = methods.build(name, methods.options_of(name, options), CASE_IDENTITIES, trunk)
    assert isinstance(network, GatheredNetwork)
    return network.double().train()


def batch_of(rows: slice = slice(None)) -> Any:
    """Rows of the batch of every method's tests, in float64."""
    from tests.engine.train.ranks import mapped

    return mapped(lambda v: (v.double() if v.is_floating_point() else v)[rows], small_batch(SIZE))


def gradients(network: GatheredNetwork) -> dict[str, Tensor]:
    return {k: p.grad.clone() for k, p in network.named_parameters() if p.grad is not None}


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    assert actual.keys() == expected.keys()
    least = 1e-4 * max(float(value.abs().max()) for value in expected.values())
    for key, value in expected.items():
        error = float((actual[key] - value).abs().max())
        assert error <= tolerance * max(float(value.abs().max()), least), key


@pytest.mark.parametrize(("name", "options"), CASES)
def test_chunks_have_the_gradients_of_one_graph_over_the_same_chunks(
    name: str, options: dict[str, Any]
) -> None:
    network, other = build(name, options), build(name, options)
    chunks = BatchChunks.of_identities(4, 2, 2, 0, 1)
    torch.manual_seed(1)
    outcome = InChunks(network, chunks, RUNTIME, RUNTIME.scaler())(batch_of(), batch_of().labels)

    torch.manual_seed(1)
    parts: dict[str, list[Tensor]] = {}
    for half in (slice(0, 4), slice(4, 8)):
        for key, rows in other.features(batch_of(half)).items():
            parts.setdefault(key, []).append(rows.unflatten(0, (-1, 4)))
    features = {key: torch.cat(halves, dim=1).flatten(0, 1) for key, halves in parts.items()}
    losses = other.losses_of(features, batch_of().labels)
    torch.stack([value.float() for value in losses.values()]).sum().backward()

    for term, value in losses.items():
        assert outcome.losses[term].item() == pytest.approx(value.item(), rel=1e-9), term
    assert_same(gradients(network), gradients(other), 1e-6)  # the sum of the losses is in float32
    statistics = {k: v.double() for k, v in other.state_dict().items() if "running" in k}
    assert_same({k: v.double() for k, v in network.state_dict().items() if k in statistics}, statistics)


def test_without_batch_norms_in_training_chunks_have_the_gradients_of_the_whole_batch() -> None:
    results = []
    for chunks in (BatchChunks.of_identities(4, 2, 3, 0, 1), None):
        network = build("baseline", {})
        network.get_submodule("trunk").eval()
        compute: Any = OneProcess(network, RUNTIME, RUNTIME.scaler())
        if chunks is not None:
            compute = InChunks(network, chunks, RUNTIME, RUNTIME.scaler())
        compute(batch_of(), batch_of().labels)
        results.append(gradients(network))
    assert_same(results[0], results[1], 1e-6)


def test_ranks_share_every_chunk() -> None:
    rows = [BatchChunks.of_identities(5, 2, 2, rank, 2).rows.tolist() for rank in range(2)]
    assert rows == [[0, 1, 2, 3, 6, 7], [4, 5, 8, 9]]
    with pytest.raises(UsageError, match="an identity of each chunk"):
        BatchChunks.of_identities(5, 2, 3, 0, 2)


def test_shares_are_whole_identities() -> None:
    shares = [RankShare.of_identities(5, 2, rank, 3) for rank in range(3)]
    assert [np.arange(10)[share.rows].tolist() for share in shares] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    views = torch.arange(20)  # two views
    assert torch.cat([share.own(views) for share in shares[2:]]).tolist() == [8, 9, 18, 19]
    with pytest.raises(UsageError, match="3 processes share a batch of 2 identities"):
        RankShare.of_identities(2, 4, 0, 3)


@pytest.mark.parametrize("name", ["baseline", "fdnm"])
def test_recomputed_activations_change_no_bit(name: str) -> None:
    results = []
    for recomputed in (False, True):
        network = build(name, {})
        if recomputed:
            assert recompute_blocks(network, name) == 8
        torch.manual_seed(1)
        OneProcess(network, RUNTIME, RUNTIME.scaler())(batch_of(), batch_of().labels)
        results.append(gradients(network) | dict(network.state_dict()))
    assert results[0].keys() == results[1].keys()
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])


def test_recomputation_needs_residual_blocks() -> None:
    with pytest.raises(UsageError, match="has no residual blocks"):
        recompute_blocks(torch.nn.Linear(2, 2), "other")
