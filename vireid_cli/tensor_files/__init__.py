"""Readers of tensor files that never execute code; every command loads weights through this package.

safetensors files are recognised by their content; all other files go to ``torch.load`` with
``weights_only=True``, which builds tensors and plain values and refuses every other Python object.
Published files have the beginning of their SHA-256 in their name (``resnet50-0676ba61.pth``). It is compared
before the file is opened, for downloads and for files in torch's cache.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vireid_cli import reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import expand
from vireid_cli.tensor_files.pickled import first_line, load_pickled
from vireid_cli.tensor_files.refusal import Refused
from vireid_cli.tensor_files.sealed import check_seal

if TYPE_CHECKING:
    from torch import Tensor


class TensorFileError(UsageError):
    """A tensor file is missing, unreadable, or refused.

    Attributes:
        reason: Reason of the refusal, a clause such as "it is empty".
    """

    def __init__(self, message: str, hint: str, reason: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


def load_tensors(
    path: Path,
    *,
    subject: str = "",
    hint: str = "",
    numpy_scalars: bool = False,
    sha256_prefix: str | None = None,
) -> dict[str, Any]:
    """Load the named tensors and plain values of a file to the CPU, without executing code.

    Args:
        path: A safetensors file, or a file of ``torch.save`` (zip or legacy form); ``~`` is expanded.
        subject: Option or recipe key with the path, for messages.
        hint: Advice in the message of a refused file.
        numpy_scalars: Whether to accept NumPy's numbers and arrays of numbers, which published checkpoints
            contain beside their weights. They are rebuilt from their bytes, not by NumPy's unpickling.
        sha256_prefix: Hexadecimal beginning of the file's SHA-256; None skips the comparison.

    Returns:
        Top-level dictionary: tensors by name, or the values of a training checkpoint by name.

    Raises:
        TensorFileError: The file is missing or not a regular file, its hash differs, it contains Python
            objects other than tensors and plain values, it is damaged, or it claims more data than it has.
    """
    path = expand(path)
    with _explained(path, subject, hint):
        with reading.open_regular(path) as file:
            if sha256_prefix is not None:
                _compare_hash(file, sha256_prefix)
            if not _is_safetensors(file):
                return load_pickled(file, numpy_scalars)
        return dict(_load_safetensors(path))


def load_safetensors(
    path: Path, *, subject: str = "", hint: str = "", sha256: str | None = None
) -> dict[str, Tensor]:
    """Load the tensors of a safetensors file to the CPU; other formats are refused.

    Args:
        path: Path of the file.
        subject: Option or recipe key that names the file, for messages.
        hint: What to do about a file that is refused, for messages.
        sha256: SHA-256 of the whole file, compared with the bytes that are loaded; None skips the comparison.

    Raises:
        TensorFileError: See ``load_tensors``.
    """
    with _explained(path, subject, hint):
        if sha256 is None:
            reading.open_regular(path).close()
            return _load_safetensors(path)
        content = reading.read_bytes(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refused("its SHA-256 is not the one that was recorded when it was written")
        return _load_safetensors(content)


@contextmanager
def _explained(path: Path, subject: str, hint: str) -> Iterator[None]:
    """Convert refusals and system errors to ``TensorFileError``."""
    prefix = f"{subject}: " if subject else ""
    try:
        yield
    except DataError as error:  # of opening it
        if isinstance(error.__cause__, FileNotFoundError):
            raise TensorFileError(f"{prefix}there is no file {path}", hint, "it does not exist") from error
        raise TensorFileError(f"{prefix}{error.message}", hint, error.message) from error
    except (Refused, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TensorFileError(f"{prefix}{path} can't be read as tensors: {reason}", hint, reason) from error


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file; empty for other formats and for missing files."""
    from safetensors import SafetensorError, safe_open

    path = expand(path)
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            if not _is_safetensors(file):
                return {}
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError, ValueError):
        return {}


def _compare_hash(file: IO[bytes], prefix: str) -> None:
    hashed = hashlib.sha256()
    while block := file.read(1 << 20):
        hashed.update(block)
    digest = hashed.hexdigest()
    file.seek(0)
    if not digest.startswith(prefix.lower()):
        raise Refused(
            f"its SHA-256 begins with {digest[: len(prefix)]}, the published file's with {prefix}: "
            "it is damaged or another file"
        )


def _is_safetensors(file: IO[bytes]) -> bool:
    """Whether a file begins like safetensors: length of the header, then an opening brace."""
    head = file.read(9)
    file.seek(0)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32


def _load_safetensors(source: Path | bytes) -> dict[str, Tensor]:
    """Load the tensors of a file or of its content; compare them with the hash in its metadata, if any."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    try:
        if isinstance(source, bytes):
            return dict(load(source))
        with safe_open(source, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise Refused(f"it is a damaged safetensors file ({first_line(error)})") from error
    check_seal(tensors, metadata)
    return tensors
