"""Layouts of rendered trees: cameras, visibility of people, paths of images, and lists.

Each ``layout_<name>.py`` beside this file has one public value, ``LAYOUT``; ``<name>`` is the dataset's name.
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
    """A dataset's layout on disk.

    Attributes:
        title: The dataset's title, as in the manifest.
        folder: Usual name of the root folder.
        images: Default number of images of each person and camera, before the camera's ``richness``.
        cameras: Cameras, keyed by a number unique over both modalities; it seeds an image's draws.
        plan: (people, seed, additional test people) → split and cameras of each person.
        place: (plan, camera, pid, frame from 1) → path under the root; ``.jpg`` or ``.bmp``.
        lists: (options, plan) → content of every other file, keyed by its path under the root.
    """

    title: str
    folder: str
    images: int
    cameras: Mapping[int, Camera]
    plan: Callable[[int, int, int], Plan]
    place: Callable[[Plan, int, int, int], str]
    lists: Callable[[RenderOptions, Plan], dict[str, bytes]]


def layout_names() -> list[str]:
    """Return the names of all layouts, from the files of this folder."""
    files = Path(__file__).parent.glob("layout_*.py")
    return sorted(path.stem.removeprefix("layout_") for path in files)


def load_layout(name: str) -> Layout:
    """Load the layout with this name.

    Raises:
        UsageError: Unknown name; the message suggests the nearest one.
    """
    names = layout_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"unknown layout '{name}'" + (f" (did you mean '{near[0]}'?)" if near else ""),
            f"known: {', '.join(names)}",
        )
    module = importlib.import_module(f"vireid_cli.rendered.layout_{name}")
    return cast(Layout, module.LAYOUT)
