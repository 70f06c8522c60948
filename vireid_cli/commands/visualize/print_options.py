"""Options of figures for print: ``--width``, ``--no-title`` and ``--labels``.

They are added to every command of a figure that is an image, so that each figure has them.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from vireid_cli.commands.shared_options import parameters_of
from vireid_cli.errors import UsageError

UNITS = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0, "pt": 1 / 72}
"""Inches of each unit."""

NARROWEST, WIDEST = 1.0, 40.0
"""Range of the width in inches."""


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """Values of the options.

    Attributes:
        width: Width in inches; None: the figure's own.
        title: Whether the title is drawn.
        labels: Labels of the runs; empty: those of their recipes.
    """

    width: float | None = None
    title: bool = True
    labels: tuple[str, ...] = ()


_DEFAULT = PrintOptions()
_given: ContextVar[PrintOptions] = ContextVar("print_options", default=_DEFAULT)


def given() -> PrintOptions:
    """Return the options of the command line that is executed."""
    return _given.get()


def parse_width(text: str) -> float:
    """Convert a width such as 85mm, 8.5cm, 3.35in or 241pt to inches.

    Raises:
        UsageError: The text has another form, or the width is out of range.
    """
    match = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?)[ ]?(mm|cm|in|pt)", text.strip().lower())
    if not match:
        raise UsageError(f"--width {text}: expected a number and a unit: 85mm, 8.5cm, 3.35in or 241pt.")
    inches = float(match[1]) * UNITS[match[2]]
    if not NARROWEST <= inches <= WIDEST:
        raise UsageError(f"--width {text}: expected 25.4mm to 1016mm.", "A column of a paper has about 85mm.")
    return inches


def _set_width(text: str | None) -> str | None:
    _given.set(replace(given(), width=parse_width(text) if text else None))
    return text


def _set_title(value: bool) -> bool:
    _given.set(replace(given(), title=not value))
    return value


def _set_labels(text: str | None) -> str | None:
    labels = tuple(label.strip() for label in (text or "").split(",") if label.strip())
    _given.set(replace(given(), labels=labels))
    return text


def _options(
    width: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="Width in print, such as 85mm; charts are drawn for it, other figures are scaled.",
            show_default="the figure's own",
            callback=_set_width,
            expose_value=False,
        ),
    ] = None,
    no_title: Annotated[
        bool,
        typer.Option(
            "--no-title", help="Omit the title and its subtitle.", callback=_set_title, expose_value=False
        ),
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Labels of the runs, separated by commas.",
            show_default="of the recipes",
            callback=_set_labels,
            expose_value=False,
        ),
    ] = None,
) -> None:
    """Carry the options."""


def add_print_options(command: Any) -> None:
    """Add the options to all figures below a group; labels to figures of runs only."""
    inner = getattr(command, "commands", None)
    for child in inner.values() if inner is not None else ():
        add_print_options(child)
    names = {parameter.name for parameter in command.params}
    if inner is None and "dpi" in names:
        has_runs = "run" in names
        command.params += [p for p in parameters_of(_options) if has_runs or p.name != "labels"]
