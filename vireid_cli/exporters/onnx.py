"""Networks as ONNX files that take plain pixels, checked in onnxruntime before they are put in place.

Needs the packages of the extra ``export``. A file is self-contained: the normalisation and, for methods
that have one, the spectral transform are inside of it. A transform is made of matrix products, which
onnxruntime computes many times faster than ``DFT`` nodes; these are refused.
"""

from __future__ import annotations

import copy
import importlib
import io
import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vireid_cli.errors import MissingExtra, VireidError
from vireid_cli.types import Modality
from vireid_cli.unfinished import unfinished_folder

LIMIT = 1e-4
"""Largest absolute difference of an embedding's number between PyTorch and onnxruntime."""

OPSET = 18
"""The opset that PyTorch's translations are written in; a later one is converted from it."""

INLINE_BYTES = 1_900_000_000
"""Weights up to this size lie inside the file; protocol buffers end at 2 GB."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
REFUSED = frozenset({"DFT", "STFT"})
CHECKED_BATCHES = (1, 2, 5)
"""Batch sizes that every file must take; two inputs get different ones."""

FileLayout = Literal["split", "joint"]


@dataclass(frozen=True)
class OnnxExport:
    """What was written and how near it is to PyTorch.

    Attributes:
        files: The files, in place; above 1.9 GB the weights lie beside each, in a ``.data`` file.
        largest_difference: Largest absolute difference of a number of an embedding.
        images: Sample images that were compared.
        opset: Version of the operators.
        nodes: Number of nodes by operator, over all files.
    """

    files: tuple[Path, ...]
    largest_difference: float
    images: int
    opset: int
    nodes: dict[str, int]


class _File(nn.Module):
    """One file to be: the paths through a network that it holds, and the samples that they are run on.

    Args:
        name: The file's name.
        network: Shared by all files.
        samples: (N, 3, H, W) for each modality that the file takes.
    """

    def __init__(self, name: str, network: nn.Module, samples: Mapping[Modality, Tensor]) -> None:
        super().__init__()
        self.name, self.network = name, network
        self.modalities, self.samples = tuple(samples), tuple(samples.values())
        self.inputs, self.outputs, self.batches = ["images"], ["embedding"], ["batch"]
        if len(samples) > 1:
            self.inputs = [m.value for m in samples]
            self.outputs = [f"{m.value}_embedding" for m in samples]
            self.batches = [f"{m.value}_batch" for m in samples]

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Embed pixels, (N, 3, H, W) for each input, as (N, D) each."""
        embed: Callable[[Tensor, Modality], Tensor] = self.network.embed  # type: ignore[assignment]
        return tuple(embed(pixels, m) for pixels, m in zip(images, self.modalities, strict=True))


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
    """Write a network as ONNX, compare it with PyTorch in onnxruntime, and only then put it in place.

    ``split`` writes ``visible.onnx`` and ``infrared.onnx`` (input ``images``, output ``embedding``)
    for the modalities in ``samples``; ``joint`` writes ``embed.onnx`` (inputs ``visible`` and
    ``infrared``, outputs ``visible_embedding`` and ``infrared_embedding``), which stores shared
    weights once. The batch is free, for each input by itself; height and width are the samples'.

    Args:
        network: Has ``embed(images, modality) -> (N, D)`` on plain pixels. It is not changed: a copy
            in evaluation mode, on the CPU, in float32 is exported.
        folder: Where the files go; it is made. Files of an earlier export are replaced.
        samples: (N, 3, H, W) float pixels in [0, 1] for each modality, N ≥ 1, the same H and W;
            real images, since the comparison is as good as they are.
        layout: ``split`` or ``joint``.
        opset: Version of the operators, 18 or later.
        metadata: Written into the files beside what they say of themselves.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
        ValueError: Samples of a wrong shape, or a modality that the layout needs is missing.
        VireidError: The network can't be traced, holds a Fourier node, has a fixed batch, or differs
            by more than ``LIMIT``; an earlier export in the folder is then still there, untouched.
    """
    require_packages()
    copied = copy.deepcopy(network).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    files = _files(copied, samples, layout)
    nodes, largest = Counter[str](), 0.0
    with _workplace(folder) as made, _quiet(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        for file in files:
            file.eval()
            nodes += _translate(file, made / file.name, opset, dict(metadata or {}))
            largest = max(largest, _difference(file, made / file.name))
        paths = _put_in_place(made, folder, [file.name for file in files])
    compared = sum(len(sample) for file in files for sample in file.samples)
    return OnnxExport(paths, largest, compared, opset, dict(sorted(nodes.items())))


def _files(network: nn.Module, samples: Mapping[Modality, Tensor], layout: FileLayout) -> list[_File]:
    """The files of a layout, visible before infrared."""
    pixels = {m: _checked(m, samples[m]) for m in Modality if m in samples}
    if len({images.shape[2:] for images in pixels.values()}) != 1:
        raise ValueError("samples are missing, or differ between the modalities in height or width")
    if layout == "split":
        return [_File(f"{m.value}.onnx", network, {m: images}) for m, images in pixels.items()]
    if len(pixels) < len(Modality):
        raise ValueError("the joint layout needs samples of both modalities")
    return [_File("embed.onnx", network, pixels)]


def _checked(modality: Modality, images: Tensor) -> Tensor:
    """Sample pixels on the CPU in float32; ``ValueError`` unless (N, 3, H, W) in [0, 1]."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape or not images.is_floating_point():
        raise ValueError(f"{modality.value}: expected float (N, 3, H, W), not {images.dtype} {shape}")
    pixels = images.detach().to("cpu", torch.float32).contiguous()
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ValueError(f"{modality.value}: pixels outside of [0, 1]")
    return pixels


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder within ``folder`` that vanishes afterwards; ``VireidError`` where none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(folder, "onnx") as place:
            yield place
    except OSError as error:
        raise VireidError(f"cannot write to {folder}: {error.strerror or error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Swallow what the exporter and the tracer print, log and warn of; what matters is raised."""
    disabled, chatter = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(chatter), redirect_stderr(chatter), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(disabled)


def _translate(file: _File, path: Path, opset: int, metadata: dict[str, str]) -> Counter[str]:
    """Write one file and count its nodes.

    Raises ``VireidError`` where the network can't be traced or one of ``REFUSED`` is among the nodes.
    """
    # With batches of 2 and 3: 1 would be taken for a constant, two equal ones for the same number.
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
            f"{file.name}: this network can't be exported: {_first_cause(error)}",
            "Branches on pixel values and complex numbers have no ONNX form.",
        ) from error
    assert program is not None  # it is only where a file's name was given
    nodes = Counter(node.op_type for node in program.model.graph.all_nodes())
    if refused := REFUSED & set(nodes):
        raise VireidError(
            f"{file.name} would hold {', '.join(f'{nodes[n]} {n} nodes' for n in sorted(refused))}: refused.",
            "Use the transforms of vireid_cli.frequency, which export as matrix products, not torch.fft.",
        )
    _label(program.model, file, metadata)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in file.state_dict().values())
    program.save(path, external_data=weights > INLINE_BYTES)
    return nodes


def _label(model: Any, file: _File, metadata: dict[str, str]) -> None:
    """Write what the file is into it and take out what the exporter noted of this machine."""
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


def _difference(file: _File, path: Path) -> float:
    """Largest absolute difference between onnxruntime on a file and PyTorch.

    Each image is compared, in batches of 1, 2, 5 and of up to 32; the same batch goes to both sides.
    Raises ``VireidError`` where onnxruntime refuses the file or a batch, or differs above ``LIMIT``.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal; what it raises is reported below
    largest = 0.0
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for rows in _batches([len(sample) for sample in file.samples]):
            images = [sample[row] for sample, row in zip(file.samples, rows, strict=True)]
            feed = {name: batch.numpy() for name, batch in zip(file.inputs, images, strict=True)}
            theirs = session.run(file.outputs, feed)
            for a, b in zip(file(*images), theirs, strict=True):
                difference = (a.double() - torch.from_numpy(b).double()).abs().max()
                largest = max(largest, inf if difference.isnan() else float(difference))
    except Exception as error:  # onnxruntime's errors have no common parent of their own
        raise VireidError(
            f"{file.name} does not run in onnxruntime: {_first_cause(error)}",
            "A batch size that the network fixes is the usual cause. Nothing was written.",
        ) from error
    if not largest <= LIMIT:
        how_far = "infinitely far" if largest == inf else f"up to {largest:.3g} away"
        raise VireidError(
            f"{file.name} is {how_far} from PyTorch's embeddings; {LIMIT:g} is allowed. Nothing was written.",
            "The network draws at random, exports another path than it runs, or has damaged weights.",
        )
    return largest


def _batches(counts: list[int]) -> list[tuple[Tensor, ...]]:
    """Rows of the samples that are run together: one tensor an input, sizes differing between inputs."""
    sizes = [[CHECKED_BATCHES[(i + j) % 3] for j in range(len(counts))] for i in range(3)]
    runs = [tuple(torch.arange(n) % count for n, count in zip(row, counts, strict=True)) for row in sizes]
    chunks = [torch.arange(count).split(32) for count in counts]
    for i in range(max(len(chunk) for chunk in chunks)):
        runs.append(tuple(chunk[min(i, len(chunk) - 1)] for chunk in chunks))
    return runs


def _put_in_place(made: Path, folder: Path, names: list[str]) -> tuple[Path, ...]:
    """Move checked files to where they belong, weights that lie beside a file before that file."""
    paths = [path for name in names for path in (*sorted(made.glob(f"{name}.*")), made / name)]
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    return tuple(path.replace(folder / path.name) for path in paths)


def _first_cause(error: BaseException) -> str:
    """The first two lines of the error that started a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__
