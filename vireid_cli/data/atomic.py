"""Write files so that a crash leaves either the old one or the new one, never half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".tmp"


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of a process that was killed; only for who holds the folder's lock."""
    for path in folder.glob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to disk, and put it in place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as indented JSON, atomically."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_atomic(path, lambda stream: stream.write(text.encode()))
