"""Opening of user files for reading; every reader uses ``open_regular``.

It refuses paths that are not regular files (a FIFO blocks for ever, a device has no end) and files above
the reader's size limit, before reading a byte.
"""

from __future__ import annotations

import codecs
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO

from vireid_cli.errors import DataError, VireidError

MIB = 1 << 20
GIB = 1 << 30

TEXT_LIMIT = GIB
"""Largest text file in bytes; a list of ten million images is smaller."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_SHOWN = 60
"""Number of characters of a value in a message."""

_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE_AGAIN = "Save the file as UTF-8 text."


def open_regular(
    path: Path,
    *,
    limit: int | None = None,
    hint: str = "",
    error: type[VireidError] = DataError,
) -> IO[bytes]:
    """Open a regular file for reading bytes; follows symbolic links.

    Args:
        path: Path of the file.
        limit: Largest accepted size in bytes; None for no limit.
        hint: Advice for errors.
        error: Exception type.

    Returns:
        The open file; the caller closes it.

    Raises:
        VireidError: Of type ``error``. The path does not exist, is not a regular file (named pipe, socket,
            device, folder), is larger than ``limit``, or can't be read.
    """
    try:
        refuse_irregular(path, os.stat(path), hint=hint, error=error)
        # O_NONBLOCK: if a pipe replaces the file after the check, opening must not block
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as missing:
        raise error(f"{path} does not exist.", hint) from missing
    except (OSError, ValueError) as failure:
        raise error(f"{path} can't be read: {_reason(failure)}.", hint) from failure
    try:
        status = os.fstat(descriptor)
        refuse_irregular(path, status, hint=hint, error=error)
        if limit is not None and status.st_size > limit:
            raise error(
                f"{path} has {size_text(status.st_size)}; the limit for such a file is {size_text(limit)}.",
                hint,
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_irregular(
    path: Path,
    status: os.stat_result | None = None,
    *,
    hint: str = "",
    error: type[VireidError] = DataError,
) -> None:
    """Refuse an existing path that is not a regular file, without opening it.

    Args:
        path: Path to check; a missing one is accepted.
        status: Status of the path; None reads it.
        hint: Advice for errors.
        error: Exception type.

    Raises:
        VireidError: Of type ``error``. The path is a named pipe, socket, device or folder.
    """
    if status is None:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "not a regular file")
    raise error(f"{path} is {kind}; a regular file is needed.", hint)


def read_bytes(
    path: Path,
    *,
    limit: int | None = None,
    hint: str = "",
    error: type[VireidError] = DataError,
) -> bytes:
    """Read a regular file; see ``open_regular`` for arguments and errors.

    Raises:
        MemoryError: Too little memory. Not converted, because the file is not the cause.
    """
    with open_regular(path, limit=limit, hint=hint, error=error) as file:
        try:
            # Not ``read(limit)``: Python allocates the requested size in advance.
            content = file.read(os.fstat(file.fileno()).st_size + 1)
            while more := file.read(MIB):  # files in /proc state the size 0
                content += more
                if limit is not None and len(content) > limit:
                    break
        except OSError as failure:
            raise error(f"{path} can't be read: {_reason(failure)}.", hint) from failure
    if limit is not None and len(content) > limit:
        raise error(f"{path} has more than {size_text(limit)}, the limit for such a file.", hint)
    return content


def read_text(
    path: Path,
    *,
    limit: int = TEXT_LIMIT,
    hint: str = "",
    error: type[VireidError] = DataError,
    surrogates: bool = False,
) -> str:
    """Read a UTF-8 text file; drops a byte order mark and converts line ends to ``\\n``.

    Args:
        path: Path of the file.
        limit: Largest accepted size in bytes.
        hint: Advice for errors.
        error: Exception type.
        surrogates: Whether to decode bytes that are not UTF-8 as lone surrogates, the inverse of
            ``files.write_text``. By default they are refused.

    Raises:
        VireidError: Of type ``error``. Same cases as ``open_regular``; or the bytes are not UTF-8 (the
            message names the line), or contain NUL characters, as UTF-16 and binary files do.
    """
    content = read_bytes(path, limit=limit, hint=hint, error=error)
    return decode(content, str(path), hint=hint, error=error, surrogates=surrogates)


def decode(
    content: bytes,
    name: str,
    *,
    hint: str = "",
    error: type[VireidError] = DataError,
    surrogates: bool = False,
) -> str:
    """Decode bytes as ``read_text`` does; ``name`` identifies the file in errors."""
    hint = hint or _SAVE_AGAIN
    if content.startswith(_WIDE):
        raise error(f"{name} is UTF-16 or UTF-32 text, not UTF-8.", hint)
    if (nul := content.find(b"\0")) >= 0:
        raise error(f"{name}:{_line_of(content, nul)}: a NUL byte; this is not a text file in UTF-8.", hint)
    try:
        text = content.decode("utf-8-sig", "surrogateescape" if surrogates else "strict")
    except UnicodeDecodeError as failure:
        start = failure.start + (len(content) - len(failure.object))  # without the byte order mark
        line, byte = _line_of(content, start), content[start]
        raise error(f"{name}:{line}: byte 0x{byte:02x} is not UTF-8 text.", hint) from failure
    return text.replace("\r\n", "\n").replace("\r", "\n")


def names_in_archive(path: Path) -> frozenset[str]:
    """Names of the entries of a ZIP archive; empty for every other path, a named pipe included."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return frozenset(archive.namelist())
    except (
        VireidError,
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        struct.error,
        zipfile.BadZipFile,
    ):
        return frozenset()


def size_text(size: int) -> str:
    """Format a number of bytes: ``12 bytes``, ``3.4 MiB``, ``2.0 GiB``."""
    if size < 1024:
        return f"{size} bytes"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    raise AssertionError(size)


def shorten(text: str) -> str:
    """Shorten text for a message, on one line; control characters become escapes."""
    if len(text) <= _SHOWN:
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return f"{shorten(text[:_SHOWN])}… ({len(text):,} characters)"


def _line_of(content: bytes, position: int) -> int:
    """Line number of a byte, from 1."""
    return content.count(b"\n", 0, position) + 1


def _reason(failure: Exception) -> str:
    """The system's text for an error."""
    return getattr(failure, "strerror", None) or str(failure)
