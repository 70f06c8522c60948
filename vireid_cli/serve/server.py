"""The server process: sockets, signals, and draining.

SIGTERM or Ctrl-C closes the listening socket, answers the requests that have arrived, and ends the process
with exit code 0; a second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

import uvicorn

from vireid_cli.serve.access import Access, listen
from vireid_cli.serve.app import create_app
from vireid_cli.serve.connections import limited
from vireid_cli.serve.guard import Guard
from vireid_cli.serve.measures import ServerMetrics
from vireid_cli.serve.services import Services

BACKLOG = 1024
"""Connections that the system accepts before the server does."""


@dataclass(frozen=True, slots=True)
class ServedRequests:
    """Counts of a server that has ended.

    Attributes:
        answered: Number of answered requests.
        complete: Whether every request was answered before the process ended.
    """

    answered: int
    complete: bool


class _Server(uvicorn.Server):
    """uvicorn's server with a handler of signals that does not raise them again."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], object]) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT during the block; signals arrive in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = ("SIGTERM", "SIGINT", "SIGHUP")  # Windows has no SIGHUP
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        known = {number: signal.getsignal(number) for number in numbers}
        handlers = {number: one for number, one in known.items() if one is not signal.SIG_IGN}
        for number in handlers:
            signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping()
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that is not started.

    Attributes:
        guard: The application with its counters.
        server: uvicorn's server; ``should_exit`` stops it after the requests in progress.
    """

    guard: Guard
    server: uvicorn.Server

    def run(self, opened: socket.socket, ready: Callable[[], object] = lambda: None) -> ServedRequests:
        """Serve on a listening socket until a signal arrives or ``server.should_exit`` is set.

        Args:
            opened: Listening socket; it is closed at the end.
            ready: Callback once the server accepts connections.
        """
        with opened:
            opened.setblocking(False)
            asyncio.run(_run(self.server, opened, ready))
        return ServedRequests(self.guard.answered, self.guard.active == 0)


def make_server(
    services: Services, access: Access, log: Callable[[str], object] = lambda text: None
) -> HttpServer:
    """Create a server.

    Args:
        services: Indexes, models and limits.
        access: Rule of access.
        log: Callback with the text of an unexpected error.
    """
    limits = services.limits
    metrics = ServerMetrics(services.sizes)
    _observe_batches(services, metrics)
    guard = create_app(services, access, metrics, log)
    connection = limited(
        limits.header_seconds, limits.seconds, limits.connections, metrics.refused_connections.inc
    )
    config = uvicorn.Config(
        guard,
        loop="asyncio",
        http=connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=round(limits.header_seconds),
        timeout_graceful_shutdown=round(limits.seconds) + 5,
        backlog=BACKLOG,
    )
    for name in ("uvicorn.error", "python_multipart"):  # ``log`` receives errors; clients cause the others
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return HttpServer(guard, _Server(config, guard.stop))


def serve(
    services: Services,
    access: Access,
    host: str,
    port: int,
    *,
    ready: Callable[[str], object] = lambda address: None,
    log: Callable[[str], object] = lambda text: None,
) -> ServedRequests:
    """Serve until a signal arrives.

    Args:
        services: Indexes, models and limits.
        access: Rule of access.
        host: Address or name to listen on.
        port: Port; 0 chooses a free one.
        ready: Callback with the address of the page, once the server accepts connections.
        log: Callback with the text of an unexpected error.

    Raises:
        VireidError: The address is in use.
    """
    made = make_server(services, access, log)
    opened = listen(host, port, BACKLOG)
    address = _address(host, opened)
    return made.run(opened, lambda: ready(address))


async def _run(server: uvicorn.Server, opened: socket.socket, ready: Callable[[], object]) -> None:
    """Run the server; call ``ready`` once it accepts connections."""
    running = asyncio.ensure_future(server.serve(sockets=[opened]))
    while not server.started and not running.done():
        await asyncio.sleep(0.005)
    if server.started:
        ready()
    await running


def _observe_batches(services: Services, metrics: ServerMetrics) -> None:
    """Count the sizes of batches in the metrics."""
    for served in services.indexes.values():
        served.observe(metrics.batches.labels("search").observe)
        if served.embeddings is not None:
            served.embeddings.observe(metrics.batches.labels("embed").observe)


def _address(host: str, opened: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{opened.getsockname()[1]}/"
