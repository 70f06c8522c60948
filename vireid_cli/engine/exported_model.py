"""Exported ONNX files as models: the same images give the same embeddings as the run, to 1e-4."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents
from vireid_cli.data.decode import Decoder
from vireid_cli.engine.model import Model, embedding_form
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, MissingExtra, UsageError
from vireid_cli.reading import refuse_irregular
from vireid_cli.sums import file_digest
from vireid_cli.types import RESIZE, Modality, Size

ENDINGS = (".onnx",)
"""Extensions of exported files."""

FINGERPRINT = "fingerprint"
"""Key of the metadata with the fingerprint of the exported run, as JSON."""

_HINT = "Export the run again: vireid export onnx RUN"


@dataclass(frozen=True, slots=True)
class _File:
    """An open ONNX file.

    Attributes:
        path: Path of the file.
        session: onnxruntime's session.
        metadata: Metadata of the file.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
    """

    path: Path
    session: Any
    metadata: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities that the file embeds."""
        names = self.metadata.get("modality", "").replace(",", " ").split()
        return tuple(modality for modality in Modality if modality.value in names)

    def run(self, images: np.ndarray, modality: Modality) -> np.ndarray:
        """Embed (N, 3, H, W) float32 pixels: (N, D) float32."""
        feed: dict[str, np.ndarray] = {"images": images}
        output = self.outputs[0]
        if "modality" in self.inputs:
            kind = next(put.type for put in self.session.get_inputs() if put.name == "modality")
            rank = len(next(put.shape for put in self.session.get_inputs() if put.name == "modality"))
            codes = np.full(len(images) if rank else (), modality.code, np.int64)
            feed["modality"] = codes.astype(np.int32) if kind == "tensor(int32)" else codes
        elif "images" not in self.inputs:  # one input per modality; the other one needs an image, too
            feed = {modality.value: images, modality.other.value: images[:1]}
            output = f"{modality.value}_embedding"
        return np.asarray(self.session.run([output], feed)[0], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class OnnxEmbedder:
    """ONNX files by modality; one file may embed both.

    Attributes:
        files: File of each modality.
        missing: Advice if a modality has no file.
    """

    files: Mapping[Modality, _File]
    missing: str

    @property
    def on_cpu(self) -> bool:
        """True: several threads may call the session at the same time."""
        return True

    def embed(self, pixels: np.ndarray, modality: Modality) -> np.ndarray:
        """Embed one batch; see ``model.PixelEmbedder``.

        Raises:
            UsageError: No file embeds this modality.
        """
        file = self.files.get(modality)
        if file is None:
            raise UsageError(f"the model does not embed {modality} images.", self.missing)
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
        return file.run(images, modality)


def load_onnx(path: Path, session: Session) -> Model:
    """Load an exported ONNX file; one of a modality is completed by the file of the other one beside it.

    Args:
        path: Path of the file.
        session: Device, and reporter of assumptions about files of earlier versions.

    Raises:
        UsageError: The file does not exist.
        MissingExtra: onnxruntime is not installed.
        DataError: The file is damaged, or is no export of a network of vireid.
    """
    file = _open(path, session)
    size = _size_of(file)
    files = _both(file, session)
    embedder = OnnxEmbedder(files, f"Export both modalities into one file, or keep both beside {path}.")
    probe = next(iter(files))
    vectors = embedder.embed(np.zeros((1, *size, 3), np.uint8), probe)
    if vectors.ndim != 2 or not abs(float(np.linalg.norm(vectors[0])) - 1.0) < 1e-3:
        raise DataError(f"{path}: its output {vectors.shape} is no embedding of unit length.", _HINT)
    fingerprint = _fingerprint(file, size, vectors.shape[1], session)
    decoder = Decoder.of_json(fingerprint["decoder"])
    method = str(fingerprint.get("method", "unknown"))
    return Model(embedder, size, fingerprint["resize"], decoder, method, fingerprint, vectors.shape[1])


def _open(path: Path, session: Session) -> _File:
    """Open a file in onnxruntime, on the session's device."""
    if not path.exists():
        raise UsageError(f"{path} does not exist.", _HINT)
    refuse_irregular(path)
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtra("onnxruntime", "export", "A model in an .onnx file") from error
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal only; exceptions are reported below
    options.intra_op_num_threads = 1  # batches run in threads; see embed_images.threads
    on_gpu = session.runtime.device.type == "cuda"
    wanted = ["CUDAExecutionProvider"] if on_gpu else []
    providers = [*(p for p in wanted if p in runtime.get_available_providers()), "CPUExecutionProvider"]
    try:
        opened = runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no common base class
        reason = (str(error).splitlines() or [""])[0][:200]
        raise DataError(f"{path} can't be opened by onnxruntime: {reason}", _HINT) from error
    inputs, outputs = ([put.name for put in puts] for puts in (opened.get_inputs(), opened.get_outputs()))
    file = _File(
        path, opened, dict(opened.get_modelmeta().custom_metadata_map), tuple(inputs), tuple(outputs)
    )
    known = ({"images"}, {"images", "modality"}, {modality.value for modality in Modality})
    if set(inputs) not in known or not file.modalities:
        raise DataError(
            f"{path} is no export of vireid: its inputs are {', '.join(map(documents.shorten, inputs))}.",
            _HINT,
        )
    return file


def _both(file: _File, session: Session) -> dict[Modality, _File]:
    """Files by modality: the file, and the one of the same export for the other modality beside it."""
    files = dict.fromkeys(file.modalities, file)
    missing = [modality for modality in Modality if modality not in files]
    for modality in missing:
        beside = file.path.with_name(f"{modality.value}{file.path.suffix}")
        if beside.is_file() and beside != file.path:
            other = _open(beside, session)
            same = other.metadata.get("export") == file.metadata.get("export") is not None
            if same and modality in other.modalities:
                files[modality] = other
    return files


def _size_of(file: _File) -> Size:
    """Input size in the metadata."""
    height, _, width = file.metadata.get("size", "").partition("x")
    if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
        raise DataError(f"{file.path} is no export of vireid: its metadata has no size.", _HINT)
    return int(height), int(width)


def _fingerprint(file: _File, size: Size, dimension: int, session: Session) -> dict[str, Any]:
    """Fingerprint in the metadata; files of earlier versions have none, and their rules are assumed."""
    text = file.metadata.get(FINGERPRINT)
    if text is None:
        session.reporter.info(
            f"{file.path.name} has no fingerprint; assumed: resize {RESIZE}, 8-bit images. Its embeddings "
            "are comparable with those of this export only."
        )
        stored: Any = {
            "weights_sha256": file.metadata.get("export") or file_digest(file.path),
            "resize": RESIZE,
            "decoder": Decoder().as_json(),
            "embedding": embedding_form(dimension),
            "method": file.metadata.get("method", "unknown"),
        }
    else:
        stored = documents.parse_json(text, f"{file.path}: {FINGERPRINT}", hint=_HINT)
    try:
        Decoder.of_json(stored["decoder"])
        valid = stored["resize"] in ("lanczos", "bicubic") and isinstance(stored["weights_sha256"], str)
    except (TypeError, ValueError, KeyError, LookupError):
        valid = False
    if not valid:
        raise DataError(f"{file.path}: its fingerprint is damaged.", _HINT)
    shown = f"{size[0]}x{size[1]}"
    return {**json.loads(json.dumps(stored)), "size": shown, "file": file.path.name, "precision": "fp32"}
