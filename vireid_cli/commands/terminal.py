"""Console that prints strings literally, without markup, and exits silently once its reader is gone."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, Any, NoReturn, cast

from rich.console import Console
from rich.text import Text

from vireid_cli.printable import printable

BROKEN_PIPE = 141
"""Exit code if the reader of stdout is gone: 128 + SIGPIPE, as shells report it for other programs."""


class Terminal(Console):
    """A console that interprets neither markup nor control characters in strings, table cells included.

    The process exits if the reader of stdout is gone (``| head``). Messages to a closed stderr are dropped,
    because results may still be written to stdout or to files.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(
            stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a string to rich's ``Text`` literally, with unprintable characters escaped."""
        options |= {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(printable(text), **options)

    @property
    def file(self) -> IO[str]:
        """The output stream; a stderr drops text that it can't write."""
        stream = cast(IO[str], Console.file.fget(self))  # type: ignore[attr-defined]
        return cast(IO[str], _Lossy(stream)) if self.stderr else stream

    @file.setter
    def file(self, stream: IO[str]) -> None:
        """Set the output stream."""
        Console.file.fset(self, stream)  # type: ignore[attr-defined]

    def on_broken_pipe(self) -> None:
        """Exit; rich calls this if the reader of the output is gone."""
        exit_unread()


def exit_unread() -> NoReturn:
    """Exit without a message because the reader of stdout is gone."""
    discard_output()
    raise SystemExit(BROKEN_PIPE)


def discard_output() -> None:
    """Redirect stdout to the null device, so that the interpreter's last flush does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # stdout is an object without a descriptor
        pass
    finally:
        os.close(null)


class _Lossy:
    """Stream that drops text instead of failing if its reader is gone: a closed pipe or terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write or drop text; returns its length."""
        try:
            return self._stream.write(text)
        except OSError as error:
            return _ignore_unread(error, len(text))

    def flush(self) -> None:
        """Write or drop the buffered text."""
        try:
            self._stream.flush()
        except OSError as error:
            _ignore_unread(error)


def _ignore_unread(error: OSError, written: int = 0) -> int:
    if error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
        raise error
    return written
