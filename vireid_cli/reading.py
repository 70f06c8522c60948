"""Open a user's files for reading: every reader goes through ``open_regular``.

It refuses what is not a regular file (a FIFO would block for ever, a device has no end) and what is larger
than the reader's limit, before a byte is read.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import IO

from vireid_cli.errors import DataError, VireidError

MIB = 1 << 20
GIB = 1 << 30

TEXT_LIMIT = GIB
"""Bytes of a text file: a list of ten million images has fewer."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_SHOWN = 60
"""Characters of a value that a message shows."""

_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE_AGAIN = "Save the file as UTF-8 text."


def open_regular(
    path: Path,
    *,
    limit: int | None = None,
    hint: str = "",
    error: type[VireidError] = DataError,
) -> IO[bytes]:
    """Open a regular file for reading bytes; symbolic links are followed.

    Args:
        path: The file.
        limit: Bytes that it may have; None: any number.
        hint: What to do if it can't be opened.
        error: Type of the exception.

    Returns:
        The open file; the caller closes it.

    Raises:
        VireidError: Of type ``error``: the path does not exist, is not a regular file (named pipe, socket,
            device, folder), is larger than ``limit``, or can't be read.
    """
    try:
        refuse_irregular(path, os.stat(path), hint=hint, error=error)
        # O_NONBLOCK: a file that a pipe replaces after the check must not block either
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
    """Refuse a path that exists and is not a regular file, without opening it.

    Args:
        path: The path; one that does not exist passes.
        status: Of the path, if it is known already.
        hint: What to do.
        error: Type of the exception.

    Raises:
        VireidError: Of type ``error``: the path is a named pipe, socket, device or folder.
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
    """Content of a regular file; see ``open_regular`` for arguments and errors.

    Raises:
        MemoryError: The process has too little memory, which is no fault of the file.
    """
    with open_regular(path, limit=limit, hint=hint, error=error) as file:
        try:
            # not ``limit``: Python takes as much memory as it is asked to read
            content = file.read(os.fstat(file.fileno()).st_size + 1)
            while more := file.read(MIB):  # a file of /proc has the size 0 and any content
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
    """Text of a regular file in UTF-8; a byte order mark is dropped, line ends become ``\\n``.

    Args:
        path: The file.
        limit: Bytes that it may have.
        hint: What to do if it can't be read.
        error: Type of the exception.
        surrogates: Read other bytes as lone surrogates, the way ``files.write_text`` writes them; False:
            refuse them.

    Raises:
        VireidError: Of type ``error``: as ``open_regular``; or the bytes are not UTF-8 (the line is named),
            or hold NUL characters, as UTF-16 and binary files do.
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
    """Text of bytes, as ``read_text`` decodes them; ``name`` is the file's in errors."""
    hint = hint or _SAVE_AGAIN
    if content.startswith(_WIDE):
        raise error(f"{name} is UTF-16 or UTF-32 text, not UTF-8.", hint)
    if (nul := content.find(b"\0")) >= 0:
        raise error(f"{name}:{_line_of(content, nul)}: a NUL byte; this is not a text file in UTF-8.", hint)
    try:
        text = content.decode("utf-8-sig", "surrogateescape" if surrogates else "strict")
    except UnicodeDecodeError as failure:
        start = failure.start + (len(content) - len(failure.object))  # the byte order mark is cut off
        line, byte = _line_of(content, start), content[start]
        raise error(f"{name}:{line}: byte 0x{byte:02x} is not UTF-8 text.", hint) from failure
    return text.replace("\r\n", "\n").replace("\r", "\n")


def size_text(size: int) -> str:
    """A number of bytes in words: ``12 bytes``, ``3.4 MiB``, ``2.0 GiB``."""
    if size < 1024:
        return f"{size} bytes"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    raise AssertionError(size)


def shorten(text: str) -> str:
    """The text on one line, cut if it is too long for a message; control characters as escapes."""
    if len(text) <= _SHOWN:
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return f"{shorten(text[:_SHOWN])}… ({len(text):,} characters)"


def _line_of(content: bytes, position: int) -> int:
    """Line number of a byte, from 1."""
    return content.count(b"\n", 0, position) + 1


def _reason(failure: Exception) -> str:
    """The system's reason in a few words."""
    return getattr(failure, "strerror", None) or str(failure)
