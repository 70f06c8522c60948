"""The option ``--plugin`` of every command that can load a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vireid_cli import files, plugins
from vireid_cli.commands.shared_options import parameters_of

WITHOUT = ("prepare", "results", "runs", "crop")
"""Commands and groups that load no method."""


def _register(paths: list[Path] | None) -> list[Path] | None:
    """Add the methods of each path."""
    for path in paths or ():
        plugins.add(files.expand(path))
    return paths


def _command(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="PATH",
            help="File or folder of your own methods; repeatable. Its code is executed.",
            envvar="VIREID_PLUGINS",
            callback=_register,
            is_eager=True,
            expose_value=False,
        ),
    ] = None,
) -> None:
    """Carry the option."""


def add_plugin_option(command: Any, words: tuple[str, ...] = ()) -> None:
    """Add the option to all commands below a group, except those that load no method."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name, child in inner.items():
            if name not in WITHOUT:
                add_plugin_option(child, (*words, name))
    elif words:
        command.params += parameters_of(_command)
