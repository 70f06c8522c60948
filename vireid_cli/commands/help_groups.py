"""Groups of options in the help of the commands.

The groups act on the built commands, so that a new command needs no further code. An option that names its
own group (``rich_help_panel``) keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GROUPS: dict[str, tuple[str, ...]] = {
    "Data": (
        *("data", "dataset", "base", "root", "library", "size", "resize", "depth", "exif", "skip_bad"),
        *("split", "runs", "runs_dir"),
    ),
    "Protocol": (
        *("mode", "shots", "protocol", "trials", "trial", "direction", "far", "rerank", "flip", "against"),
        *("allow_overlap", "features", "ema"),
    ),
    "Output": (
        *("out", "format", "dpi", "width", "no_title", "labels", "json", "as_json"),
        *("markdown", "latex", "csv", "breakdown", "verbose", "verbosity", "force"),
    ),
    "Device": ("device", "precision", "workers", "threads", "batch", "gpus", "processes", "spread"),
}
"""Parameters of the commands' functions by the title of their group."""

LEAST_OPTIONS = 7
"""Smallest number of visible options of a command with groups."""


def arrange(command: Any) -> None:
    """Group the options of a command, or of all commands below a group."""
    titles = {name: title for title, names in GROUPS.items() for name in names}
    for leaf in _leaves(command):
        options = [p for p in leaf.params if p.param_type_name == "option" and not p.hidden]
        for option in options:
            if len(options) >= LEAST_OPTIONS and option.rich_help_panel is None:
                option.rich_help_panel = titles.get(option.name)


def _leaves(command: Any) -> Iterator[Any]:
    """The commands below a group, or the command itself."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield command
        return
    for child in inner.values():
        yield from _leaves(child)
