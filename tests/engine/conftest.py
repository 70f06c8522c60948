"""Run folders that were evaluated, without a training: made-up embeddings through the real evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from vireid_cli import files
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.engine.evaluate.result import EvaluateOptions, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import EmbeddedRows
from vireid_cli.engine.train import trainer
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

MakeRun = Callable[..., RunFolder]


def made_up(noise: float, people: int = 6, count: int = 60, seed: int = 0) -> EmbeddedRows:
    """``count`` embeddings of ``people`` people, the first half infrared."""
    rng = np.random.default_rng(seed)
    pids = np.arange(count) % people
    centres = np.random.default_rng(0).standard_normal((people, 5))
    features = centres[pids] + noise * rng.standard_normal((count, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    infrared = np.arange(count) < count // 2
    camids = np.where(infrared, np.where(pids % 2, 3, 6), 1 + np.arange(count) // people % 2)
    names = [f"cam{c}/{p:04d}/{i:04d}.jpg" for i, (c, p) in enumerate(zip(camids, pids, strict=True))]
    embedded = Embeddings(features, pids, camids, infrared.astype(np.uint8), np.array(names))
    return EmbeddedRows(embedded, np.arange(count))


@pytest.fixture
def evaluated_run(tmp_path: Path) -> MakeRun:
    """Make a run folder with one evaluation of two trials: ``evaluated_run(name, noise=…, recipe=…)``."""

    def make(
        name: str,
        noise: float = 1.0,
        recipe: Recipe | None = None,
        protocol: str = "all-single-seeded",
        data: str = "mark",
        measured: EmbeddedRows | None = None,
        queries: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> RunFolder:
        run = RunFolder(tmp_path / "runs" / name)
        files.write_text(run.recipe_file, dump(recipe or Recipe(name=name)))
        query, gallery = np.arange(30), np.arange(30, 60)
        plan = EvaluationPlan(
            protocol,
            queries or (query,) * 2,
            (gallery[:18], gallery[6:]),
            "sysu",
            True,
            {"dataset": "sysu", "cmc": "identities", "data": data, "source": "sysu"},
        )
        sides = [measured or made_up(noise)]
        evaluate_protocol(
            plan, sides, EvaluateOptions(), dict(plan.fingerprint), [], run.evaluation(protocol)
        )
        return run

    return make


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Stop once after n further steps of training, as a signal would: ``stop_after(n)``."""

    def arrange(steps: int) -> None:
        taken = itertools.count(1)

        @contextmanager
        def stopping(*, quiet: bool = False) -> Iterator[Callable[[], bool]]:
            yield lambda: next(taken) == steps

        monkeypatch.setattr(trainer, "stop_on_signals", stopping)

    return arrange
