"""Conversion of verified ONNX files to OpenVINO: weights in float16, or 8-bit integers calibrated by NNCF.

Requires the packages of the extra ``openvino``. Nothing is sent over the network: NNCF's usage statistics are
switched off.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vireid_cli.errors import MissingExtra
from vireid_cli.exporters.verify import Runner, quiet

OpenvinoPrecision = Literal["fp16", "int8"]

PACKAGES: dict[OpenvinoPrecision, tuple[str, ...]] = {"fp16": ("openvino",), "int8": ("openvino", "nncf")}

FLOAT16_LIMIT = 1e-2
"""Maximum absolute difference of embedding values after the rounding of weights to float16."""

SECTION = "vireid"
"""Name of the metadata in the file's runtime information."""


def require_packages(precision: OpenvinoPrecision) -> None:
    """Raise ``MissingExtra`` if a package that a precision needs is not installed."""
    os.environ.setdefault("NNCF_CI", "1")  # switches its usage statistics off; read at its import
    for package in PACKAGES[precision]:
        try:
            with quiet():
                importlib.import_module(package)
        except ImportError as error:
            raise MissingExtra(package, "openvino", "The export to OpenVINO") from error


def convert(
    onnx: Path,
    path: Path,
    precision: OpenvinoPrecision,
    metadata: Mapping[str, str],
    calibration: Sequence[Mapping[str, np.ndarray]] = (),
) -> tuple[Path, Path]:
    """Convert an ONNX file.

    Args:
        onnx: The ONNX file.
        path: Path of the new file, ``.xml``; its weights are beside it in ``.bin``.
        precision: ``fp16`` rounds the weights; ``int8`` quantises weights and activations.
        metadata: Metadata of the new file.
        calibration: Inputs for ``int8`` that determine the ranges of the activations.

    Returns:
        The weights and the file, in the order in which they must be published.
    """
    openvino: Any = importlib.import_module("openvino")
    with quiet():
        model = openvino.Core().read_model(str(onnx))
        if precision == "int8":
            nncf: Any = importlib.import_module("nncf")
            model = nncf.quantize(
                model,
                nncf.Dataset(list(calibration)),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(calibration),
            )
        for key, value in metadata.items():
            model.set_rt_info(value, [SECTION, key])
        openvino.save_model(model, str(path), compress_to_fp16=True)
    return path.with_suffix(".bin"), path


def open_openvino(path: Path, precise: bool = False) -> tuple[Runner, dict[str, str]]:
    """Open a file on the CPU.

    Args:
        path: The ``.xml`` file.
        precise: Compute in float32; otherwise in the processor's default, which may be bfloat16.

    Returns:
        Its function, and its metadata.
    """
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    model = core.read_model(str(path))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"} if precise else {})
    names = [entry.any_name for entry in model.inputs]
    stored = model.get_rt_info([SECTION]).value if model.has_rt_info([SECTION]) else {}
    metadata = {key: str(getattr(value, "value", value)) for key, value in stored.items()}

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the outputs of the compiled model."""
        result = compiled(dict(zip(names, arrays, strict=True)))
        return [np.array(result[i]) for i in range(len(compiled.outputs))]

    return run, metadata
