"""``train.compile``: the same losses and gradients, the same training, and plain words where it can't be."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from pathlib import Path

import pytest
import torch

from vireid_cli.backbones.two_stream import BackboneSpec
from vireid_cli.engine import compiled
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.types import Batch

CPU = Runtime(torch.device("cpu"), "fp32")
SMALL = ("data.size=[64, 32]", "backbone.name=resnet18", "backbone.width=16", "backbone.weights=none")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced and differentiated by the compiler, without its slow last step."""
    quick = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", quick)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name)


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    visible, infrared = (torch.rand(6, 3, 64, 32, generator=random) for _ in range(2))
    return Batch(visible, infrared, torch.tensor([0, 0, 1, 1, 2, 2]))


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    "name", ["baseline", "agw", "caj", "hctri", "deen", "sepg", "fdnm", "sfcl-light", "dselacfp"]
)
def test_losses_gradients_and_statistics_are_those_of_the_network(name: str) -> None:
    recipe = load_recipe(name, SMALL)
    given = batch()
    if recipe.data.augment.second_view:
        given = dataclasses.replace(given, second=given.visible.flip(3))
    spec = BackboneSpec("resnet18", recipe.backbone.last_stride, None, 16)
    network = build_network(recipe, spec, 4, CPU).train()
    results = []
    for on in (False, True):
        copied = copy.deepcopy(network)
        losses = compiled.losses_of(copied, on, CPU.device)
        torch.manual_seed(1)  # dropout
        found = losses(given)
        torch.stack(list(found.values())).sum().backward()
        results.append(
            (found, {k: p.grad for k, p in copied.named_parameters()}, dict(copied.named_buffers()))
        )
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-4)


@pytest.mark.usefixtures("fast")
def test_a_compiled_training_logs_the_same_losses(tmp_path: Path, sysu_tree: Path, tiny_recipe: Path) -> None:
    logs = []
    for on in ("false", "true"):
        engine = Engine(CPU, data_dir=sysu_tree, runs_dir=tmp_path / on)
        run = engine.train(str(tiny_recipe), [f"train.compile={on}"])
        assert f"compile: {on}" in run.recipe_file.read_text()
        logs.append([row["losses"] for row in map(json.loads, run.log.read_text().splitlines())])
    assert len(logs[0]) == len(logs[1]) > 0
    for ours, theirs in zip(*reversed(logs), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_without_a_compiler_it_says_so_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sysu_tree: Path, tiny_recipe: Path
) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    runs = tmp_path / "runs"
    engine = Engine(CPU, data_dir=sysu_tree, runs_dir=runs)
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler") as caught:
        engine.train(str(tiny_recipe), ["train.compile=true"])
    assert "--set train.compile=false" in str(caught.value.hint)
    assert not runs.exists()


def test_a_network_that_does_not_compile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", quick)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name)

    class Bad(torch.nn.Module):
        def losses(self, given: Batch) -> dict[str, torch.Tensor]:
            torch._dynamo.graph_break()
            return {"identity": given.visible.mean()}

    with pytest.raises(VireidError, match=r"train\.compile: PyTorch can't compile this network") as caught:
        compiled.losses_of(Bad(), True, CPU.device)(batch())
    assert caught.value.hint == compiled.WITHOUT


def test_other_errors_of_a_compiled_network_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name)

    class Bad(torch.nn.Module):
        def losses(self, given: Batch) -> dict[str, torch.Tensor]:
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        compiled.losses_of(Bad(), True, CPU.device)(batch())
