"""People before and after occluders were put before them, or the library of occluders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vireid_cli.engine import occlusion
from vireid_cli.engine.drawings import Studio

RUNS = (0, 0)


def draw(studio: Studio, **options: Any) -> Path:
    """Draw the sheet; see ``engine.occlusion.figure``."""
    return occlusion.figure(
        data_dir=studio.data_dir, reporter=studio.reporter, output=studio.output, **options
    )
