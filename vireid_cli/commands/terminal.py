"""The terminal: prints every string as it is, never as markup, and ends quietly if nobody reads any more."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, Any, NoReturn, cast

from rich.console import Console
from rich.text import Text

from vireid_cli.printable import printable

BROKEN_PIPE = 141
"""Exit code if the reader of the output went away: 128 + SIGPIPE, as a shell reports it of other programs."""


class Terminal(Console):
    """A console on which no string is markup and no character of a string is obeyed.

    Cells, titles and headings of tables are such strings, too. Output to a reader that went away (``| head``)
    ends the process; lost messages on stderr do not end work whose results go elsewhere.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(
            stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as rich's ``Text``: literally, with unprintable characters escaped."""
        options |= {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(printable(text), **options)

    @property
    def file(self) -> IO[str]:
        """The stream that is written to."""
        stream = cast(IO[str], Console.file.fget(self))  # type: ignore[attr-defined]
        return cast(IO[str], _Lossy(stream)) if self.stderr else stream

    @file.setter
    def file(self, stream: IO[str]) -> None:
        """Write to another stream."""
        Console.file.fset(self, stream)  # type: ignore[attr-defined]

    def on_broken_pipe(self) -> None:
        """End the process."""
        leave_unread()


def leave_unread() -> NoReturn:
    """End the process because nobody reads its output; without a word."""
    discard_output()
    raise SystemExit(BROKEN_PIPE)


def discard_output() -> None:
    """Send further output nowhere, so that the interpreter's last flush does not fail either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # replaced by an object without a descriptor
        pass
    finally:
        os.close(nowhere)


class _Lossy:
    """A stream whose writes are lost if nobody reads them: a closed pipe, a terminal that hung up."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or lose it; returns its length."""
        try:
            return self._stream.write(text)
        except OSError as error:
            return _ignore_unread(error, len(text))

    def flush(self) -> None:
        """Write out what is buffered, or lose it."""
        try:
            self._stream.flush()
        except OSError as error:
            _ignore_unread(error)


def _ignore_unread(error: OSError, written: int = 0) -> int:
    if error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
        raise error
    return written
