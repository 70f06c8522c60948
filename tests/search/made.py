"""Small indexes of clustered vectors, and a plain search to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.search.index import Index

FINGERPRINT = {
    "weights_sha256": "a" * 64,
    "size": "64x32",
    "resize": "lanczos",
    "decoder": {},
    "embedding": "e",
}
COUNT, WIDTH = 240, 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(count: int = COUNT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Vectors of persons of eight images each."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count // 8 + 1, width))
    return unit(centres[np.arange(count) // 8] + 0.4 * random.standard_normal((count, width)))


def columns(count: int = COUNT, start: int = 0) -> dict[str, Sequence[Any]]:
    """Records: six cameras, both modalities, some persons and times unknown, two columns of a list."""
    numbers = range(start, start + count)
    return {
        "path": [f"cam{i % 6 + 1}/{i:05d}.jpg" for i in numbers],
        "modality": ["infrared" if i % 6 in (2, 5) else "visible" for i in numbers],
        "camid": [i % 6 + 1 for i in numbers],
        "pid": [None if i % 11 == 0 else i // 8 for i in numbers],
        "time": ["" if i % 7 == 0 else f"2026-11-{i % 28 + 1:02d}T08:00:00" for i in numbers],
        "door": ["north" if i % 3 else "it's; DROP TABLE records --" for i in numbers],
        "score": [i / 10 for i in numbers],
    }


def made(folder: Path, count: int = COUNT, **options: Any) -> Index:
    index = Index.create(folder, **options)
    index.add(people(count), columns(count), fingerprint=FINGERPRINT, root="/images")
    return index


def rows_of(count: int = COUNT) -> list[dict[str, Any]]:
    """The records as mappings, unknown values as None."""
    table = columns(count)
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    for row in rows:
        row["time"] = f"{row['time']}.000000" if row["time"] else None
    return rows


def brute(
    vectors: np.ndarray, query: np.ndarray, rows: Sequence[Mapping[str, Any]], keep: Callable[[Any], bool]
) -> list[str]:
    """Paths of the kept rows by their products in float64, ties in the order of the rows."""
    scored = [
        (-float(sum(float(a) * float(b) for a, b in zip(vector, query, strict=True))), place)
        for place, (vector, row) in enumerate(zip(vectors, rows, strict=True))
        if keep(row)
    ]
    return [rows[place]["path"] for _, place in sorted(scored)]
