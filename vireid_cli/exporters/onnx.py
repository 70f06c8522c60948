"""Export of networks to ONNX files with plain pixels as input, verified in onnxruntime before release.

Requires the packages of the extra ``export``. A file is self-contained: it includes the normalisation and,
for methods with a spectral transform, the transform. Transforms are matrix products, which onnxruntime
computes many times faster than ``DFT`` nodes; a network with ``DFT`` nodes is rejected.
"""

from __future__ import annotations

import copy
import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.errors import MissingExtra, VireidError
from vireid_cli.exporters.program import Layout, Program, description, programs_of
from vireid_cli.exporters.verify import Runner, first_cause, quiet, verified_difference
from vireid_cli.folders import publish, staging
from vireid_cli.types import Modality, Resize

OPSET = 18
"""Opset of PyTorch's translations; later opsets are converted from it."""

INLINE_BYTES = 1_900_000_000
"""Maximum size of weights stored inside the file; protocol buffers are limited to 2 GB."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
REFUSED = frozenset({"DFT", "STFT"})


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
    layout: Layout = "split",
    preprocessing: Resize | None = None,
    opset: int = OPSET,
    metadata: Mapping[str, str] | None = None,
) -> OnnxExport:
    """Export a network to ONNX; the files replace earlier ones only after a comparison with PyTorch.

    ``single`` writes ``model.onnx``; ``split`` writes ``visible.onnx`` and ``infrared.onnx`` for the
    modalities in ``samples``; ``joint`` writes ``embed.onnx``. Names with preprocessing end in
    ``-any-size.onnx``. See ``exporters.program`` for inputs and outputs. The batch size of each input is
    variable; without preprocessing, height and width are those of the samples.

    Args:
        network: Network with ``embed(images, modality) -> (N, D)`` for plain pixels. Not modified: the
            export uses a copy in evaluation mode, on the CPU, in float32.
        folder: Target folder, created if missing. Files of an earlier export are replaced.
        samples: (N, 3, H, W) float pixels in [0, 1] per modality, N ≥ 1, with equal H and W. Use real
            images, since the comparison depends on them.
        layout: ``single``, ``split`` or ``joint``.
        preprocessing: Resize rule of files that take uint8 images of any size.
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
    programs = programs_of(copied, samples, layout, preprocessing)
    nodes, largest = Counter[str](), 0.0
    with staging(folder, "onnx") as new, quiet(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        files = [new / f"{program.name}.onnx" for program in programs]
        for program, file in zip(programs, files, strict=True):
            program.eval()
            nodes += translate(program, file, opset, dict(metadata or {}))
            largest = max(largest, difference(program, file))
        paths = publish([part for file in files for part in _parts(new, file.name)], folder)
    compared = sum(len(sample) for program in programs for sample in program.samples)
    return OnnxExport(paths, largest, compared, opset, dict(sorted(nodes.items())))


def translate(module: Program, path: Path, opset: int, metadata: dict[str, str]) -> Counter[str]:
    """Write one file and count its nodes.

    Raises ``VireidError`` if the network cannot be traced or contains a node of ``REFUSED``.
    """
    try:
        program = torch.onnx.export(
            module,
            module.traced_inputs(),
            dynamo=True,
            input_names=module.inputs,
            output_names=module.outputs,
            dynamic_shapes=(module.variable_axes(),),
            opset_version=opset,
            optimize=True,
            verbose=False,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise VireidError(
            f"{path.name}: this network cannot be exported: {first_cause(error)}",
            "Branches on pixel values and complex numbers have no ONNX form.",
        ) from error
    assert program is not None  # None only if a file name is passed
    nodes = Counter(node.op_type for node in program.model.graph.all_nodes())
    if refused := REFUSED & set(nodes):
        raise VireidError(
            f"{path.name} would contain {', '.join(f'{nodes[n]} {n} nodes' for n in sorted(refused))}.",
            "Use the transforms of vireid_cli.frequency, which export as matrix products, not torch.fft.",
        )
    _label(program.model, metadata | description(module))
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    program.save(path, external_data=weights > INLINE_BYTES)
    return nodes


def _label(model: Any, metadata: dict[str, str]) -> None:
    """Add the metadata of the file and remove the exporter's notes about this machine."""
    graph, nodes = model.graph, list(model.graph.all_nodes())
    values = [*graph.inputs, *graph.initializers.values(), *(v for n in nodes for v in n.outputs)]
    for item in (model, graph, *nodes, *values):
        item.metadata_props.clear()  # stack traces with local paths
        item.doc_string = None
    model.metadata_props.update(metadata)


def difference(program: Program, path: Path) -> float:
    """Largest difference between onnxruntime on a file and PyTorch; raises as ``verified_difference``."""
    return verified_difference(program, lambda: runner(path), path.name, "onnxruntime")


def runner(path: Path) -> Runner:
    """Open a file in onnxruntime, on the CPU."""
    return open_onnx(path)[0]


def open_onnx(path: Path, threads: int = 0) -> tuple[Runner, dict[str, str]]:
    """Open a file in onnxruntime, on the CPU: its function, and its metadata.

    Args:
        path: Path of the file.
        threads: Threads of a call; 0: one per processor core.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal only; exceptions are reported by the caller
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True))), metadata


def _parts(folder: Path, name: str) -> list[Path]:
    """Files of a program: separate weights before the file itself."""
    return [*sorted(folder.glob(f"{name}.*")), folder / name]
