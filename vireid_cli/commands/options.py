"""Options shared by several commands, and checks of their combinations."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli import files
from vireid_cli.commands import completion
from vireid_cli.counts import counted
from vireid_cli.errors import UsageError
from vireid_cli.processors import cores, most_processes

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.types import Size


def expanded(path: Path | None) -> Path | None:
    """Expand ``~`` in an option's path; shells leave it in ``--data=~/x`` and in variables of services."""
    return None if path is None else files.expand(path)


def expanded_all(paths: list[Path] | None) -> list[Path] | None:
    """Expand ``~`` in each path of an option."""
    return None if paths is None else [files.expand(path) for path in paths]


def checked_count(parameter: typer.CallbackParam, count: int | None) -> int | None:
    """Refuse a number of processes or threads that would make the machine unusable.

    Raises:
        UsageError: It is larger than ``processors.most_processes``.
    """
    if count is not None and count > most_processes():
        raise UsageError(
            f"{parameter.opts[0]} {count}: the limit is {most_processes()} on a machine with "
            f"{counted(cores(), 'processor core')}.",
            f"Choose a number from 1 to {most_processes()}; {cores()} is usually fastest.",
        )
    return count


def finite(parameter: typer.CallbackParam, value: float | None) -> float | None:
    """Refuse infinity, which is in ranges without a maximum, and NaN, which is in all ranges of some typers.

    Raises:
        UsageError: The value of the option is one of them.
    """
    if value is not None and not math.isfinite(value):
        raise UsageError(f"{parameter.opts[0]} {value}: expected a finite number.")
    return value


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Data directory.", envvar="VIREID_DATA", show_default="./data", callback=expanded
    ),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        help="Folder of run folders.",
        envvar="VIREID_RUNS",
        show_default="./runs",
        callback=expanded,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
PrecisionOption = Annotated[
    str, typer.Option(help="auto, fp32, bf16 or fp16; auto is bf16 if the processor supports it.")
]
Gpus = Annotated[
    int | None, typer.Option(min=1, help="Number of GPUs of this machine; one process each (torchrun).")
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes of this machine (torchrun).", callback=checked_count),
]
RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="Run folder or its name; default: the newest run.",
        autocompletion=completion.runs,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of processes or threads.", show_default="all cores", callback=checked_count
    ),
]
LibraryFolder = Annotated[
    Path | None,
    typer.Option(
        "--library",
        help="Folder of the occluder library.",
        show_default="<data>/occluders",
        callback=expanded,
    ),
]


def launched(gpus: int | None, processes: int | None) -> bool:
    """Run the command line in several processes if ``--gpus`` or ``--processes`` requests it.

    Returns:
        Whether it ran.

    Raises:
        UsageError: Both are given, there are fewer GPUs, or torchrun already started this process.
        ReportedElsewhere: A process failed and printed the reason.
    """
    if gpus is None and processes is None:
        return False
    if gpus is not None and processes is not None:
        raise UsageError("--gpus and --processes exclude each other.", "Remove one of them.")
    if "LOCAL_RANK" in os.environ:
        raise UsageError("torchrun has already started several processes.", "Remove --gpus and --processes.")
    from vireid_cli.engine.launch import check_gpus, launch

    if gpus is not None:
        check_gpus(gpus)
    launch(gpus or processes or 1, without_options(sys.argv[1:], "--gpus", "--processes"))
    return True


def without_options(words: Sequence[str], *names: str) -> list[str]:
    """Remove options with their values, ``--name VALUE`` or ``--name=VALUE``, from a command line."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word.partition("=")[0] not in names:
            kept.append(word)
        skip = word in names
    return kept


def make_engine(
    device: str = "auto", precision: str = "auto", data: Path | None = None, runs: Path | None = None
) -> Engine:
    """Return an engine that prints its progress to the console.

    Raises:
        UsageError: The device does not exist, or the device does not support the precision.
    """
    from vireid_cli.commands.console import ConsoleReporter
    from vireid_cli.engine.engine import Engine

    return Engine.choose(device, precision, reporter=ConsoleReporter(), data_dir=data, runs_dir=runs)


def refuse_without_effect(context: typer.Context, reason: str, *names: str) -> None:
    """Refuse options on the command line that have no effect beside another option.

    Explicit defaults are refused, too. ``--data``, ``--runs`` and ``--device`` are always accepted, because
    scripts pass them to every command and they do not change the results.

    Args:
        context: Context of the command.
        reason: The other option and its effect, as the beginning of a sentence.
        names: Parameters of the command's function that have no effect.

    Raises:
        UsageError: The command line has such options; the message lists them all.
    """
    typed = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            typed.append(max(parameter.opts, key=len) if parameter.param_type_name == "option" else "RUN")
    if typed:
        effect, them = ("has", "it") if len(typed) == 1 else ("have", "them")
        raise UsageError(f"{reason}: {', '.join(typed)} {effect} no effect; remove {them}.")


def refuse_overridden(settings: Sequence[str]) -> None:
    """Refuse a ``KEY=VALUE`` if a later one sets the same key or a section that contains it.

    Raises:
        UsageError: A setting is overridden; the message names both.
    """
    keys = [text.partition("=")[0].strip().split(".") for text in settings]
    for i, (first, key) in enumerate(zip(settings, keys, strict=True)):
        for later, other in zip(settings[i + 1 :], keys[i + 1 :], strict=True):
            if key[: len(other)] == other:
                raise UsageError(
                    f"{first} has no effect: {later} overrides it.",
                    "Set each key once. --dataset, --trial and --seed set data.dataset, data.trial and "
                    "train.seed.",
                )


def parse_size(text: str) -> Size:
    """Parse a size in pixels: ``288x144`` → (288, 144), height and width.

    Raises:
        UsageError: The text has another form, or the size is outside of 32–1024 x 16–1024.
    """
    match = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text.strip())
    if not match:
        raise UsageError(f"--size {text}: expected HEIGHTxWIDTH, such as 288x144.")
    height, width = int(match[1]), int(match[2])
    if not (32 <= height <= 1024 and 16 <= width <= 1024):
        raise UsageError(f"--size {text}: height must be 32 to 1024 and width 16 to 1024 pixels.")
    return height, width
