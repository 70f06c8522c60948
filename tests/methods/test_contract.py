"""The contract of ``ReIdNetwork``, tested for every method of the package."""

from functools import partial

import pytest
import torch

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.engine.contract import CHECKS, Case
from vireid_cli.types import Batch, Modality

every_method = pytest.mark.parametrize("name", methods.included())


@every_method
@pytest.mark.parametrize("promise", CHECKS)
def test_the_method_keeps_its_promise(name: str, promise: str, build: Build, batch: Batch) -> None:
    CHECKS[promise](Case(name, batch, partial(build, name)))


@pytest.mark.parametrize("missing", ["losses", "embed", "parameter_groups"])
def test_network_without_part_of_the_contract_is_not_built(missing: str) -> None:
    parts = {part: lambda self: None for part in ("losses", "embed", "parameter_groups") if part != missing}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (methods.ReIdNetwork,), parts)()


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
