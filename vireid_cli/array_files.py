"""Readers of untrusted ``.npz`` and ``.npy`` files; they check every claimed size before allocating memory.

The archive's directory and each array's header claim sizes. The readers compare them with the size of the
file, so a zip bomb or a header of petabytes is refused before any allocation. Only numbers, booleans and
text are read; nothing is unpickled.
"""

from __future__ import annotations

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from vireid_cli import reading
from vireid_cli.errors import DataError, VireidError

BOMB_SIZE = 256 * reading.MIB
"""Uncompressed size in bytes up to which any compression ratio is accepted."""

BOMB_RATIO = 200
"""Largest accepted compression ratio beyond ``BOMB_SIZE``."""

_KINDS = "biufcUS"
"""Accepted kinds of NumPy types."""

_LONGEST_EMPTY = 1 << 24
"""Longest accepted dimension of an array without content."""

_BLOCK = 4 * reading.MIB
_LARGEST_CHARACTER = 0x10FFFF
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BAD_HEADER = (
    ValueError, SyntaxError, tokenize.TokenError, TypeError, LookupError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip
"""Errors of NumPy's header parser on damaged input."""

_DAMAGE = (*_BAD_HEADER, OSError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""Errors of ``zipfile`` and of NumPy's header parser on damaged input."""

_HEADER = "its header is not the type, order and shape that NumPy writes"
_OBJECTS = "Save plain numbers or text: arrays of Python objects are never loaded."


@dataclass(frozen=True, slots=True)
class _Source:
    """The file being read: its name in messages, size in bytes, hint and exception type."""

    name: str
    size: int
    hint: str
    error: type[VireidError]

    def refuse(self, problem: str, array: str = "", hint: str = "") -> VireidError:
        """Return the exception for the file, or for one of its arrays."""
        place = f"{self.name}: array '{array}'" if array else self.name
        return self.error(f"{place} {problem}.", "\n".join(filter(None, (hint, self.hint))))


@dataclass(frozen=True, slots=True)
class _Header:
    """Header of an array: type, shape, order, and the header's own length in bytes."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    length: int

    @property
    def nbytes(self) -> int:
        """Claimed size of the array's content in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def load_arrays(
    path: Path, wanted: Collection[str], *, hint: str = "", error: type[VireidError] = DataError
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Load arrays of an ``.npz`` file.

    Args:
        path: Path of the file.
        wanted: Names of the arrays to load.
        hint: Advice for errors.
        error: Exception type.

    Returns:
        The wanted arrays that exist in the file, in native byte order, and the names of all its arrays.

    Raises:
        VireidError: Of type ``error``. The file is missing or not an archive of arrays; or a wanted array
            is damaged, encrypted, contains Python objects, or claims more bytes than the file has.
    """
    with reading.open_regular(path, hint=hint, error=error) as file:
        return load_from(file, str(path), wanted, hint=hint, error=error)


def load_from(
    file: IO[bytes],
    name: str,
    wanted: Collection[str],
    *,
    hint: str = "",
    error: type[VireidError] = DataError,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Load arrays of an archive from an open file; ``name`` identifies it in errors. See ``load_arrays``."""
    size = file.seek(0, 2)
    file.seek(0)
    source = _Source(name, size, hint, error)
    try:
        _refuse_other_format(file.read(8), source)
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, source)
            _refuse_bomb([members[key] for key in members if key in wanted], source)
            arrays = {key: _load(archive, members[key], key, source) for key in members if key in wanted}
            return arrays, tuple(members)
    except MemoryError as failure:
        raise source.refuse("does not fit into memory") from failure
    except _DAMAGE as failure:
        raise source.refuse(f"can't be read as an .npz file: {_first_line(failure)}") from failure


def map_array(path: Path, *, hint: str = "", error: type[VireidError] = DataError) -> np.ndarray:
    """Map an ``.npy`` file into memory, read-only.

    Raises:
        VireidError: Of type ``error``. The file is missing, damaged, or not as long as its header claims.
    """
    with reading.open_regular(path, hint=hint, error=error) as file:
        size = file.seek(0, 2)
        file.seek(0)
        source = _Source(str(path), size, hint, error)
        try:
            header = _read_header(file, "", source)
            _refuse_claim(header, size, "", source)
            if header.nbytes == 0:
                return np.zeros(header.shape, header.dtype)
            order = "F" if header.fortran else "C"
            return np.memmap(file, header.dtype, "r", header.length, header.shape, order)  # type: ignore[call-overload]
        except _DAMAGE as failure:
            raise source.refuse(f"can't be read as an .npy file: {_first_line(failure)}") from failure


def _refuse_other_format(start: bytes, source: _Source) -> None:
    """Refuse files of other formats; common formats are named in the error."""
    if not start:
        raise source.refuse("can't be read as an .npz file: it is empty")
    if start.startswith(npy.MAGIC_PREFIX):
        raise source.refuse("holds a single array (.npy), not an archive of named ones (.npz)")
    if start.startswith(b"\x80"):
        raise source.refuse("is a pickle, which is never loaded", hint=_OBJECTS)
    if not start.startswith(b"PK"):
        raise source.refuse("can't be read as an .npz file: it does not begin as a zip archive does")


def _members(archive: zipfile.ZipFile, source: _Source) -> dict[str, zipfile.ZipInfo]:
    """Archive members by array name. A member that is not an ``.npy`` file keeps its full name."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise source.refuse("occurs twice", name)
        members[name] = info
    return members


def _refuse_bomb(members: Collection[zipfile.ZipInfo], source: _Source) -> None:
    """Refuse members if their directory entries claim more bytes than the file can contain."""
    stored = sum(info.compress_size for info in members)
    claimed = sum(info.file_size for info in members)
    if stored > source.size:
        raise source.refuse(
            f"claims {reading.size_text(stored)} of arrays but has {reading.size_text(source.size)}"
        )
    if claimed > BOMB_SIZE and claimed > BOMB_RATIO * stored:
        raise source.refuse(
            f"claims {reading.size_text(claimed)} in {reading.size_text(stored)} of compressed arrays; "
            f"the limit beyond {reading.size_text(BOMB_SIZE)} is a ratio of {BOMB_RATIO}"
        )


def _load(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, source: _Source) -> np.ndarray:
    """Load one array after comparing its header with its directory entry."""
    if not info.filename.endswith(".npy"):
        raise source.refuse("is not an .npy member of the archive", name)
    if info.flag_bits & 0x1:
        raise source.refuse("is encrypted; write the file without a password", name)
    if info.compress_type not in _COMPRESSIONS:
        raise source.refuse(
            f"is compressed by method {info.compress_type}; expected stored or deflated", name
        )
    try:
        with closing(archive.open(info)) as member:
            header = _read_header(member, name, source)
            _refuse_claim(header, info.file_size, name, source)
            return _read_content(member, header, name, source)
    except MemoryError as failure:
        size = reading.size_text(info.file_size)
        raise source.refuse(f"of {size} does not fit into memory", name) from failure
    except _DAMAGE as failure:
        raise source.refuse(f"can't be read: {_first_line(failure)}", name) from failure


def _read_header(file: IO[bytes], name: str, source: _Source) -> _Header:
    """Read and check an array's header."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise source.refuse(f"has version {version} of the .npy format; expected 1.0 or 2.0", name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's advice on headers of Python 2
        try:
            shape, fortran, dtype = read(file)
        except _BAD_HEADER as failure:  # NumPy's message contains parts of its parser, or advises a pickle
            raise source.refuse(f"can't be read: {_HEADER}", name) from failure
    if dtype.hasobject:
        raise source.refuse("holds Python objects", name, _OBJECTS)
    if dtype.kind not in _KINDS:
        raise source.refuse(f"is of type {dtype}; expected numbers, booleans or text", name)
    return _Header(dtype, shape, fortran, file.tell())


def _refuse_claim(header: _Header, size: int, name: str, source: _Source) -> None:
    """Refuse a claimed shape that does not match the size of the content."""
    held = size - header.length
    shape = f"shape {header.shape} of {header.dtype}"
    longest = held if 0 not in header.shape else _LONGEST_EMPTY
    if any(side < 0 or side > longest for side in header.shape) or len(header.shape) > 32:
        raise source.refuse(f"claims {shape} but has {reading.size_text(max(held, 0))}", name)
    if header.nbytes != held:
        raise source.refuse(
            f"claims {shape}, {reading.size_text(header.nbytes)}, but has {reading.size_text(max(held, 0))}",
            name,
        )
    if header.dtype.itemsize == 0 and math.prod(header.shape) > 1:
        raise source.refuse(f"claims {shape}, items without content", name)


def _read_content(file: IO[bytes], header: _Header, name: str, source: _Source) -> np.ndarray:
    """Read the content in blocks. ``zipfile`` compares the checksum at the end."""
    shape = header.shape[::-1] if header.fortran else header.shape
    array = np.empty(shape, header.dtype)
    position = 0
    while position < header.nbytes:
        block = file.read(min(_BLOCK, header.nbytes - position))
        if not block:
            raise source.refuse("is cut short", name)
        array.reshape(-1).view(np.uint8)[position : position + len(block)] = np.frombuffer(block, np.uint8)
        position += len(block)
    file.read(1)  # zipfile compares the checksum when it reaches the end
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if (
        array.dtype.kind == "U"
        and array.size
        and array.reshape(-1).view(np.uint32).max() > _LARGEST_CHARACTER
    ):
        raise source.refuse("holds numbers that are no characters", name)
    return array.T if header.fortran else array


def _first_line(failure: BaseException) -> str:
    """First line of an error, at most 200 characters."""
    lines = str(failure).splitlines() or [type(failure).__name__]
    return lines[0][:200].rstrip(".")
