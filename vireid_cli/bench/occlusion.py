"""Speed of ``prepare occluded``, in total and by stage."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data.decode import Decoder
from vireid_cli.engine.occlusion import base_of, ensure_library, people_of
from vireid_cli.engine.session import Session
from vireid_cli.occlusion.build import build_occluded
from vireid_cli.occlusion.compose import Composer, file_stream
from vireid_cli.occlusion.image import encode
from vireid_cli.occlusion.library import Library
from vireid_cli.occlusion.mark import OcclusionOptions
from vireid_cli.occlusion.policy import Policy, pool_of, preset, scene_of
from vireid_cli.processors import cores
from vireid_cli.types import RecordTable


def occlude(session: Session, *, dataset: str, images: int, workers: int | None) -> dict[str, Any]:
    """Measure images per second of an occluded tree with an occluder in every image, and the stages' times.

    Args:
        session: Session with the data directory.
        dataset: Dataset to occlude.
        images: Number of images, drawn at random.
        workers: Number of processes; None for one per processor.
    """
    root, _ = base_of(dataset, session)
    records = people_of(dataset, root)
    chosen = np.random.default_rng(0).permutation(len(records))[:images]
    selected = records.take(np.sort(chosen))
    library = ensure_library(None, session)
    processes = workers or cores()
    decoder = Decoder()
    values: dict[str, Any] = {"images": len(selected), "dataset": dataset, "workers": processes}
    options = OcclusionOptions(dataset, "occ-all", preset("occ-all"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        tree = Path(folder) / "tree"
        build_occluded(selected, root, tree, library, options, decoder.decode, workers=processes)
        values["images_per_second"] = len(selected) / (time.perf_counter() - start)
    return values | _stages(selected, root, library, dataset)


def _stages(records: RecordTable, root: Path, library: Library, dataset: str) -> dict[str, float]:
    """Measure the milliseconds per image of each stage, in one thread."""
    composer, decoder = Composer(library, Policy()), Decoder()
    spent = {"read_decode_ms": 0.0, "occlude_ms": 0.0, "encode_ms": 0.0}
    height = width = 0
    rows = [records.row(i) for i in range(min(64, len(records)))]
    for record in rows:
        start = time.perf_counter()
        pixels = decoder.decode((root / record.path).read_bytes(), record.modality)
        decoded = time.perf_counter()
        rng = file_stream(0, dataset, record.split, record.path)
        scene = scene_of(dataset, record.camid)
        pool = pool_of(record.split)
        covered, _ = composer.occlude(pixels, record.modality, scene, pool, rng)
        placed = time.perf_counter()
        encode(covered, ".jpg", 95)
        spent["read_decode_ms"] += decoded - start
        spent["occlude_ms"] += placed - decoded
        spent["encode_ms"] += time.perf_counter() - placed
        height, width = height + pixels.shape[0], width + pixels.shape[1]
    means = {name: 1000 * value / len(rows) for name, value in spent.items()}
    return means | {"mean_height": height / len(rows), "mean_width": width / len(rows)}
