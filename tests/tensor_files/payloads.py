"""Files that would create a marker if they were unpickled, in every format that torch ever wrote."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Payload:
    """Creates a file when it is unpickled by a loader that executes."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return (open, (str(self.marker), "w"))


def _content(marker: Path) -> dict[str, Any]:
    return {"conv1.weight": torch.zeros(2), "payload": Payload(marker)}


def zip_form(path: Path, marker: Path) -> None:
    """As ``torch.save`` writes today."""
    torch.save(_content(marker), path)


def legacy_form(path: Path, marker: Path) -> None:
    """As ``torch.save`` wrote before version 1.6."""
    torch.save(_content(marker), path, _use_new_zipfile_serialization=False)


def raw_form(path: Path, marker: Path) -> None:
    """A plain pickle of Python's newest protocol."""
    path.write_bytes(pickle.dumps(Payload(marker)))


def old_raw_form(path: Path, marker: Path) -> None:
    """A plain pickle of protocol 0, which is text."""
    path.write_bytes(pickle.dumps(Payload(marker), protocol=0))


def wrapped_form(path: Path, marker: Path) -> None:
    """A pickle in a zip archive that torch did not write."""
    inner = io.BytesIO()
    pickle.dump({"w": Payload(marker)}, inner, protocol=2)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", inner.getvalue())
        archive.writestr("archive/version", "3\n")


Form = Callable[[Path, Path], None]
"""Writes a file at the first path that, if executed, creates the second one."""

FORMS: tuple[Form, ...] = (zip_form, legacy_form, raw_form, old_raw_form, wrapped_form)
