"""A process that shares trainings with others: ``python -m tests.engine.train.ranks FOLDER``.

Rank 0 repeats each training as a single process and writes the differences to ``FOLDER/result.json``. All
checks share the processes, because importing PyTorch takes most of their time.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torchvision.models
from torch import Tensor
from torchvision.models.resnet import BasicBlock

from tests.methods.conftest import Narrow
from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.data.store import open_store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.compare import compare
from vireid_cli.engine.contract_batch import CASE_IDENTITIES, small_batch
from vireid_cli.engine.embed import embed_rows, load_trained
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train import trainer
from vireid_cli.engine.train.calibration import calibration
from vireid_cli.engine.train.chunks import BatchChunks, InChunks
from vireid_cli.engine.train.data import training_data
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.step import Gradients, OneProcess, SharedByRanks
from vireid_cli.engine.train.train import train
from vireid_cli.engine.world import ONE, World
from vireid_cli.errors import Interrupted, VireidError
from vireid_cli.methods import GatheredNetwork
from vireid_cli.methods.sfcl.network import Sfcl
from vireid_cli.recipe.study import load_study
from vireid_cli.results.run import RunFolder
from vireid_cli.sharding.share import RankShare, gather, splitting

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    **{name: (name, {}, 1) for name in methods.included()},
    "deen with much dropout": ("deen", {"dee": {"dropout": 0.5}}, 1),
    "fdnm with maps": ("fdnm", {"anm": {"pool": "gem", "norm": "joint"}, "agp": {"pool": "hermitian"}}, 1),
    "sfcl with drawn pairs": ("sfcl", {"pair": "same_id_shuffled"}, 1),
    "deen in chunks": ("deen", {"dee": {"dropout": 0.5}}, 2),
}
"""Method, options and number of chunks by the name of a case."""

SETTINGS = ("data.split=train", "train.select=val", "train.optimizer.lr=0.0001")
"""A low rate, because a rounding difference in float32 may move a value across a ReLU's kink."""

STEPS = 3
CPU = torch.device("cpu")
PartT = TypeVar("PartT")


def mapped(change: Callable[[Tensor], Tensor], part: PartT) -> PartT:
    """A batch with each of its tensors changed."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            values[field.name] = change(value)
        elif dataclasses.is_dataclass(value):
            values[field.name] = mapped(change, value)
    return dataclasses.replace(part, **values)  # type: ignore[type-var]


def trained(name: str, options: dict[str, Any], count: int, world: World) -> dict[str, dict[str, Any]]:
    """Losses, first gradients and last weights of three steps, in float64 to exclude rounding."""
    torch.manual_seed(0)
    fit = methods.fit_of(name)
    trunk = BackboneSpec("resnet18") if "resnet18" in fit.backbones else BackboneSpec("lightcnn29", width=8)
    network = methods.build(name, methods.options_of(name, options), CASE_IDENTITIES, trunk).double().train()
    assert isinstance(network, GatheredNetwork)
    batch = mapped(lambda v: v.double() if v.is_floating_point() else v, small_batch(fit.input or (64, 32)))
    labels, runtime = batch.labels, Runtime(CPU, "fp32", world=world)
    gradients: Gradients = OneProcess(network, runtime, runtime.scaler())
    if count > 1:
        chunks = BatchChunks.of_identities(4, 2, count, world.rank, world.size)
        gradients = InChunks(network, chunks, runtime, runtime.scaler())
        batch = mapped(lambda v: v[chunks.rows], batch)
    elif world.several:
        share = RankShare.of_identities(4, 2, world.rank, world.size)
        gradients = SharedByRanks(network, share, runtime, runtime.scaler())
        batch = mapped(lambda v: v[share.rows], batch)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    result: dict[str, dict[str, Any]] = {"losses": {}, "gradients": {}, "weights": {}}
    for step in range(STEPS):
        torch.manual_seed(step)
        optimizer.zero_grad()
        outcome = gradients(batch, labels)
        terms = outcome.losses | outcome.monitors
        result["losses"] |= {f"{name} {step}": value.detach().double() for name, value in terms.items()}
        if step == 0:
            given = {k: p.grad for k, p in network.named_parameters() if p.grad is not None}
            result["gradients"] = {k: gradient.clone() for k, gradient in given.items()}
        optimizer.step()
    result["weights"] = {k: v.double() for k, v in network.state_dict().items()}
    return result


def difference(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest difference of two tensors of one name, relative to its largest value."""
    assert mine.keys() == theirs.keys()
    # A gradient that is 0 in exact arithmetic, such as that of a bias before a batch norm, is all rounding.
    least = 1e-4 * max(float(value.abs().max()) for value in theirs.values() if value.numel())
    return max(
        float((mine[key] - value).abs().max()) / max(float(value.abs().max()), least)
        for key, value in theirs.items()
        if value.numel()
    )


def session_of(world: World, folder: Path) -> Session:
    """A session of some processes, on the tree of the test."""
    return Session(
        Runtime(CPU, "fp32", world=world), Reporter(), folder / "data", folder / f"runs{world.size}"
    )


@contextmanager
def stopping(*, quiet: bool = False) -> Iterator[Callable[[], bool]]:
    """Ctrl-C after four steps."""
    taken = iter(range(1, 1000))
    yield lambda: next(taken) == 4


def check_training(world: World, folder: Path) -> dict[str, Any]:
    """Train, stop, resume and embed with several ranks and with one."""
    recipe = load_recipe(str(folder / "tiny.yaml"), SETTINGS)
    shared, single = session_of(world, folder), session_of(ONE, folder)
    run = train(recipe, shared)
    stop_on_signals = trainer.stop_on_signals
    if world.rank == 1:  # one rank receives the signal
        trainer.stop_on_signals = stopping  # type: ignore[assignment]
    try:
        train(recipe, shared)
        stopped = "it did not stop"
    except VireidError as error:
        stopped = f"{type(error).__name__} {error.exit_code}"
    trainer.stop_on_signals = stop_on_signals
    cut = RunFolder(next(f for f in shared.runs_dir.glob("tiny-*") if f != run.folder))
    result: dict[str, Any] = {"stopped": stopped}
    if world.first:  # it has saved the checkpoint
        result["position"] = checkpoints.load_position(cut.checkpoints / "last").global_step
    fewer = copied(cut, folder / "fewer", world)
    resume(cut, shared)
    result["resumed"] = check_other_numbers(world, folder, fewer)
    network = load_trained(run, shared)
    size, rows = recipe.data.image_size, some_rows()
    store = open_store(shared.data_dir, "sysu")
    embedded = embed_rows(network.network, shared, store, size, rows)
    if world.first:
        alone = train(recipe, single)
        same = embed_rows(network.network, single, store, size, rows)
        ends = [checkpoints.load_model(r.checkpoints / "last") for r in (run, cut, alone)]
        result |= {
            "resumed equally": all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0]),
            "weights": difference(*({k: v.double() for k, v in ends[i].items()} for i in (0, 2))),
            "embedded equally": bool((embedded.features == same.features).all()),
            "logs": [losses_of(r) for r in (run, cut, alone)],
            "ranks": [r.environment().get("ranks") for r in (run, alone)],
            "runs": len(list(shared.runs_dir.glob("tiny-*"))),
        }
    return result | check_divergence(world, folder)


def losses_of(run: RunFolder) -> list[float]:
    """Losses of a run's log."""
    return [row["loss"] for row in run.log_rows()]


def copied(run: RunFolder, to: Path, world: World) -> RunFolder:
    """A copy of a run, made by rank 0."""
    if world.first:
        shutil.copytree(run.folder, to / run.folder.name)
    world.any(False)  # the other rank reads the files
    return RunFolder(to / run.folder.name)


def check_other_numbers(world: World, folder: Path, fewer: RunFolder) -> dict[str, Any]:
    """Resume a run of two ranks on one, and a run of one on two; the logs and the recorded ranks.

    Args:
        world: The two ranks.
        folder: Folder of the test.
        fewer: A stopped run of two ranks.
    """
    single = replace(session_of(ONE, folder), runs_dir=folder / "more")
    if world.first:
        stop_on_signals = trainer.stop_on_signals
        trainer.stop_on_signals = stopping  # type: ignore[assignment]
        with suppress(Interrupted):
            train(load_recipe(str(folder / "tiny.yaml"), SETTINGS), single)
        trainer.stop_on_signals = stop_on_signals
        resume(fewer, replace(single, runs_dir=fewer.folder.parent))
    world.any(False)  # the other rank reads the files
    more = RunFolder(next(single.runs_dir.glob("tiny-*")))
    resume(more, replace(session_of(world, folder), runs_dir=single.runs_dir))
    return {
        name: {"losses": losses_of(run), "numbers": run.environment()["resumed"]}
        for name, run in (("2 to 1", fewer), ("1 to 2", more))
        if world.first
    }


def check_divergence(world: World, folder: Path) -> dict[str, Any]:
    """Train with a rate at which the losses become NaN."""
    session = replace(session_of(world, folder), runs_dir=folder / "diverged")
    try:
        train(load_recipe(str(folder / "tiny.yaml"), ("train.optimizer.lr=1e30",)), session)
    except VireidError as error:
        saved = session.runs_dir.glob("tiny-*/bad-batch*.npz")
        batches = [np.load(path)["labels"].tolist() for path in saved]
        return {"diverged": f"{type(error).__name__}: {error.message}", "bad batches": batches}
    return {"diverged": "it did not"}


def check_spread(world: World, folder: Path) -> dict[str, Any]:
    """Train the rows of a study, one on each rank."""
    settings = {"train.epochs": 1, "train.steps_per_epoch": 1, "train.schedule.milestones": [1]}
    rows = [{"label": label, "recipe": str(folder / "tiny.yaml")} for label in ("first", "second")]
    rows[1]["set"] = {"method.options.triplet": "wrt"}  # type: ignore[assignment]
    study = {"name": "pair", "seeds": [0], "set": settings, "rows": rows}
    if world.first:
        (folder / "pair.yaml").write_text(json.dumps(study))
    world.any(False)  # the other rank reads the file
    session = replace(session_of(world, folder), runs_dir=folder / "spread")
    result = compare(load_study(str(folder / "pair.yaml")), session, EvaluateOptions(), spread=True)
    return {name: [row.label for row in table.rows] for name, table in result.tables.items()}


def check_calibration(world: World, folder: Path) -> float:
    """Largest difference of the prototypes of ranks that share the images, from those of one process."""
    options = {"inference": "prototype", "cfam": {"dim": 8}, "tm": {"state": 1, "ratio": 1}}
    recipe = load_recipe(str(folder / "tiny.yaml"), SETTINGS)
    data = training_data(recipe, open_store(folder / "data", "sysu"))
    buffers: list[dict[str, Tensor]] = []
    seen: list[int] = []
    for one in (world, ONE):
        torch.manual_seed(0)
        built = methods.build("sfcl", methods.options_of("sfcl", options), 6, BackboneSpec("resnet18"))
        assert isinstance(built, Sfcl)
        built.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
        calibration(built, data, recipe.data.image_size, Runtime(CPU, "fp32", world=one))()
        assert built.prototypes is not None
        buffers.append(dict(built.prototypes.named_buffers()))
        assert sum(seen) == len(data.rows) // one.size
        seen.clear()
    return difference(*buffers)


def check_half_precision(world: World) -> bool:
    """Whether gathered rows of half precision have their values and order."""
    share = RankShare.of_identities(3, 1, world.rank, world.size)
    whole = torch.arange(12, dtype=torch.bfloat16).view(6, 2)  # two modalities
    with splitting(share):
        return torch.equal(gather(share.own(whole)), whole)


def some_rows() -> np.ndarray:
    """Rows of the tree in an order of their own, of both modalities."""
    return np.random.default_rng(0).permutation(216)[:150]


def main(folder: Path) -> None:
    """Run all checks."""
    torch.set_num_threads(1)
    torchvision.models.resnet18 = lambda weights: Narrow(BasicBlock, [1, 1, 1, 1], num_classes=1)
    world = World.of_environment()
    result: dict[str, Any] = {}
    with world.joined(CPU):
        result["training"] = check_training(world, folder)
        result["calibration"] = check_calibration(world, folder)
        result["half precision"] = check_half_precision(world)
        result["spread"] = check_spread(world, folder)
        for case, arguments in CASES.items():
            mine = trained(*arguments, world)
            if world.first:
                theirs = trained(*arguments, ONE)
                result[case] = {part: difference(mine[part], theirs[part]) for part in mine}
    (folder / f"result{world.rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
