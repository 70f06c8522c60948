"""Exported files in their runtimes: opening, latency and size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vireid_cli.engine.embed import load_trained
from vireid_cli.engine.export_subject import cpu_session
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.exporters import onnx, openvino, torch_program
from vireid_cli.exporters.verify import Runner, first_cause
from vireid_cli.results.export import read_export, records_in
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality, Size

BATCH = 8
"""Batch size of the second latency."""

REPEATS = 5
MEGABYTE = 1e6

RUNTIMES = {".onnx": "onnxruntime", ".xml": "OpenVINO", ".pt2": "PyTorch"}
"""Runtime of each file ending."""


@dataclass(frozen=True)
class Artifact:
    """An exported file, opened in its runtime on the CPU.

    Attributes:
        path: The file.
        runtime: Name of its runtime.
        run: Function of arrays of the inputs → arrays of the outputs.
        metadata: Metadata of the file; see ``exporters.program.description`` and ``export_subject``.
    """

    path: Path
    runtime: str
    run: Runner
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class ArtifactCost:
    """Latency and size of an exported file, or of the run's network in PyTorch.

    Attributes:
        name: File name, or ``PyTorch``.
        runtime: Name of the runtime.
        precision: Precision of the weights.
        megabytes: Size of the file with separate weights, in 10⁶ bytes.
        latency_ms_one_image: Median time of one image, in milliseconds.
        latency_ms_batch: Median time of a batch of ``BATCH`` images, in milliseconds.
        largest_difference: Largest absolute difference of an embedding's component from PyTorch.
        accuracy: Metrics before and after quantisation, as text; empty: not measured.
        failure: Reason why the file was not measured; empty if it was.
    """

    name: str
    runtime: str
    precision: str
    megabytes: float
    latency_ms_one_image: float | None = None
    latency_ms_batch: float | None = None
    largest_difference: float = 0.0
    accuracy: str = ""
    failure: str = field(default="")


def open_artifact(path: Path) -> Artifact:
    """Open an exported file.

    Args:
        path: ``.onnx``, ``.pt2`` (a program or a compiled package) or OpenVINO's ``.xml``.

    Raises:
        UsageError: The ending is another, or a package for the format is not installed.
        DataError: The file is damaged.
    """
    if path.suffix not in RUNTIMES:
        endings = ", ".join(RUNTIMES)
        raise UsageError(f"{path} is not an exported file.", f"Endings of exported files: {endings}")
    if not path.is_file():
        raise DataError(f"{path} does not exist.", "Export the run: vireid export onnx")
    if path.suffix == ".onnx":
        onnx.require_packages()
        run, metadata = _opened(path, onnx.open_onnx)
    elif path.suffix == ".xml":
        openvino.require_packages("fp16")
        run, metadata = _opened(path, openvino.open_openvino)
    elif torch_program.is_package(path):
        run, metadata = torch_program.open_package(path)
    else:
        run, metadata = torch_program.open_program(path)
    return Artifact(path, RUNTIMES[path.suffix], run, metadata)


def cost_of_artifacts(run: RunFolder, session: Session, folders: Sequence[Path] = ()) -> list[ArtifactCost]:
    """Measure latency and size of all exported files of a run, and of its network in PyTorch, on the CPU.

    Args:
        run: The run.
        session: Reporter and folders.
        folders: Folders of the exports; empty: ``exports`` in the run folder.

    Raises:
        UsageError: No folder has an export.
    """
    records = [path for folder in folders or (run.exports,) for path in records_in(folder)]
    if not records:
        raise UsageError(f"{run.folder} has no exported file.", f"Export it: {run.command('export', 'onnx')}")
    trained = load_trained(run, cpu_session(session))
    size = trained.recipe.data.image_size

    def embed(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Embed visible images by the network in PyTorch."""
        with torch.inference_mode():
            images = torch.from_numpy(arrays[0]).to(memory_format=torch.channels_last)
            return [trained.network.embed(images, Modality.VISIBLE).numpy()]

    one, batch = _latencies(embed, "split", False, size)
    weights = sum(t.numel() * t.element_size() for t in trained.network.state_dict().values())
    costs = [ArtifactCost("PyTorch", "PyTorch", "fp32", weights / MEGABYTE, one, batch)]
    for path in records:
        costs += _costs_of(path, size)
    return costs


def _costs_of(path: Path, size: Size) -> list[ArtifactCost]:
    """Measure the files of one record; files that can't be opened are listed with the reason."""
    record = read_export(path)
    names = [name for name in record.files if Path(name).suffix in RUNTIMES]
    costs = []
    for name in names:
        file = path.parent / name
        parts = [file, *(file.parent / other for other in record.files if _belongs(other, name))]
        common = {
            "name": name,
            "runtime": RUNTIMES[file.suffix],
            "precision": record.precision,
            "megabytes": sum(part.stat().st_size for part in parts) / MEGABYTE,
            "largest_difference": record.largest_difference,
            "accuracy": record.accuracy.describe() if record.accuracy else "",
        }
        try:
            one, batch = _latencies(open_artifact(file).run, record.layout, record.any_size, size)
        except (UsageError, DataError) as error:
            costs.append(ArtifactCost(**common, failure=error.message))  # type: ignore[arg-type]
            continue
        times = {"latency_ms_one_image": one, "latency_ms_batch": batch}
        costs.append(ArtifactCost(**common, **times))  # type: ignore[arg-type]
    return costs


def _belongs(other: str, name: str) -> bool:
    """Whether a file has the separate weights of another."""
    return other == f"{name}.data" or (other == f"{Path(name).stem}.bin" and name.endswith(".xml"))


def _latencies(run: Runner, layout: str, any_size: bool, size: Size) -> tuple[float, float]:
    """Median milliseconds of one image and of a batch; a joint file embeds both of its inputs."""
    medians = []
    for count in (1, BATCH):
        inputs = _inputs(layout, any_size, size, count)
        times = []
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            run(inputs)
            times.append(1000.0 * (time.perf_counter() - began))
        medians.append(statistics.median(times[1:]))  # without the warm-up
    return medians[0], medians[1]


def _inputs(layout: str, any_size: bool, size: Size, count: int) -> list[np.ndarray]:
    """Random inputs of a layout."""
    generator = np.random.default_rng(0)
    images: np.ndarray = generator.random((count, 3, *size), dtype=np.float32)
    if any_size:
        images = generator.integers(0, 256, (count, size[0] + 7, size[1] + 5, 3), dtype=np.uint8)
    if layout == "joint":
        return [images, images]
    return [images, np.arange(count) % 2] if layout == "single" else [images]


def _opened(path: Path, opener: object) -> tuple[Runner, dict[str, str]]:
    """Call an opener; raises ``DataError`` if the runtime rejects the file."""
    assert callable(opener)
    try:
        run, metadata = opener(path)
    except Exception as error:  # errors of runtimes have no common base class
        raise DataError(f"{path} can't be opened: {first_cause(error)}", "Export the run again.") from error
    return run, metadata
