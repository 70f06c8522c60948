"""Graceful stop on Ctrl-C, SIGTERM or SIGHUP: after the running step, or at once on the second signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that stop the training with a checkpoint; Windows has no SIGHUP."""


class StopRequested(Exception):
    """The loop saved a checkpoint and stopped after a step, on request."""


class TrainingEnded(Exception):
    """The receiver of the validations ends the training early; not a failure."""


class StopRequest:
    """A flag that a signal handler sets; call it to read the flag.

    Args:
        quiet: Print no notice.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._requested, self._quiet = False, quiet

    def __call__(self) -> bool:
        """Return whether a stop was requested."""
        return self._requested

    def set(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Request a stop; has the signature of a signal handler.

        Args:
            number: Number of the signal, which prints a notice; 0 prints none.
            frame: Unused.

        Raises:
            KeyboardInterrupt: A stop was requested before.
        """
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
        if (
            number and not self._quiet
        ):  # os.write, because the signal may have interrupted a write of Python's own stream
            with suppress(OSError):  # SIGHUP means that the terminal may be closed
                os.write(2, b"\nstopping after this step; interrupt again to stop at once\n")


@contextmanager
def stop_on_signals(*, quiet: bool = False) -> Iterator[StopRequest]:
    """Handle the signals in ``ENDING`` by a stop request while the block runs (main thread only).

    Ignored signals, such as SIGHUP under ``nohup``, stay ignored.

    Args:
        quiet: Print no notice; one rank of several prints it.
    """
    request = StopRequest(quiet)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request.set) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
