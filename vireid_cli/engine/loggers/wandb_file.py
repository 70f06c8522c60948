"""Reading of wandb's transaction logs (``run-ID.wandb``), which hold the runs that were logged offline.

The format is that of LevelDB's log: blocks of 32 KiB with records of checksum (4 bytes), length (2), type (1:
whole, 2: first, 3: middle, 4: last part) and content. wandb's own reader is not part of its Python package.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vireid_cli import reading

BLOCK, HEADER, START = 32768, 7, b":W&B"
WHOLE, FIRST, LAST = 1, 2, 4


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a log as wandb's ``Record``, up to the first damaged one."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record

    for content in _contents(reading.read_bytes(path)):
        try:
            yield Record.FromString(content)
        except DecodeError:
            return


def history(path: Path) -> dict[tuple[str, int], float]:
    """Return the numbers in a log by name and step."""
    numbers: dict[tuple[str, int], float] = {}
    for record in records(path):
        if record.WhichOneof("record_type") != "history":
            continue
        items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        values = {name: json.loads(text) for name, text in items.items()}
        step = int(values.get("_step", record.history.step.num))
        for name, value in values.items():
            if isinstance(value, int | float) and not name.startswith(("_", "figures/")):
                numbers[name, step] = float(value)
    return numbers


def _contents(data: bytes) -> Iterator[bytes]:
    """Yield the contents of complete records."""
    if not data.startswith(START):
        return
    place = HEADER
    parts: list[bytes] = []
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # padding at the end of a block
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        content = data[place + HEADER : place + HEADER + length]
        if len(content) < length or not WHOLE <= kind <= LAST:
            return
        place += HEADER + length
        parts = [content] if kind in (WHOLE, FIRST) else [*parts, content]
        if kind in (WHOLE, LAST):
            yield b"".join(parts)
