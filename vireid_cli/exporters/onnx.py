"""Export of networks to ONNX files with plain pixels as input, verified in onnxruntime before release.

Requires the packages of the extra ``export``. A file is self-contained: it includes the normalisation and,
for methods with a spectral transform, the transform. Transforms are matrix products, which onnxruntime
computes many times faster than ``DFT`` nodes; a network with ``DFT`` nodes is rejected.
"""

from __future__ import annotations

import copy
import importlib
import io
import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.errors import MissingExtra, VireidError
from vireid_cli.exporters.onnx_file import FileLayout, OnnxFile, files_of
from vireid_cli.files import write_error
from vireid_cli.types import Modality
from vireid_cli.unfinished import unfinished_folder

LIMIT = 1e-4
"""Maximum absolute difference of embedding values between PyTorch and onnxruntime."""

OPSET = 18
"""Opset of PyTorch's translations; later opsets are converted from it."""

INLINE_BYTES = 1_900_000_000
"""Maximum size of weights stored inside the file; protocol buffers are limited to 2 GB."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
REFUSED = frozenset({"DFT", "STFT"})
CHECKED_BATCHES = (1, 2, 5)
"""Batch sizes tested with every file; two inputs are tested with different sizes."""


@dataclass(frozen=True)
class OnnxExport:
    """Result of an export: written files and their difference from PyTorch.

    Attributes:
        files: Paths of the files; weights above 1.9 GB are in a separate ``.data`` file.
        largest_difference: Largest absolute difference of embedding values.
        images: Number of compared sample images.
        opset: Version of the operators.
        nodes: Number of nodes per operator, over all files.
    """

    files: tuple[Path, ...]
    largest_difference: float
    images: int
    opset: int
    nodes: dict[str, int]


def require_packages() -> None:
    """Raise ``MissingExtra`` if a package of the extra ``export`` is not installed."""
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtra(package, "export", "The export to ONNX") from error


def export_onnx(
    network: nn.Module,
    folder: Path,
    samples: Mapping[Modality, Tensor],
    *,
    layout: FileLayout = "split",
    opset: int = OPSET,
    metadata: Mapping[str, str] | None = None,
) -> OnnxExport:
    """Export a network to ONNX; the files replace earlier ones only after a comparison with PyTorch.

    ``split`` writes ``visible.onnx`` and ``infrared.onnx`` (input ``images``, output ``embedding``)
    for the modalities in ``samples``; ``joint`` writes ``embed.onnx`` (inputs ``visible`` and
    ``infrared``, outputs ``visible_embedding`` and ``infrared_embedding``), which stores shared
    weights once. The batch size of each input is variable; height and width are those of the samples.

    Args:
        network: Network with ``embed(images, modality) -> (N, D)`` for plain pixels. Not modified: the
            export uses a copy in evaluation mode, on the CPU, in float32.
        folder: Target folder, created if missing. Files of an earlier export are replaced.
        samples: (N, 3, H, W) float pixels in [0, 1] per modality, N ≥ 1, with equal H and W. Use real
            images, since the comparison depends on them.
        layout: ``split`` or ``joint``.
        opset: Version of the operators, 18 or later.
        metadata: Additional metadata of the files.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
        ValueError: Samples of a wrong shape, or a modality of the layout is missing.
        VireidError: The network cannot be traced, contains a Fourier node, has a fixed batch size, or
            differs by more than ``LIMIT``; an earlier export in the folder then stays unchanged.
    """
    require_packages()
    copied = copy.deepcopy(network).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    files = files_of(copied, samples, layout)
    nodes, largest = Counter[str](), 0.0
    with temporary_folder(folder) as new, _quiet(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        for file in files:
            file.eval()
            nodes += translate(file, new / file.name, opset, dict(metadata or {}))
            largest = max(largest, difference(file, new / file.name))
        paths = _publish(new, folder, [file.name for file in files])
    compared = sum(len(sample) for file in files for sample in file.samples)
    return OnnxExport(paths, largest, compared, opset, dict(sorted(nodes.items())))


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Create a temporary folder within ``folder``; raises ``VireidError`` on failure."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(folder, "onnx") as place:
            yield place
    except OSError as error:
        raise write_error(folder, error) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress output, logs and warnings of the exporter and the tracer; errors are still raised."""
    disabled, chatter = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(chatter), redirect_stderr(chatter), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(disabled)


def translate(file: OnnxFile, path: Path, opset: int, metadata: dict[str, str]) -> Counter[str]:
    """Write one file and count its nodes.

    Raises ``VireidError`` if the network cannot be traced or contains a node of ``REFUSED``.
    """
    # Batches of 2 and 3: the tracer treats 1 as a constant, and two equal sizes as one dimension.
    traced = tuple(s[torch.arange(2 + i) % len(s)] for i, s in enumerate(file.samples))
    try:
        program = torch.onnx.export(
            file,
            traced,
            dynamo=True,
            input_names=file.inputs,
            output_names=file.outputs,
            dynamic_shapes=(tuple({0: name} for name in file.batches),),
            opset_version=opset,
            optimize=True,
            verbose=False,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise VireidError(
            f"{file.name}: this network cannot be exported: {_first_cause(error)}",
            "Branches on pixel values and complex numbers have no ONNX form.",
        ) from error
    assert program is not None  # None only if a file name is passed
    nodes = Counter(node.op_type for node in program.model.graph.all_nodes())
    if refused := REFUSED & set(nodes):
        raise VireidError(
            f"{file.name} would contain {', '.join(f'{nodes[n]} {n} nodes' for n in sorted(refused))}.",
            "Use the transforms of vireid_cli.frequency, which export as matrix products, not torch.fft.",
        )
    _label(program.model, file, metadata)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in file.state_dict().values())
    program.save(path, external_data=weights > INLINE_BYTES)
    return nodes


def _label(model: Any, file: OnnxFile, metadata: dict[str, str]) -> None:
    """Add the metadata of the file and remove the exporter's notes about this machine."""
    graph, nodes = model.graph, list(model.graph.all_nodes())
    values = [*graph.inputs, *graph.initializers.values(), *(v for n in nodes for v in n.outputs)]
    for item in (model, graph, *nodes, *values):
        item.metadata_props.clear()  # stack traces with local paths
        item.doc_string = None
    height, width = file.samples[0].shape[2:]
    model.metadata_props.update(
        metadata,
        modality=", ".join(m.value for m in file.modalities),
        size=f"{height}x{width}",
        pixels="float32 in [0, 1], RGB, NCHW, not normalised",
        embedding="compare by cosine similarity",
    )


def difference(file: OnnxFile, path: Path) -> float:
    """Largest absolute difference between onnxruntime on a file and PyTorch.

    Compares all images, in batches of 1, 2, 5 and up to 32; both sides process identical batches. Raises
    ``VireidError`` if onnxruntime rejects the file or a batch, or if the difference exceeds ``LIMIT``.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal only; exceptions are reported below
    largest = 0.0
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for rows in _batches([len(sample) for sample in file.samples]):
            images = [sample[row] for sample, row in zip(file.samples, rows, strict=True)]
            feed = {name: batch.numpy() for name, batch in zip(file.inputs, images, strict=True)}
            outputs = session.run(file.outputs, feed)
            for a, b in zip(file(*images), outputs, strict=True):
                gap = (a.double() - torch.from_numpy(b).double()).abs().max()
                largest = max(largest, inf if gap.isnan() else float(gap))
    except Exception as error:  # onnxruntime's errors have no common base class
        raise VireidError(
            f"{file.name} does not run in onnxruntime: {_first_cause(error)}",
            "The usual cause is a fixed batch size in the network. No file was written.",
        ) from error
    if not largest <= LIMIT:
        deviation = "NaN or infinity" if largest == inf else f"{largest:.3g}"
        raise VireidError(
            f"{file.name} differs from PyTorch's embeddings by {deviation}; the limit is {LIMIT:g}. "
            "No file was written.",
            "Check the network for random operations, export-dependent code and NaN weights.",
        )
    return largest


def _batches(counts: list[int]) -> list[tuple[Tensor, ...]]:
    """List the sample rows of each test batch: one tensor per input, of different sizes."""
    sizes = [[CHECKED_BATCHES[(i + j) % 3] for j in range(len(counts))] for i in range(3)]
    runs = [tuple(torch.arange(n) % count for n, count in zip(row, counts, strict=True)) for row in sizes]
    chunks = [torch.arange(count).split(32) for count in counts]
    for i in range(max(len(chunk) for chunk in chunks)):
        runs.append(tuple(chunk[min(i, len(chunk) - 1)] for chunk in chunks))
    return runs


def _publish(source: Path, folder: Path, names: list[str]) -> tuple[Path, ...]:
    """Move verified files to the target folder, separate weights before their file."""
    paths = [path for name in names for path in (*sorted(source.glob(f"{name}.*")), source / name)]
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    return tuple(path.replace(folder / path.name) for path in paths)


def _first_cause(error: BaseException) -> str:
    """Return the first two lines of the original error of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__
