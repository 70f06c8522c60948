"""The layouts that a rendered tree can have: cameras, who was seen, where files belong, which lists.

Each ``layout_<name>.py`` beside this file has one public value, ``LAYOUT``; its name is its dataset's.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vireid_cli.errors import UsageError
from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Plan


@dataclass(frozen=True, slots=True)
class Layout:
    """One dataset's way of lying on disk.

    Attributes:
        title: As the manifest and people call it.
        folder: The root's usual name.
        images: Images of each person by each camera that saw it, unless something else is asked for.
        cameras: By a number of their own, unique over both modalities: the key of an image's draws.
        plan: (people, seed) → who belongs to which split and was seen by which cameras.
        place: (plan, camera, pid, frame from 1) → path under the root; ``.jpg`` or ``.bmp``.
        lists: (options, plan) → content of every other file by its path under the root.
    """

    title: str
    folder: str
    images: int
    cameras: Mapping[int, Camera]
    plan: Callable[[int, int], Plan]
    place: Callable[[Plan, int, int, int], str]
    lists: Callable[[RenderOptions, Plan], dict[str, bytes]]


def layout_names() -> list[str]:
    """Names of all layouts: the files of this folder."""
    files = Path(__file__).parent.glob("layout_*.py")
    return sorted(path.stem.removeprefix("layout_") for path in files)


def load_layout(name: str) -> Layout:
    """The layout of that name.

    Raises:
        UsageError: There is no such file; the nearest name is suggested.
    """
    names = layout_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"nothing is rendered in a layout '{name}'" + (f" (did you mean '{near[0]}'?)" if near else ""),
            f"known: {', '.join(names)}",
        )
    module = importlib.import_module(f"vireid_cli.rendered.layout_{name}")
    return cast(Layout, module.LAYOUT)
