"""Synthetic data and evaluated runs of SYSU-MM01's size, for timing figures.

The tree has as many test images in each camera as the real one (6,775 visible, 3,803 infrared), and a
gallery of 301; few pictures are rendered, and each stands for many images.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from vireid_cli.data import protocols
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.sources.sysu import EXPECTED_IMAGES
from vireid_cli.data.store import open_store
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.evaluate.result import EvaluateOptions, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import EmbeddedRows
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, RecordTable

PEOPLE = {1: 49, 2: 60, 3: 96, 4: 96, 5: 96, 6: 96}
"""Test identities per camera: 301 visible images in the single-shot gallery."""

TRAINED = range(101, 109)
SIZE = (288, 144)
STEPS = 8000
"""Logged steps, of 80 epochs."""


def made_data(folder: Path) -> Engine:
    """Create the dataset tree, its prepared store and an engine; existing files are reused."""
    engine = Engine.choose("cpu", data_dir=folder / "data", runs_dir=folder / "runs")
    root = engine.session.data_dir / "SYSU-MM01"
    if not root.is_dir():
        options = RenderOptions(ids=8, images=4, size=SIZE)
        source = engine.synthesize(options, root=folder / "rendered").root
        _fill(root.with_name("filling"), source)
        root.with_name("filling").rename(root)
    engine.prepare("sysu", SIZE)
    return engine


def _fill(root: Path, source: Path) -> None:
    """Create the images of as many people as the dataset has."""
    shutil.rmtree(root, ignore_errors=True)
    for camid, people in PEOPLE.items():
        pictures = sorted((source / f"cam{camid}").rglob("*.jpg"))
        shares = np.array_split(np.arange(EXPECTED_IMAGES["test"][camid - 1]), people)
        images = {pid: len(share) for pid, share in enumerate(shares, start=1)}
        for pid, count in {**images, **dict.fromkeys(TRAINED, 4), 109: 4}.items():
            place = root / f"cam{camid}" / f"{pid:04d}"
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i + 1:04d}.jpg").hardlink_to(pictures[(5 * pid + i) % len(pictures)])
    (root / "exp").mkdir()
    for split, pids in {"train": TRAINED, "val": [109], "test": range(1, 97)}.items():
        (root / "exp" / f"{split}_id.txt").write_text(",".join(map(str, pids)))


def made_run(engine: Engine, recipe: str, width: int, seed: int) -> RunFolder:
    """Create a run of one epoch with a synthetic log and ``width``-D embeddings.

    Args:
        engine: Of ``made_data``.
        recipe: By name; without ImageNet's weights.
        width: D.
        seed: Of training and embeddings; names the run with the recipe.
    """
    run = RunFolder(engine.session.runs_dir / f"{recipe}-{seed}")
    if run.folder.is_dir():
        return run
    settings = ["backbone.weights=none", "train.epochs=1", "train.steps_per_epoch=1", f"train.seed={seed}"]
    # a sweep needs a key that varies
    settings.append(f"train.log_every={10 + seed}")
    small = ["data.size=[288,144]", "data.sampler.identities=2", "data.sampler.images=2"]
    trained = engine.train(recipe, [*settings, *small])
    _log(trained.folder / "train.jsonl", seed)
    store = open_store(engine.session.data_dir, "sysu")
    plans = protocols.plans_for(store, Request(modes=("all",)))
    rows = np.unique(np.concatenate([plan.rows for plan in plans]))
    embedded = EmbeddedRows(_embeddings(store.records.take(rows), width, seed).to_float64(), rows)
    about = {"source": "sysu", "data": store.info.fingerprint[:12], "embedding": f"made up, {width}"}
    for plan in plans:
        evaluate_protocol(
            plan,
            [embedded],
            EvaluateOptions(breakdown=True),
            {**plan.fingerprint, **about},
            [],
            trained.evaluation(plan.name),
        )
    trained.folder.rename(run.folder)
    return run


def _embeddings(table: RecordTable, width: int, seed: int) -> Embeddings:
    """Create features from a direction per person, a direction per camera and noise; people overlap."""
    random = np.random.default_rng(seed)
    people, cameras = random.normal(size=(128, width)), random.normal(size=(7, width))
    features = random.normal(size=(len(table), width)).astype(np.float32)
    features += 0.5 * people[table.pids] + 0.5 * cameras[table.camids]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return Embeddings(features, table.pids, table.camids, table.modalities, table.paths)


def _log(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    noise = random.random((STEPS, 3))
    with path.open("w") as file:
        for i in range(STEPS):
            losses = {f"term {j}": (j + noise[i, j]) * 300 / (300 + i) for j in range(3)}
            step = {"kind": "step", "epoch": i // 100, "step": i % 100, "global_step": i + 1, "lr": 0.1}
            file.write(json.dumps({**step, "loss": sum(losses.values()), "losses": losses}) + "\n")
            if i % 100 == 99:
                val = {"rank1": i / STEPS, "mAP": 0.9 * i / STEPS, "mINP": 0.5 * i / STEPS}
                epoch = {"kind": "epoch", "epoch": i // 100, "steps": 100, "global_step": i + 1, "lr": 0.1}
                total = {"loss": sum(losses.values()), "losses": losses, "val": val}
                file.write(json.dumps({**epoch, **total}) + "\n")
