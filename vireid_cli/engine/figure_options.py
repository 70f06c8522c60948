"""Types of the options of ``Engine.visualize``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from vireid_cli.types import Modality, Size


class FigureOptions(TypedDict, total=False):
    """Options of all figures; a figure accepts those of ``draw`` in its module of ``engine/visualize``."""

    all_pairs: bool
    amplitude: str
    by: str
    columns: int
    component: str
    ids: int
    images: Any
    key: str | None
    latency: bool
    library: Path | None
    library_sheet: bool
    metrics: Sequence[str]
    modality: Modality | None
    order: str | None
    paths: Sequence[str]
    phase_source: str
    pid: int | None
    pids: Sequence[int]
    protocol: str | None
    queries: int | None
    ranks: int
    rows: int
    seed: int
    size: Size
    steps: int
    weight: float
    where: Sequence[str]
