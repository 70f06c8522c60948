"""ASGI middleware of all requests: access, limits of body, time and concurrency, metrics, headers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from vireid_cli.serve.access import OPEN_PATHS, Access
from vireid_cli.serve.limits import RequestRefused, ServeLimits
from vireid_cli.serve.measures import ServerMetrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
UNROUTED = "other"
"""Route of requests without one, in metrics."""

CLIENT_GONE = 499
"""Status of requests after their client closed the connection, in metrics."""


class Guard:
    """Middleware around the application.

    Args:
        app: The application.
        access: Rule of access.
        limits: Limits.
        metrics: Receives the requests.

    Attributes:
        active: Number of requests in progress.
        answered: Number of requests with a complete answer.
    """

    def __init__(self, app: Application, access: Access, limits: ServeLimits, metrics: ServerMetrics) -> None:
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self.active = self.answered = 0
        self.stopping = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Process one ASGI connection."""
        scope.setdefault("state", {})["stopping"] = self.stopping
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets
        started = time.perf_counter()
        body = _Body(receive, self._limits.body, scope["headers"])
        answer = _Answer(send, body)
        self.active += 1
        self._metrics.active.set(self.active)
        try:
            self._check(scope)
            await self._process(scope, body, answer)
        except RequestRefused as refusal:
            await answer.refuse(refusal)
        finally:
            self.active -= 1
            self._metrics.active.set(self.active)
            self.answered += answer.complete
            route = getattr(scope.get("route"), "path", UNROUTED)
            self._metrics.requests.labels(route, str(answer.status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def stop(self) -> None:
        """Note that the server is stopping; ``/health`` reports it."""
        self.stopping = True

    def _check(self, scope: MutableMapping[str, Any]) -> None:
        """Check access, concurrency, and the announced size of the body."""
        headers = dict(scope["headers"])
        self._access.check(scope["path"], headers)
        if self.active > self._limits.concurrency and scope["path"] not in OPEN_PATHS:
            raise RequestRefused(503, "The server is busy.", "Repeat the request after a second.")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._limits.body:
            raise self._too_large()

    def _too_large(self) -> RequestRefused:
        return RequestRefused(
            413, f"The body has more than {self._limits.body:,} bytes.", "Send fewer or smaller images."
        )

    async def _process(self, scope: MutableMapping[str, Any], body: _Body, answer: _Answer) -> None:
        """Run the application until it answers, the time is over, or the client is gone."""
        work = asyncio.ensure_future(self._app(scope, body.receive, answer.send))
        watch = asyncio.ensure_future(body.wait_for_disconnect())
        try:
            await asyncio.wait(
                {work, watch}, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done() or answer.complete:
                await work
            elif body.excess:
                raise self._too_large()
            elif watch.done():
                answer.status = CLIENT_GONE
            elif not body.complete:
                raise RequestRefused(408, "The body did not arrive in time.", "Send fewer or smaller images.")
            else:
                raise RequestRefused(504, "The answer took too long.", "Send fewer images.")
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)


class _Answer:
    """Answer of a request; adds the security headers, and closes the connection if the body is unread."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send, self._body = send, body
        self.status = 500
        self.started = self.complete = False

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            closing = [] if self._body.complete else [(b"connection", b"close")]
            message["headers"] = [*message.get("headers", ()), *HEADERS, *closing]
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, refusal: RequestRefused) -> None:
        """Send an error."""
        if self.started:
            self.status = refusal.status
            return  # too late: the server closes the connection
        content = json.dumps(refusal.as_json()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if refusal.status == 503:
            headers.append((b"retry-after", b"1"))
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": content})


class _Body:
    """Body of a request; more than ``limit`` bytes are not handed to the application."""

    def __init__(self, receive: Receive, limit: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._receive, self._limit = receive, limit
        self._bytes = 0
        self._ended = asyncio.Event()
        known = dict(headers)
        self.complete = known.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in known
        self.excess = False

    async def receive(self) -> Message:
        """Receive a message for the application."""
        if self._ended.is_set():
            await asyncio.Event().wait()  # only ``wait_for_disconnect`` reads now
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._ended.set()
            return message
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            self.excess = True
            self._ended.set()
            await asyncio.Event().wait()  # until the guard cancels the application
        if not message.get("more_body", False):
            self.complete = True
            self._ended.set()
        return message

    async def wait_for_disconnect(self) -> None:
        """Return when the client is gone or the body is too large; after the answer, too."""
        await self._ended.wait()
        while not self.excess and (await self._receive())["type"] != "http.disconnect":
            pass
