"""Reader for files of ``torch.save`` with torch's weights-only loader, and its error messages."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import IO, TYPE_CHECKING, Any

from vireid_cli.tensor_files.numpy_values import numpy_names
from vireid_cli.tensor_files.refusal import Refused

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_RATIO = 20
"""Largest ratio of claimed to stored bytes of a zip archive; torch does not compress."""

ALWAYS_ALLOWED = 64 << 20
"""Largest number of bytes that a file may claim."""

DEEPEST = 16
"""Largest number of nested levels of dictionaries and lists."""

NO_CODE = "vireid loads tensors and plain values only and never executes the content of a file"


def load_pickled(file: IO[bytes], numpy_scalars: bool) -> dict[str, Any]:
    """Load a file of ``torch.save`` with torch's weights-only loader."""
    import torch

    size = os.fstat(file.fileno()).st_size
    claimed = _claimed_bytes(file, size)
    allowed: AbstractContextManager[Any] = nullcontext()
    if numpy_scalars:
        allowed = torch.serialization.safe_globals([*numpy_names()])
    try:
        with warnings.catch_warnings(), allowed:
            warnings.simplefilter("ignore")  # warnings about pickle protocols and archives, for developers
            content = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise Refused("it claims more data than this process may hold in memory") from None
    except Exception as error:  # each form raises other errors, and all of them mean an unreadable file
        raise Refused(_explain(error, file)) from None
    if not isinstance(content, dict):
        raise Refused(f"it holds a {type(content).__name__} instead of named tensors")
    if not all(isinstance(name, str) for name in content):
        raise Refused("its tensors are not named by text")
    storages = {id(s): s.nbytes() for s in (t.untyped_storage() for t in _tensors_in(content))}
    if sum(storages.values()) > claimed:
        raise Refused("it claims more data than it has")
    return content


def _claimed_bytes(file: IO[bytes], size: int) -> int:
    """Number of bytes that the file claims; for a zip archive the unpacked size.

    Raises:
        Refused: The file is empty, evidently of another kind, or an archive that claims too much.
    """
    head = file.read(64)
    file.seek(0)
    if not head:
        raise Refused("it is empty")
    if head.lstrip()[:1] == b"<":
        raise Refused("it is a web page, not weights")
    if head.startswith(b"version https://git-lfs"):
        raise Refused("it is a Git LFS pointer; fetch the file itself with 'git lfs pull'")
    if not head.startswith(b"PK"):
        return size
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            claimed = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, EOFError, struct.error, NotImplementedError) as error:
        raise Refused(f"its zip archive is cut short or damaged ({first_line(error)})") from error
    file.seek(0)
    if claimed > max(ALWAYS_ALLOWED, LARGEST_RATIO * size):
        raise Refused(
            f"its zip archive of {size:,} bytes claims {claimed:,} unpacked; "
            f"at most {LARGEST_RATIO} times its size is accepted"
        )
    if any(name.endswith("/constants.pkl") for name in names):
        raise Refused(f"it is a TorchScript program; {NO_CODE}")
    if not any(name.endswith("data.pkl") for name in names):
        raise Refused("it is a zip archive of other files; unpack it and name the file of weights inside")
    return claimed


def _explain(error: Exception, file: IO[bytes]) -> str:
    """Reason of an error of torch's loader, without its advice to load the file unsafely."""
    text = str(error)
    named = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", text)
    if named:
        return f"it holds the Python object {named.group(1)}; {NO_CODE}"
    if "must be imported to load" in text or "Can only" in text or "reduce for unrecognized" in text:
        return f"it holds Python objects other than tensors; {NO_CODE}"
    if "legacy .tar format" in text:
        return "it is a tar archive"
    if "can't allocate memory" in text or "not enough memory" in text:
        return "it claims more data than this process may hold in memory"
    if "record size" in text or "wrong byte size" in text or "not resizable" in text:
        return "it claims more data than it has"
    file.seek(0)
    head = file.read(2)
    if head[:1] == b"\x80" and head[1:] != b"\x02":
        return f"it is a pickle of another kind than torch.save writes; {NO_CODE}"
    if head in (b"PK", b"\x80\x02"):
        return "it is damaged, or cut short while it was copied"
    return "it is neither a safetensors file nor a file of torch.save"


def first_line(error: Exception) -> str:
    """First line of an error's text, or its class if the text is empty."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _tensors_in(content: Any) -> Iterator[Tensor]:
    """Every tensor in nested dictionaries, lists and tuples.

    Raises:
        Refused: A tensor is not dense, or nesting is too deep.
    """
    import torch
    from torch import Tensor

    level: list[Any] = [content]
    seen: set[int] = set()
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, Tensor):
                if item.layout is not torch.strided or item.is_quantized or item.device.type != "cpu":
                    raise Refused("it holds a sparse or quantised tensor, or one without values")
                yield item
            elif isinstance(item, dict | list | tuple | set) and id(item) not in seen:
                seen.add(id(item))
                below += item.values() if isinstance(item, dict) else item
        if not below:
            return
        level = below
    raise Refused(f"it is nested more than {DEEPEST} levels deep")
