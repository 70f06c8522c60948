"""Export of networks as programs of PyTorch: ``.pt2`` files, and packages compiled for this processor.

A program (``torch.export``) runs in PyTorch of the same version or later, on any device, without vireid. A
compiled package (AOTInductor) is machine code: it runs on processors of the same kind, without Python too.

Loading either file runs its content: open only files that you trust. ``open_program`` refuses pickled
objects, which a program of this module does not contain.
"""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from vireid_cli import documents, reading
from vireid_cli.errors import DataError, VireidError
from vireid_cli.exporters.program import Layout, Program, description, programs_of
from vireid_cli.exporters.verify import Runner, first_cause, quiet, verified_difference
from vireid_cli.folders import publish, staging
from vireid_cli.types import Modality, Resize

METADATA = "vireid.json"
"""Name of the metadata within a program; in a compiled package, key of its metadata."""

LOCAL_NOTES = ("stack_trace", "source_fn_stack", "from_node")
"""Notes of the exporter about this machine."""

HINT = "Export again: vireid export torch"


@dataclass(frozen=True)
class TorchExport:
    """Result of an export to PyTorch.

    Attributes:
        files: Paths of the files.
        largest_difference: Largest absolute difference of embedding values.
        images: Number of compared sample images.
    """

    files: tuple[Path, ...]
    largest_difference: float
    images: int


def export_torch(
    network: nn.Module,
    folder: Path,
    samples: Mapping[Modality, Tensor],
    *,
    layout: Layout = "single",
    preprocessing: Resize | None = None,
    compiled: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> TorchExport:
    """Export a network as programs; the files replace earlier ones only after a comparison with PyTorch.

    Args:
        network: Network with ``embed(images, modality) -> (N, D)`` for plain pixels. Not modified.
        folder: Target folder, created if missing.
        samples: (N, 3, H, W) float pixels in [0, 1] per modality. The files do not contain them.
        layout: ``single``, ``split`` or ``joint``; see ``exporters.program``.
        preprocessing: Resize rule of files that take uint8 images of any size.
        compiled: Write packages that are compiled for this processor, ``-aoti.pt2``.
        metadata: Additional metadata of the files.

    Raises:
        ValueError: Samples of a wrong shape, or a modality of the layout is missing.
        VireidError: The network cannot be traced or compiled, or differs by more than ``LIMIT``.
    """
    copied = copy.deepcopy(network).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    copied.requires_grad_(False)  # users of the file need no gradients
    programs = programs_of(copied, samples, layout, preprocessing)
    suffix, largest = "-aoti.pt2" if compiled else ".pt2", 0.0
    with staging(folder, "torch") as new, quiet(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        files = [new / f"{program.name}{suffix}" for program in programs]
        for program, file in zip(programs, files, strict=True):
            program.eval()
            about = json.dumps({**(metadata or {}), **description(program)}, sort_keys=True)
            exported = _export(program, file.name)
            if compiled:
                _compile(exported, file, about)
            else:
                torch.export.save(exported, file, extra_files={METADATA: about})
            start = partial(_start, file, compiled)
            largest = max(largest, verified_difference(program, start, file.name, "PyTorch"))
        paths = publish(files, folder)
    return TorchExport(paths, largest, sum(len(sample) for p in programs for sample in p.samples))


def _export(program: Program, name: str) -> ExportedProgram:
    """Trace a program; raises ``VireidError`` on failure."""
    names = {axis for axes in program.variable_axes() for axis in axes.values()}
    dims = {axis: Dim(axis, min=1) for axis in names}
    shapes = tuple({i: dims[axis] for i, axis in axes.items()} for axes in program.variable_axes())
    try:
        exported = torch.export.export(program, program.traced_inputs(), dynamic_shapes=(shapes,))
    except Exception as error:  # errors of the tracer have no common base class
        raise VireidError(
            f"{name}: this network cannot be exported: {first_cause(error)}",
            "Branches on pixel values can't be traced.",
        ) from error
    for module in exported.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for note in LOCAL_NOTES:
                    node.meta.pop(note, None)
    return exported


def _compile(exported: ExportedProgram, path: Path, metadata: str) -> None:
    """Compile a program to a package; raises ``VireidError`` on failure, such as a missing compiler."""
    from torch._inductor import aoti_compile_and_package

    options = {"aot_inductor.metadata": {METADATA: metadata}}
    try:
        aoti_compile_and_package(exported, package_path=str(path), inductor_configs=options)
    except Exception as error:  # errors of the compiler have no common base class
        raise VireidError(
            f"{path.name}: the program cannot be compiled: {first_cause(error)}",
            "A C++ compiler must be installed: apt-get install g++",
        ) from error


def _start(path: Path, compiled: bool) -> Runner:
    """Open a written file for its verification."""
    return (open_package if compiled else open_program)(path)[0]


def open_program(path: Path) -> tuple[Runner, dict[str, str]]:
    """Open a ``.pt2`` program on the CPU.

    Returns:
        Its function, and its metadata.

    Raises:
        DataError: The file is missing, damaged, contains pickled objects, or is not of this package.
    """
    content = reading.read_bytes(path, hint=HINT)
    _refuse_pickles(content, path)
    files = {METADATA: ""}
    try:
        module = torch.export.load(io.BytesIO(content), extra_files=files).module()
    except Exception as error:  # errors of the loader have no common base class
        raise DataError(f"{path} is not an exported program: {first_cause(error)}", HINT) from error
    return _runner(module), _metadata(files[METADATA], path)


def open_package(path: Path) -> tuple[Runner, dict[str, str]]:
    """Open a compiled package, as ``open_program``; it contains machine code."""
    from torch._inductor import aoti_load_package

    try:
        package = aoti_load_package(str(path))
        text = package.loader.get_metadata()[METADATA]
    except Exception as error:  # errors of the loader have no common base class
        raise DataError(f"{path} is not a compiled program: {first_cause(error)}", HINT) from error
    return _runner(package), _metadata(text, path)


def _metadata(content: str | bytes, path: Path) -> dict[str, str]:
    """Parse the metadata of a program, a mapping of texts.

    Raises:
        DataError: They have another form.
    """
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    metadata = documents.parse_json(text, f"{path}: {METADATA}", hint=HINT)
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise DataError(f"{path} is not a program of vireid: {METADATA} is no mapping of texts.", HINT)
    return metadata


def is_package(path: Path) -> bool:
    """Whether a ``.pt2`` file is a compiled package; False for files that are no archive."""
    return any("/data/aotinductor/" in name for name in reading.names_in_archive(path))


def _runner(module: Any) -> Runner:
    """Function of a loaded program or package."""

    def run(arrays: Any) -> list[Any]:
        """Compute the outputs of arrays, without gradients."""
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(array) for array in arrays))
        return [output.numpy() for output in outputs]

    return run


def _refuse_pickles(content: bytes, path: Path) -> None:
    """Raise ``DataError`` unless all tensors of a program are stored as plain bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            configs = [json.loads(archive.read(name)) for name in names if name.endswith("_config.json")]
            samples = [archive.read(name) for name in names if "/data/sample_inputs/" in name]
        pickled = any(entry["use_pickle"] for config in configs for entry in config["config"].values())
        for sample in samples:
            torch.load(io.BytesIO(sample), weights_only=True)
    except Exception as error:  # a damaged or crafted archive fails in many ways
        raise DataError(f"{path} is not an exported program: {first_cause(error)}", HINT) from error
    if pickled or not configs:
        raise DataError(
            f"{path} contains pickled objects, which could run any code; it was not loaded.", HINT
        )
