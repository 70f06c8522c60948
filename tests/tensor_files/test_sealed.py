"""Weights that vireid wrote carry a hash over tensors and metadata, which every entrance compares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vireid_cli.tensor_files import TensorFileError, load_safetensors, load_tensors, read_metadata
from vireid_cli.tensor_files.sealed import SEAL, save_sealed

Load = Callable[[Path], dict[str, Tensor]]

METADATA = {"run": "a", "training_identities": "1f 2e"}


def sealed(path: Path) -> Path:
    tensors = {
        "w": torch.arange(6.0).reshape(2, 3),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 4),
    }
    return save_sealed(path, tensors, METADATA)


def test_round_trip(tmp_path: Path) -> None:
    path = sealed(tmp_path / "a.safetensors")
    for load in (load_tensors, load_safetensors):
        assert load(path)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert load(path)["none"].shape == (0, 4)
    assert read_metadata(path) == {**METADATA, SEAL: read_metadata(path)[SEAL]}


def accepted(load: Load, path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and metadata of a file; None: it is refused."""
    try:
        return load(path), read_metadata(path)
    except TensorFileError:
        return None


@pytest.mark.parametrize("load", [load_tensors, load_safetensors])
def test_any_flipped_bit_is_noticed(tmp_path: Path, load: Load) -> None:
    path = sealed(tmp_path / "a.safetensors")
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    places = [*range(8, 8 + length, 7), *range(8 + length, len(whole))]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(bytes(flipped))
        if (loaded := accepted(load, path)) is None:
            continue
        tensors, metadata = loaded
        # left are blanks of the header, and the hash's own key, without which there is nothing to compare
        same = {name: value.tolist() for name, value in tensors.items()}
        path.write_bytes(whole)
        assert same == {name: value.tolist() for name, value in load_file(path).items()}
        assert SEAL not in metadata or metadata == read_metadata(path)


def test_files_of_other_programs_have_no_hash(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "b.safetensors", {"training_identities": "1"})
    assert load_tensors(tmp_path / "b.safetensors")["w"].tolist() == [1, 1]


def test_a_hash_of_the_whole_file_is_compared(tmp_path: Path) -> None:
    import hashlib

    path = sealed(tmp_path / "a.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_safetensors(path, sha256=digest)["count"] == 7
    with pytest.raises(TensorFileError, match="SHA-256"):
        load_safetensors(path, sha256="0" * 64)
