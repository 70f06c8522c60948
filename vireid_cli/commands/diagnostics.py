"""Diagnostics on stderr: the option ``-v`` of every command, and warnings of libraries.

Without ``-v``, stderr has warnings that libraries log. ``-v`` adds this package's diagnostics at level INFO,
``-vv`` at DEBUG. Libraries stay at WARNING.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer

from vireid_cli.commands.shared_options import parameters_of

PACKAGE = "vireid_cli"


class _StderrHandler(logging.Handler):
    """Prints records through the console, which escapes unprintable characters."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, unless its text is printed as a message of the command."""
        if getattr(record, "printed", False):
            return
        from vireid_cli.commands.console import print_diagnostic

        try:
            text = f"{record.levelname.lower()}: {record.name}: {record.getMessage()}"
            if record.exc_info and record.exc_info[1] is not None:
                text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
            print_diagnostic(text)
        except Exception:  # a record of a library may have a wrong format
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore records that can't be printed."""


def start(verbosity: int = 0) -> None:
    """Print diagnostics to stderr from now on.

    Args:
        verbosity: Number of ``-v``: 0 for warnings of libraries only, 1 for INFO, 2 and more for DEBUG.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, _StderrHandler) for handler in root.handlers):
        root.addHandler(_StderrHandler())
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    logging.getLogger(PACKAGE).setLevel(level)


def _verbosity(context: typer.Context, count: int) -> int:
    """Add the options before and after the name of the command."""
    if count:
        meta = context.find_root().meta
        meta["verbosity"] = meta.get("verbosity", 0) + count
        start(meta["verbosity"])
    return count


def _command(
    verbosity: Annotated[
        int,
        typer.Option(
            "-v",
            count=True,
            show_default=False,
            metavar="",
            help="Print diagnostics to stderr; -vv: more.",
            callback=_verbosity,
            is_eager=True,
            expose_value=False,
        ),
    ] = 0,
) -> None:
    """Carry the option."""


def add_verbosity_option(command: Any) -> None:
    """Add ``-v`` to a group and to all commands below it."""
    command.params += parameters_of(_command)
    for child in getattr(command, "commands", {}).values():
        add_verbosity_option(child)
