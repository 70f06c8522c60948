"""Averaged weights, patience, and compilation of the trunk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import Listener
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint_average import average_of
from vireid_cli.engine.evaluate.evaluate import evaluate_run
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.average import WeightAverage
from vireid_cli.engine.train.compiled import compile_trunk
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.train import train
from vireid_cli.errors import UsageError

CPU = Runtime(torch.device("cpu"), "fp32")


def test_the_average_follows_the_weights_and_its_first_steps_follow_them_closely() -> None:
    linear, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)
    network, weight = nn.Sequential(linear, norm), linear.weight
    assert norm.running_mean is not None
    nn.init.constant_(weight, 0.0)
    average = WeightAverage(network, 0.5)
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 4.0), start=1):
        nn.init.constant_(weight, value)
        nn.init.constant_(norm.running_mean, value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert float(average.state["0.weight"]) == pytest.approx(expected)
        assert float(average.state["1.running_mean"]) == value
    with average.applied():
        assert float(weight.detach()) == pytest.approx(expected)
    assert float(weight.detach()) == 4.0


def test_a_training_ends_by_patience_and_keeps_averages(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, listener: Listener
) -> None:
    settings = ("data.split=train", "train.select=val", "train.patience=1", "train.ema=0.9", "train.epochs=4")
    recipe = load_recipe(str(tiny_recipe), (*settings, "train.optimizer.lr=1e-12"))
    session = Session(CPU, listener, sysu_tree, tmp_path)
    run = train(recipe, session)
    epochs = [row for row in run.log_rows() if row["kind"] == "epoch"]
    assert len(epochs) == 2, "weights that do not change are never better"
    assert set(epochs[0]["val"]) == {f"{p}{m}" for p in ("", "ema_") for m in ("rank1", "mAP", "mINP")}
    assert any("train.patience" in line for line in listener.infos)
    last = checkpoints.load_checkpoint(run.checkpoints / "last")
    average = average_of(last.tensors)
    assert average.keys() == last.model.keys()
    with pytest.raises(UsageError, match="has stopped after 2 epochs"):
        resume(run, session)
    plain, averaged = (evaluate_run(run, session, EvaluateOptions(ema=ema)) for ema in (False, True))
    assert not any("unfinished" in line for line in listener.warnings)
    assert plain[0].folder != averaged[0].folder
    assert averaged[0].content["fingerprint"]["averaged_weights"] == "ema 0.9"
    assert "averaged_weights" not in plain[0].content["fingerprint"]


def test_a_run_without_averages_has_none_to_evaluate(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, listener: Listener
) -> None:
    recipe = load_recipe(str(tiny_recipe), ("train.epochs=1", "train.steps_per_epoch=1"))
    session = Session(CPU, listener, sysu_tree, tmp_path)
    run = train(recipe, session)
    with pytest.raises(UsageError, match="has no average of the weights"):
        evaluate_run(run, session, EvaluateOptions(ema=True))


def test_patience_needs_validation(tiny_recipe: Path) -> None:
    with pytest.raises(UsageError, match="patience counts validations"):
        load_recipe(str(tiny_recipe), ("train.patience=3",))


class Trunked(nn.Module):
    """A network with a trunk of two stages."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)

    def backward(self) -> None:
        torch.manual_seed(1)
        self.head(self.trunk[1](self.trunk[0](torch.randn(8, 4)))).square().sum().backward()


@pytest.mark.parametrize("wrong", [False, True])
def test_a_compiled_trunk_needs_equal_gradients(wrong: bool, listener: Listener) -> None:
    def compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        def run(*values: Tensor) -> object:
            results = graph(*values)
            return tuple(result * 1.5 for result in results) if wrong else results

        return run

    network = Trunked()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    session = Session(CPU, listener, Path(), Path())
    assert compile_trunk(network, network.backward, session, backend=compiler) is not wrong
    compiled = [stage._compiled_call_impl is not None for stage in network.trunk]
    assert compiled == [not wrong] * 2
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    lines = listener.warnings if wrong else listener.infos
    assert any("gradients differ by" in line for line in lines)


def test_on_a_cpu_the_trunk_is_not_compiled(listener: Listener) -> None:
    network = Trunked()
    assert not compile_trunk(network, network.backward, Session(CPU, listener, Path(), Path()))
    assert listener.infos == ["train.compile: the trunk is compiled on GPUs only"]
