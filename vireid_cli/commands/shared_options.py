"""Options that are added to many built commands at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.main import get_command


def parameters_of(function: Callable[..., None]) -> list[Any]:
    """Return new parameters for the options of a function with typer's annotations.

    The options have callbacks and are not passed to the command (``expose_value=False``).
    """
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return [parameter for parameter in get_command(app).params if parameter.name != "help"]
