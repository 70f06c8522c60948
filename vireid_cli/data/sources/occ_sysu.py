"""Occ-SYSU-MM01: SYSU-MM01 with occluders before its people, as ``vireid prepare occluded`` writes it."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data.occluded import how_to_get, scan_as
from vireid_cli.data.sources import Scan

TITLE = "Occ-SYSU-MM01"
FOLDER = "Occ-SYSU-MM01"
PROTOCOL = "sysu"
HOW_TO_GET = how_to_get("sysu")


def scan(root: Path) -> Scan:
    """Read the tree as the base's source does; see ``scan_as`` for what is refused."""
    return scan_as("sysu", root)
