"""Occ-LLCM: LLCM with synthetic occluders, written by ``vireid prepare occluded``."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.data.occluded import how_to_get, scan_as
from vireid_cli.data.sources import Scan

TITLE = "Occ-LLCM"
FOLDER = "Occ-LLCM"
PROTOCOL = "llcm"
BASE = "llcm"
HOW_TO_GET = how_to_get(BASE)


def scan(root: Path) -> Scan:
    """Read the tree with the source of the base dataset; raises as ``scan_as``."""
    return scan_as(BASE, root)
