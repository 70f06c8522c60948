"""HTTP connections with limits that uvicorn does not have: time and size of headers, and slow readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 32 << 10
"""Largest size of the request line and headers."""


class LimitedConnection(HttpToolsProtocol):
    """Connection that is closed if its headers are late or large, or its client does not read the answer.

    If there are too many connections, the one that has waited longest for the headers of a request is closed,
    so that clients that open connections without sending requests do not keep others out. ``limited`` returns
    a subclass with limits.
    """

    header_seconds = 10.0
    write_seconds = 30.0
    largest_number = 512
    refused: Callable[[], object] = staticmethod(lambda: None)
    idle: ClassVar[dict[LimitedConnection, None]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the headers; close the connection if there are too many."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._reading_headers = True
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.idle[self] = None  # the newest is the last
        if len(self.connections) > self.largest_number:
            next(iter(self.idle))._refuse()
        self._timer = self.loop.call_later(self.header_seconds, self._refuse)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; close the connection if the headers become too large."""
        super().data_received(data)
        if not self._reading_headers:
            self._header_bytes = 0
            return
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Start the timer of a further request's headers."""
        self._reading_headers = True
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._refuse)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the timer."""
        self._reading_headers = False
        self.idle.pop(self, None)
        self._stop("_timer")
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Count the connection as idle again."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self.idle[self] = None

    def pause_writing(self) -> None:
        """Start the timer of a client that does not read."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.write_seconds, self._refuse)

    def resume_writing(self) -> None:
        """Stop the timer of a client that does not read."""
        super().resume_writing()
        self._stop("_write_timer")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self.idle.pop(self, None)
        self._stop("_timer")
        self._stop("_write_timer")
        super().connection_lost(exc)

    def _refuse(self) -> None:
        type(self).refused()
        self.idle.pop(self, None)
        self.transport.abort()

    def _stop(self, name: str) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)


def limited(
    header_seconds: float, write_seconds: float, largest_number: int, refused: Callable[[], Any]
) -> type[LimitedConnection]:
    """Return the class of connections with these limits; ``refused`` is called for each closed connection."""
    values = {
        "header_seconds": header_seconds,
        "write_seconds": write_seconds,
        "largest_number": largest_number,
        "refused": staticmethod(refused),
        "idle": {},
    }
    return type("Connection", (LimitedConnection,), values)
