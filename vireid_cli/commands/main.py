"""The command ``vireid``."""

from __future__ import annotations

import io
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
    evaluate,
    evaluate_features,
    explain,
    export,
    import_run,
    occlude,
    prepare,
    recipes,
    results,
    train,
    visualize,
)
from vireid_cli.commands.root import RootGroup, flush_output, memory_error
from vireid_cli.commands.terminal import leave_unread
from vireid_cli.errors import Interrupted, VireidError
from vireid_cli.version import __version__

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
visualize.app.command("occlusion")(occlude.visualize_occlusion)
bench.app.command("occlude")(occlude.bench_occlude)
app.add_typer(prepare.app, name="prepare")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("evaluate-features")(evaluate_features.evaluate_features)
app.command("explain")(explain.explain)
app.command("cost")(cost.cost)
app.add_typer(visualize.app, name="visualize")
app.add_typer(export.app, name="export")
app.command("import")(import_run.import_checkpoint)
app.command("compare")(compare.compare)
app.command("results")(results.results)
app.add_typer(recipes.app, name="recipes")
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


def main() -> None:
    """Run the command line: exit 0 done, 1 failure, 2 wrong use, 130 interrupted, 141 output unread."""
    _listen()
    _open_streams()
    try:
        _run()
    except SystemExit as done:
        if isinstance(done.__context__, BrokenPipeError):  # rich's answer to it while help is printed
            leave_unread()
        _finish()
        raise
    _finish()


def _run() -> None:
    """Run the command line; every error that a user can cause ends in a message."""
    try:
        app()
    except VireidError as error:
        _leave(error)
    except OSError as error:
        if error.errno is None:
            raise  # not the system's answer about a file: a mistake of ours
        place = f"{error.filename}: " if error.filename else ""
        _leave(memory_error(error) or VireidError(f"{place}{error.strerror}"))
    except SystemExit as done:
        if done.code == Interrupted.exit_code:  # Ctrl-C or SIGTERM, which typer turned into an exit
            _leave(Interrupted("stopped.", "The same command starts again; what is whole is kept."))
        raise
    except Exception as error:
        explained = memory_error(error)
        if explained is None:
            raise
        _leave(explained)


def _finish() -> None:
    """Write out what is still buffered, where a failure can still be reported."""
    try:
        if not flush_output():
            leave_unread()
    except VireidError as error:
        _leave(error)


def _leave(error: VireidError) -> NoReturn:
    """Say what is wrong and what to do, and end with its exit code."""
    from vireid_cli.commands.console import print_error

    print_error(error)
    sys.exit(error.exit_code)


def _open_streams() -> None:
    """Make the output take whatever is printed: a closed one nothing, a narrow character set with marks."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 — for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _listen() -> None:
    """Let SIGTERM and SIGHUP (the terminal is gone) interrupt like Ctrl-C; what was finished is kept.

    A signal that the parent has switched off, as ``nohup`` does, stays switched off.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
