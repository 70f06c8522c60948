"""A prepared store, and run folders with made-up embeddings of its test people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vireid_cli import files
from vireid_cli.data import protocols
from vireid_cli.data.identity import describe, marks
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.store import Store
from vireid_cli.engine.evaluate.result import EvaluateOptions, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import EmbeddedRows
from vireid_cli.engine.prepare import prepare_dataset
from vireid_cli.engine.session import Session
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder, append_row
from vireid_cli.types import Embeddings

SIZE = (64, 32)


@pytest.fixture(scope="module")
def store(sysu_tree: Path) -> Store:
    return prepare_dataset("sysu", Session.choose("cpu", data_dir=sysu_tree), SIZE, workers=1).store


@pytest.fixture
def evaluated(store: Store, tmp_path: Path) -> Callable[..., RunFolder]:
    """Make a run folder with a direction per person plus noise as embeddings: ``evaluated(name, noise)``."""

    def make(
        name: str, noise: float = 0.5, trials: int = 2, mode: str = "all", precision: str = "fp32"
    ) -> RunFolder:
        run = RunFolder(tmp_path / "runs" / name)
        recipe = Recipe.model_validate(
            {
                "name": name,
                "data": {"dataset": "sysu", "size": list(SIZE)},
                "backbone": {"name": "resnet18", "weights": "none", "width": 16},
                "method": {"name": "baseline"},
            }
        )
        files.write_text(run.recipe_file, dump(recipe))
        environment = {
            "version": 1, "device": "a machine", "num_identities": 6, "data": describe(store),
            "parameters": 1, "weights": "none", "precision": precision,
        }  # fmt: skip
        files.write_json(run.folder / schema.ENVIRONMENT, environment)
        for i in range(5):
            row = {"kind": "step", "epoch": 0, "step": i, "global_step": i, "lr": 0.1, "loss": 2.0 / (i + 1)}
            append_row(run.log, {**row, "losses": {"identity": 2.0 / (i + 1)}})
        request = Request(modes=(mode,), shots=(1,), trials=trials)  # type: ignore[arg-type]
        [plan] = protocols.plans_for(store, request)
        table, rows = store.records, plan.rows
        random = np.random.default_rng(0)
        features = random.standard_normal((100, 8))[table.pids[rows]]
        features += noise * random.standard_normal(features.shape)
        features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
        columns = (table.pids[rows], table.camids[rows], table.modalities[rows], table.paths[rows])
        measured = EmbeddedRows(Embeddings(features.astype(np.float64), *columns), rows)
        about = {**plan.fingerprint, **marks(store), "source": "sysu", "method": "baseline"}
        about["precision"] = precision
        reported = [{"source": "Table 1", "rank1": 54.1}]
        evaluate_protocol(plan, [measured], EvaluateOptions(), about, reported, run.evaluation(plan.name))
        return run

    return make
