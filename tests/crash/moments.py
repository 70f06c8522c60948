"""Copies of a folder as a kill would leave it before each change of a file system entry.

An audit hook sees every rename, removal, new folder, link and file opened for writing before it happens. The
folder is copied before each: a process that is killed there leaves the system's state at that moment, without
the bytes that are still in Python's buffers.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class _Recorder:
    """Takes the copies while it is armed."""

    folder: Path | None = None
    into: Path = Path()
    events: tuple[str, ...] = ()
    copies: list[Moment] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: bool = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or self.busy or event not in self.events:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        names = [os.fspath(name) for name in arguments[:2] if isinstance(name, str | bytes | os.PathLike)]
        if not any(os.fsdecode(name).startswith(f"{self.folder}{os.sep}") for name in names):
            return
        with self.lock:
            self.busy = True
            try:
                target = self.into / f"{len(self.copies):03d}"
                shutil.copytree(self.folder, target, symlinks=True)
                self.copies.append(Moment(f"{event} {Path(os.fsdecode(names[-1])).name}", target))
            finally:
                self.busy = False


@dataclass(frozen=True)
class Moment:
    """A folder as it was before one event.

    Attributes:
        event: The event and the name of the changed entry.
        folder: The copy.
    """

    event: str
    folder: Path


_recorder = _Recorder()
_installed = False


@contextmanager
def recorded(folder: Path, into: Path, *, opened: bool = False) -> Iterator[list[Moment]]:
    """Copy a folder before each change in it while the block runs, and once at the end.

    Args:
        folder: The copied folder.
        into: Folder of the copies.
        opened: Also before each file is opened for writing.
    """
    global _installed
    if not _installed:  # a hook can't be taken out again: it is idle outside of the block
        sys.addaudithook(_recorder)
        _installed = True
    into.mkdir(parents=True)
    _recorder.into, _recorder.copies = into, []
    _recorder.events = (*CHANGES, "open") if opened else CHANGES
    _recorder.folder = folder
    try:
        yield _recorder.copies
    finally:
        _recorder.folder = None
    shutil.copytree(folder, into / "end", symlinks=True)
    _recorder.copies.append(Moment("end", into / "end"))
