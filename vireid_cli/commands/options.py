"""Options that several commands share, and the engine that they choose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.types import Size

DataDir = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory.", envvar="VIREID_DATA", show_default="./data"),
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs", help="Folder of run folders.", envvar="VIREID_RUNS", show_default="./runs"),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
PrecisionOption = Annotated[
    str, typer.Option(help="auto, fp32, bf16 or fp16; auto is bf16 where the processor has it.")
]
RunName = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Run folder or its name; the newest by default.")
]


def make_engine(
    device: str = "auto", precision: str = "auto", data: Path | None = None, runs: Path | None = None
) -> Engine:
    """An engine that reports to the console."""
    from vireid_cli.commands.console import ConsoleReporter
    from vireid_cli.engine.engine import Engine

    return Engine.choose(device, precision, reporter=ConsoleReporter(), data_dir=data, runs_dir=runs)


def refuse_idle(context: typer.Context, why: str, *names: str) -> None:
    """Refuse options that were typed although another one leaves them without effect.

    A default that is typed is refused, too. Options of place (``--data``, ``--runs``, ``--device``) are never
    named: scripts give them to every command, and they don't change what comes out.

    Args:
        context: Of the command.
        why: The other option and what it does, as the beginning of a sentence.
        names: Parameters of the command's function.

    Raises:
        UsageError: At least one was typed; all that were are named.
    """
    typed = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            typed.append(max(parameter.opts, key=len) if parameter.param_type_name == "option" else "RUN")
    if typed:
        raise UsageError(f"{why}: {', '.join(typed)} would change nothing, leave out.")


def refuse_overridden(settings: Sequence[str]) -> None:
    """Refuse a ``KEY=VALUE`` whose key, or a section that holds it, is set again after it.

    Raises:
        UsageError: There is one; names both.
    """
    keys = [text.partition("=")[0].strip().split(".") for text in settings]
    for i, (first, key) in enumerate(zip(settings, keys, strict=True)):
        for later, other in zip(settings[i + 1 :], keys[i + 1 :], strict=True):
            if key[: len(other)] == other:
                raise UsageError(
                    f"{first} would change nothing: {later} comes after it.",
                    "Say it once. --dataset, --trial and --seed are short for data.dataset, data.trial and "
                    "train.seed.",
                )


def parse_size(text: str) -> Size:
    """``288x144`` → (288, 144): height × width.

    Raises:
        UsageError: Not of that form, or out of 32..1024 × 16..1024.
    """
    found = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text.strip())
    if not found:
        raise UsageError(f"--size {text}: expected HEIGHTxWIDTH, such as 288x144.")
    height, width = int(found[1]), int(found[2])
    if not (32 <= height <= 1024 and 16 <= width <= 1024):
        raise UsageError(f"--size {text}: height must be 32 to 1024 and width 16 to 1024 pixels.")
    return height, width
