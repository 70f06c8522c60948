"""Stop at the next step boundary when asked: Ctrl-C, SIGTERM or SIGHUP; asked twice, stop at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals after which the work ends with a checkpoint; Windows has no SIGHUP."""


class StopRequested(Exception):
    """The loop stopped at a step boundary because it was asked to; a checkpoint was written first."""


class StopRequest:
    """Whether the work was asked to stop."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._asked

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask to stop; the second time stops at once.

        Raises:
            KeyboardInterrupt: Asked before.
        """
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        if number:  # straight to the descriptor: a signal may interrupt a write of Python's own
            with suppress(OSError):  # the terminal may be gone: that is what SIGHUP means
                os.write(2, b"\nstopping after this step; once more to stop at once\n")


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the signals that end a process into a request for the length of the block (main thread only).

    A signal that is switched off, as SIGHUP is by ``nohup``, stays so.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request.ask) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
