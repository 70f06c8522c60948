"""Root command group ``vireid``: messages about wrong use, lack of memory and unread output."""

from __future__ import annotations

import errno
import select
import sys
from functools import partial
from typing import Any

import typer
from typer import core

from vireid_cli.commands.diagnostics import add_verbosity_option
from vireid_cli.commands.help_groups import arrange
from vireid_cli.commands.plugin_option import add_plugin_option
from vireid_cli.commands.terminal import discard_output, exit_unread
from vireid_cli.commands.visualize.print_options import add_print_options
from vireid_cli.errors import VireidError
from vireid_cli.printable import printable_lines

CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""Click's ``ClickException``, from the package click or from typer's copy of it."""


class RootGroup(core.TyperGroup):
    """Typer's command group with escape sequences of arguments made visible in messages about wrong use."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.name == "vireid":  # complete only here: groups are built before the root
            add_plugin_option(self)
            add_print_options(self)
            add_verbosity_option(self)
            arrange(self)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line; see click's ``Command.main``."""
        standalone = options.pop("standalone_mode", True)
        run = partial(super().main, *args, **(options | {"standalone_mode": False}))
        if not standalone:
            return run()
        try:
            code = run()
        except CLICK_ERROR as error:
            _show(error)
            sys.exit(getattr(error, "exit_code", 2))
        except typer.Abort:
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; see click's ``Command.invoke``."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if is_unread():
                exit_unread()
            raise VireidError(
                "a worker process exited before its work was complete.", "Run the command again."
            ) from error


def _show(error: Any) -> None:
    """Print click's error in typer's format, with unprintable characters escaped."""
    text = "\n".join(printable_lines(error.format_message()))
    error.format_message = lambda: text
    if getattr(core, "HAS_RICH", True):
        from typer import rich_utils

        rich_utils.rich_format_error(error)
    else:
        error.show()


_NO_MEMORY = (
    *("failed to map segment", "cannot allocate memory", "can't allocate memory", "not enough memory"),
    *("can't start new thread", "bad_alloc", "insufficient memory", "out of memory"),
)


def memory_error(error: BaseException) -> VireidError | None:
    """Convert an exception about lack of memory or threads to a ``VireidError``; None for other exceptions.

    Lack of memory raises Python's ``MemoryError``, an ``ImportError`` if a library can't be mapped,
    ``RuntimeError`` in torch's allocators and for new threads, or OpenCV's exception.
    """
    text = str(error)
    out_of_memory = isinstance(error, MemoryError) or any(form in text.lower() for form in _NO_MEMORY)
    if isinstance(error, OSError):
        out_of_memory = error.errno in (errno.ENOMEM, errno.EAGAIN) and error.filename is None
    if not out_of_memory:
        return None
    first = next((line for line in text.splitlines() if any(f in line.lower() for f in _NO_MEMORY)), "")
    reason = f" ({first.strip()[:200]})" if first.strip() else ""
    if isinstance(error, ImportError):
        return VireidError(
            f"not enough memory to load the libraries{reason}.",
            "Raise the limit of the process (ulimit -v unlimited) or free some memory.",
        )
    return VireidError(
        f"not enough memory{reason}.",
        "Use fewer workers or smaller batches, free some memory, or raise the process's limit (ulimit -v).",
    )


def flush_output() -> bool:
    """Flush stdout before the interpreter does. Returns False if its reader is gone.

    Raises:
        VireidError: Writing failed, such as on a full disk.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    except OSError as error:
        discard_output()
        raise VireidError(f"the output can't be written: {error.strerror}") from error
    except ValueError:  # already closed
        return True
    return True


def is_unread() -> bool:
    """Whether stdout is a pipe without a reader, as in ``vireid … | head``."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (AttributeError, OSError, ValueError):  # Windows has no poll; stdout may have no descriptor
        return True
    return any(event & select.POLLERR for _, event in poll.poll(0))
