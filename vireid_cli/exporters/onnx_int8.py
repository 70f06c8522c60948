"""Quantisation of verified ONNX files to 8-bit integers, for ONNX Runtime.

Convolutions are quantised: weights per channel, activations by their range on calibration images. Spectral
products, scans and heads stay in float32.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.exporters.verify import quiet

QUANTISED = ["Conv"]
"""Operators that are quantised."""


class CalibrationReader:
    """Reader of calibration inputs, in the form that onnxruntime calls."""

    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._batches = batches
        self._remaining: Iterator[Mapping[str, np.ndarray]] = iter(batches)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """Return the next inputs, or None at the end."""
        return next(self._remaining, None)

    def rewind(self) -> None:
        """Start again at the first inputs."""
        self._remaining = iter(self._batches)


def quantise(onnx: Path, path: Path, calibration: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Quantise an ONNX file; the metadata stay.

    Args:
        onnx: The file in float32.
        path: Path of the new file.
        calibration: Inputs that determine the ranges of the activations.
    """
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    package: Any = importlib.import_module("onnx")
    reader_type = type("Reader", (CalibrationReader, quantization.CalibrationDataReader), {})
    with quiet():
        prepared = path.with_suffix(".prepared.onnx")
        quantization.quant_pre_process(str(onnx), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(path),
            reader_type(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        prepared.unlink()
        model = package.load(str(path))
        described = {entry.key: entry.value for entry in package.load(str(onnx)).metadata_props}
        package.helper.set_model_props(model, described)
        package.save(model, str(path))
