"""HTTP connections with limits that uvicorn does not have: time and size of headers, and slow readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vireid_cli.serve.limits import RequestRefused

HEADER_BYTES = 32 << 10
"""Largest size of the request line, headers and trailers."""


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
        self._waiting_bytes = self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.idle[self] = None  # the newest is the last
        if len(self.connections) > self.largest_number:
            next(iter(self.idle))._refuse()
        self._timer = self.loop.call_later(self.header_seconds, self._refuse)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; close the connection if many of them belong to incomplete headers or trailers."""
        self._waiting_bytes += len(data)  # before parsing, which sets it to 0 at a body and at the end
        super().data_received(data)
        if self._waiting_bytes > HEADER_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Start the timer of a further request's headers, and count their bytes."""
        self._header_bytes = 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._refuse)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the bytes of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the bytes of a header or trailer; several may arrive at once, together with their end."""
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        self._waiting_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Receive the end of a request."""
        self._waiting_bytes = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Stop the timer."""
        self._waiting_bytes = 0
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

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not valid HTTP in the form of all errors, and close the connection."""
        content = json.dumps(RequestRefused(400, msg).as_json()).encode()
        head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self.idle.pop(self, None)
        self._stop("_timer")
        self._stop("_write_timer")
        super().connection_lost(exc)

    def _count(self, size: int) -> None:
        """Count bytes of headers; close the connection and stop the parser if there are too many.

        Raises:
            OverflowError: The headers are too large; the parser passes it on as its own error.
        """
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            self._refuse()
            raise OverflowError("the headers are too large")

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
