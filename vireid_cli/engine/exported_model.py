"""Exported files as models: the same images give the embeddings of the run, to 1e-4 in float32."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents
from vireid_cli.data.decode import Decoder
from vireid_cli.engine.model import Model, embedding_form
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.exporters.verify import Runner, first_cause
from vireid_cli.reading import refuse_irregular
from vireid_cli.sums import file_digest
from vireid_cli.types import RESIZE, Modality, Size

ENDINGS = (".onnx", ".pt2")
"""Extensions of exported files."""

_HINT = "Export the run again: vireid export onnx RUN"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """An open file.

    Attributes:
        path: Path of the file.
        run: Function of the file's inputs.
        metadata: Metadata of the file; see ``exporters.program.description``.
    """

    path: Path
    run: Runner
    metadata: Mapping[str, str]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities that the file embeds."""
        names = self.metadata.get("modality", "").replace(",", " ").split()
        return tuple(modality for modality in Modality if modality.value in names)

    @property
    def layout(self) -> str:
        """Layout of the inputs, ``single``, ``split`` or ``joint``; earlier versions do not state it."""
        return self.metadata.get("layout", "joint" if len(self.modalities) > 1 else "split")

    def embed(self, pixels: np.ndarray, modality: Modality) -> np.ndarray:
        """Embed (N, H, W, 3) uint8 pixels of the file's size: (N, D) float32."""
        if self.metadata.get("pixels", "").startswith("uint8"):  # resizing to the same size changes nothing
            images = np.ascontiguousarray(pixels)
        else:
            channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
            images = channels_first.astype(np.float32) / np.float32(255)
        if self.layout == "joint":  # the input of the other modality needs an image, too
            inputs = [images if kind is modality else images[:1] for kind in self.modalities]
            return np.asarray(self.run(inputs)[self.modalities.index(modality)], np.float32)
        codes = [np.full(len(images), modality.code, np.int64)] if self.layout == "single" else []
        return np.asarray(self.run([images, *codes])[0], np.float32)


@dataclass(frozen=True, slots=True)
class FileEmbedder:
    """Exported files by modality; one file may embed both.

    Attributes:
        files: File of each modality.
        path: Path of the requested file, for errors.
    """

    files: Mapping[Modality, ExportedFile]
    path: Path

    @property
    def on_cpu(self) -> bool:
        """True: the runtimes of exported files compute on the CPU."""
        return True

    def embed(self, pixels: np.ndarray, modality: Modality) -> np.ndarray:
        """Embed one batch; see ``model.PixelEmbedder``.

        Raises:
            UsageError: No file embeds this modality.
        """
        if modality not in self.files:
            raise UsageError(
                f"{self.path} does not embed {modality} images.",
                f"Keep the {modality} file of the same export beside it, or export one file for both "
                "modalities.",
            )
        return self.files[modality].embed(pixels, modality)


def load_exported(path: Path, session: Session) -> Model:
    """Load an exported file, on the CPU; the file of the other modality beside it completes a split one.

    Args:
        path: An ``.onnx`` file, or a ``.pt2`` program.
        session: Reporter of assumptions about files of earlier versions.

    Raises:
        UsageError: The file does not exist, or is a compiled package, which contains machine code.
        MissingExtra: onnxruntime is not installed.
        DataError: The file is damaged, or is no export of a network of vireid.
    """
    file = _open(path)
    size = _size_of(file)
    embedder = FileEmbedder(_both(file), path)
    black = np.zeros((1, *size, 3), np.uint8)
    try:
        vectors = embedder.embed(black, file.modalities[0])
    except Exception as error:  # errors of runtimes have no common base class
        raise DataError(f"{path} does not embed an image: {first_cause(error)}", _HINT) from error
    if vectors.ndim != 2 or not abs(float(np.linalg.norm(vectors[0])) - 1.0) < 1e-3:
        raise DataError(f"{path}: its output of shape {vectors.shape} is no embedding of unit length.", _HINT)
    fingerprint = _fingerprint(file, size, vectors.shape[1], session)
    decoder = Decoder.of_json(fingerprint["decoder"])
    method = str(fingerprint.get("method", "unknown"))
    return Model(embedder, size, fingerprint["resize"], decoder, method, fingerprint, vectors.shape[1])


def _open(path: Path) -> ExportedFile:
    """Open a file by its extension."""
    if not path.exists():
        raise UsageError(f"{path} does not exist.", _HINT)
    refuse_irregular(path)
    if path.suffix.lower() == ".pt2":
        file = ExportedFile(path, *_open_program(path))
    else:
        file = ExportedFile(path, *_open_onnx(path))
    if not file.modalities:
        raise DataError(f"{path} is no export of vireid: its metadata has no modality.", _HINT)
    return file


def _open_program(path: Path) -> tuple[Runner, Mapping[str, str]]:
    from vireid_cli.exporters.torch_program import is_package, open_program

    if is_package(path):
        raise UsageError(
            f"{path} is a compiled package: it contains machine code, which vireid does not run.",
            "Use the portable program or the ONNX file of the same run: vireid export torch, vireid export "
            "onnx",
        )
    return open_program(path)


def _open_onnx(path: Path) -> tuple[Runner, Mapping[str, str]]:
    from vireid_cli.exporters.onnx import open_onnx, require_packages

    require_packages()
    try:
        return open_onnx(path, threads=1)  # of a batch; several batches run at the same time
    except Exception as error:  # onnxruntime's errors have no common base class
        raise DataError(f"{path} can't be opened by onnxruntime: {first_cause(error)}", _HINT) from error


def _both(file: ExportedFile) -> dict[Modality, ExportedFile]:
    """Files by modality: the file, and the one of the same export for the other modality beside it."""
    files = dict.fromkeys(file.modalities, file)
    for modality in (kind for kind in Modality if kind not in files):
        name = file.path.name.replace(modality.other.value, modality.value)
        beside = file.path.with_name(name)
        if beside == file.path or not beside.is_file():
            continue
        other = _open(beside)
        same = other.metadata.get("export") == file.metadata.get("export") is not None
        if same and modality in other.modalities:
            files[modality] = other
    return files


def _size_of(file: ExportedFile) -> Size:
    """Input size in the metadata."""
    numbers = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", file.metadata.get("size", ""))
    if numbers is None:
        raise DataError(f"{file.path} is no export of vireid: its metadata has no size.", _HINT)
    height, width = map(int, numbers.groups())
    if not (1 <= height <= 4096 and 1 <= width <= 4096):
        raise DataError(f"{file.path}: its size {height}x{width} is outside of 1 to 4096 pixels.", _HINT)
    return height, width


def _fingerprint(file: ExportedFile, size: Size, dimension: int, session: Session) -> dict[str, Any]:
    """Fingerprint in the metadata; files of earlier versions have none, and their rules are assumed.

    The embeddings of a file of 8-bit integers are comparable with its own only.
    """
    metadata = file.metadata
    text = metadata.get("fingerprint")
    if text is None:
        session.reporter.info(
            f"{file.path.name} has no fingerprint; assumed: resize {RESIZE}, 8-bit images. Its embeddings "
            "are comparable with those of this export only."
        )
        stored: Any = {
            "weights_sha256": metadata.get("export") or file_digest(file.path),
            "resize": metadata.get("resize", RESIZE),
            "decoder": Decoder().as_json(),
            "embedding": embedding_form(dimension),
            "method": metadata.get("method", "unknown"),
        }
    else:
        stored = documents.parse_json(text, f"{file.path}: fingerprint", hint=_HINT)
    _check(stored, dimension, file.path)
    precision = metadata.get("precision", "fp32")
    exact = stored["embedding"] if precision != "int8" else f"{stored['embedding']}, int8"
    shown = {"size": f"{size[0]}x{size[1]}", "embedding": exact, "precision": precision}
    return {**stored, **shown, "file": file.path.name}


def _check(stored: Any, dimension: int, path: Path) -> None:
    """Refuse a fingerprint of another form."""
    try:
        Decoder.of_json(stored["decoder"])
        texts: Sequence[Any] = [stored[name] for name in ("weights_sha256", "resize", "embedding")]
        valid = all(isinstance(text, str) for text in texts) and stored["resize"] in ("lanczos", "bicubic")
    except (TypeError, ValueError, LookupError):
        valid = False
    if not valid or not stored["embedding"].startswith(f"{dimension} "):
        raise DataError(f"{path}: its fingerprint is damaged.", _HINT)
