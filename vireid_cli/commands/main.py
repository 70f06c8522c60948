"""The command ``vireid``."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from vireid_cli.commands import (
    bench,
    compare,
    cost,
    crop,
    diagnostics,
    embed,
    evaluate,
    evaluate_features,
    explain,
    export,
    import_run,
    index,
    methods,
    occlude,
    prepare,
    recipes,
    results,
    search,
    serve,
    train,
    tune,
    visualize,
)
from vireid_cli.commands.root import RootGroup, flush_output, memory_error
from vireid_cli.commands.terminal import exit_unread
from vireid_cli.errors import Interrupted, ReportedElsewhere, VireidError
from vireid_cli.version import __version__

_log = logging.getLogger(__name__)

app = typer.Typer(
    name="vireid",
    help="Visible-infrared person re-identification: prepare, train, evaluate, visualize, export.\n\n"
    "Example: vireid prepare synthetic",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    cls=RootGroup,
)
prepare.app.command("occluders")(occlude.occluders)
prepare.app.command("occluded")(occlude.occluded)
app.add_typer(prepare.app, name="prepare")
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("evaluate")(evaluate.evaluate)
app.command("evaluate-features")(evaluate_features.evaluate_features)
app.command("embed")(embed.embed)
app.command("explain")(explain.explain)
app.command("cost")(cost.cost)
app.add_typer(visualize.app, name="visualize")
app.add_typer(export.app, name="export")
app.command("crop")(crop.crop)
app.command("import")(import_run.import_checkpoint)
app.command("compare")(compare.compare)
app.command("results")(results.results)
app.command("runs")(results.list_runs)
app.add_typer(index.app, name="index")
app.command("serve")(serve.serve)
app.command("search")(search.search)
app.add_typer(recipes.app, name="recipes")
app.add_typer(methods.app, name="methods")
app.add_typer(bench.app, name="bench")


def _version(value: bool) -> None:
    if value:
        from vireid_cli.commands.console import print_line

        print_line(f"vireid {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Visible-infrared person re-identification: prepare, train, evaluate, visualize, export.

    Example: vireid prepare synthetic
    """


def _folder_error() -> VireidError | None:
    """Return the error for a current folder that was deleted; None if it exists."""
    try:
        os.getcwd()
    except OSError:
        return VireidError(
            "the current folder does not exist any more", "Change to another folder (cd) and run this again."
        )
    return None


def main() -> None:
    """Run the command line.

    Exit codes: 0 success, 1 failure, 2 wrong use, 130 interrupted, 141 the reader of stdout is gone.
    """
    try:
        _handle_signals()
        _prepare_streams()
        diagnostics.start()
        _run_and_finish()
    except KeyboardInterrupt:  # outside the commands: at the start, at the end, or in an error's message
        _exit_interrupted()


def _run_and_finish() -> None:
    """Run the command line and flush its output."""
    try:
        _run()
    except SystemExit as done:
        if isinstance(done.__context__, BrokenPipeError):  # rich exits on it while it prints help
            exit_unread()
        _finish()
        raise
    _finish()


def _exit_interrupted() -> NoReturn:
    """Print that the work was interrupted, and exit; a second interruption exits without the message."""
    try:
        _exit_with(Interrupted("stopped.", "Completed parts are kept; run the same command again."))
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)


def _run() -> None:
    """Run the command line; print a message for every error that a user can cause."""
    try:
        app(prog_name="vireid")
    except VireidError as error:
        _exit_with(error)
    except OSError as error:
        if error.errno is None:
            raise  # not raised by a system call: a bug
        place = f"{error.filename}: " if error.filename else ""
        _exit_with(memory_error(error) or _folder_error() or VireidError(f"{place}{error.strerror}"))
    except SystemExit as done:
        if done.code == Interrupted.exit_code:  # typer turns Ctrl-C and SIGTERM into an exit
            _exit_interrupted()
        raise
    except Exception as error:
        known = memory_error(error) or _plugin_error(error)
        if known is None:
            raise
        _exit_with(known)


def _plugin_error(error: Exception) -> VireidError | None:
    """Convert an error of a plugin's code, and log its traceback; None for other errors."""
    import traceback

    from vireid_cli.plugins import error_of_plugin

    known = error_of_plugin(error)
    if known is not None:
        for line in traceback.format_exception(error):
            _log.info("%s", line.rstrip())
    return known


def _finish() -> None:
    """Flush stdout while a failure can still be reported."""
    try:
        if not flush_output():
            exit_unread()
    except VireidError as error:
        _exit_with(error)


def _exit_with(error: VireidError) -> NoReturn:
    """Print an error and its hint, unless another process does, and exit with its code."""
    if isinstance(error, ReportedElsewhere):
        sys.exit(error.exit_code)
    from vireid_cli.commands.console import print_error

    print_error(error)
    sys.exit(error.exit_code)


def _prepare_streams() -> None:
    """Replace closed output streams by the null device, and unencodable characters by question marks."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 — open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # the C locale has surrogateescape, which fails on characters outside ASCII as strict does
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _handle_signals() -> None:
    """Interrupt on SIGTERM and SIGHUP as on Ctrl-C, so that completed parts are kept.

    A signal that the parent process ignores, as ``nohup`` does, remains ignored.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
