"""Hash over all tensors and metadata of a safetensors file, stored in its metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vireid_cli.files import write_bytes
from vireid_cli.tensor_files.refusal import Refused

if TYPE_CHECKING:
    from torch import Tensor

SEAL = "content_sha256"
"""Metadata key of the hash."""


def save_sealed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Atomically write a safetensors file with a hash of its content in its metadata.

    Args:
        path: Path of the file.
        tensors: Contiguous tensors on the CPU, by name.
        metadata: Further text, by key.

    Raises:
        DataError: The file cannot be written.
    """
    from safetensors.torch import save

    return write_bytes(path, save(dict(tensors), {**metadata, SEAL: content_hash(tensors, metadata)}))


def check_seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Compare a file's content with the hash in its metadata. Files of other programs have no hash.

    Raises:
        Refused: The hashes differ.
    """
    if SEAL in metadata and metadata[SEAL] != content_hash(tensors, metadata):
        raise Refused("it is damaged: its content differs from the hash in its metadata")


def content_hash(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and values of tensors, and over the metadata."""
    import torch

    plain = {key: value for key, value in metadata.items() if key != SEAL}
    total = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
