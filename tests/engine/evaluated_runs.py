"""Run folders of evaluations that nobody measured: made-up embeddings of 8 people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.arrays import save_arrays
from vireid_cli.results.run import RunFolder

PROTOCOL = "all-single-seeded"
COLUMNS = ("features", "pids", "camids", "modalities", "paths")


def evaluated(
    folder: Path, rows: np.ndarray, seed: int = 0, data: str = "abc", **columns: np.ndarray
) -> RunFolder:
    """A run that embedded some of 96 images of 8 people."""
    everything = np.arange(96)
    arrays: dict[str, np.ndarray] = {
        "features": np.random.default_rng(seed).normal(size=(96, 8)).astype(np.float32),
        "pids": everything % 8,
        "camids": np.where(everything < 48, 1, 3),
        "modalities": (everything >= 48).astype(np.uint8),
        "paths": np.array([f"{i % 7}/{i:04d}.jpg" for i in everything]),
        **columns,
    }
    place = folder / "evaluation" / PROTOCOL
    place.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("paper: none\n")
    save_arrays(place / "embeddings.npz", **{name: arrays[name][rows] for name in COLUMNS})
    content = {
        "version": 2, "protocol": PROTOCOL, "fingerprint": {"source": "sysu", "data": data},
        "trials": 1, "queries": 1, "valid_queries": 1, "gallery": 1, "metrics": {}, "interval": "",
        "cmc": [], "per_trial": {}, "chance": {}, "variants": [], "reported": [],
    }  # fmt: skip
    (place / "metrics.json").write_text(json.dumps(content))
    return RunFolder(folder)
