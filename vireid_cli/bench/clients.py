"""Concurrent clients of a server, and their latencies."""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vireid_cli.errors import UsageError


@dataclass
class ClientResults:
    """Results of all clients.

    Attributes:
        seconds: Latency of each answered request.
        statuses: Number of answers by status.
        lost: Requests without an answer, with the reason.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def as_values(self, duration: float) -> dict[str, Any]:
        """Values of a benchmark; ``duration`` in seconds."""
        times = np.array(self.seconds or [np.nan])
        percent = {
            name: float(1000 * np.percentile(times, p)) for name, p in (("p50", 50), ("p95", 95), ("p99", 99))
        }
        return {
            "requests": len(self.seconds),
            "requests per second": len(self.seconds) / duration,
            "errors": sum(count for status, count in self.statuses.items() if status != 200),
            "lost": len(self.lost),
            "latency ms": {**percent, "max": float(1000 * times.max())},
        }


def run_clients(
    address: str,
    path: str,
    images: Sequence[bytes],
    fields: Mapping[str, str],
    *,
    clients: int,
    duration: float,
    token: str | None = None,
) -> ClientResults:
    """Let clients send one image after another over persistent connections.

    Args:
        address: Address of the server, ``http://HOST:PORT``.
        path: Path of the requests.
        images: Encoded images; the clients take turns.
        fields: Other fields of the form.
        clients: Number of clients, a thread each.
        duration: Seconds after which no request starts.
        token: Token of the server.

    Raises:
        UsageError: The address has another form.
    """
    host, port = _host_and_port(address)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    bodies = [_form(image, fields) for image in images]
    requests = _Requests(host, port, path, headers, bodies)
    end = time.perf_counter() + duration
    threads = [
        threading.Thread(target=requests.send, args=(number, clients, end)) for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return requests.results


def _host_and_port(address: str) -> tuple[str, int]:
    """Host and port of an address, 80 if it has none.

    Raises:
        UsageError: The address has another form than ``http://HOST:PORT``.
    """
    try:
        place = urlsplit(address)
        host, port = place.hostname or "", place.port
        host.encode("idna")  # a host that the resolver can't encode would end the threads of the clients
    except ValueError as error:
        raise UsageError(f"--url {address}: expected http://HOST:PORT; {error}.") from error
    other = place.path.strip("/") or place.query or place.fragment or place.username
    if place.scheme != "http" or not host or port == 0 or other:
        raise UsageError(f"--url {address}: expected http://HOST:PORT.")
    return host, 80 if port is None else port


class _Requests:
    """Requests of several clients to one server, with their results."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        headers: Mapping[str, str],
        bodies: Sequence[tuple[bytes, str]],
    ) -> None:
        self._host, self._port, self._path = host, port, path
        self._headers, self._bodies = headers, bodies
        self._lock = threading.Lock()
        self.results = ClientResults()

    def send(self, number: int, clients: int, end: float) -> None:
        """Send the requests of one client one after the other until the end.

        Args:
            number: Number of the client.
            clients: Number of clients; each takes every so-many-th body.
            end: Value of ``time.perf_counter`` after which no request starts.
        """
        line = http.client.HTTPConnection(self._host, self._port, timeout=120)
        turn = number
        while time.perf_counter() < end:
            body, kind = self._bodies[turn % len(self._bodies)]
            turn += clients
            began = time.perf_counter()
            try:
                line.request("POST", self._path, body, {**self._headers, "Content-Type": kind})
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.results.lost.append(f"{type(error).__name__}: {error}")
                line.close()
                continue
            took = time.perf_counter() - began
            with self._lock:
                statuses = self.results.statuses
                self.results.seconds.append(took)
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
        line.close()


def _form(image: bytes, fields: Mapping[str, str]) -> tuple[bytes, str]:
    """Body and content type of a form with an image."""
    mark = secrets.token_hex(16)
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="images"; filename="query.jpg"\r\n\r\n'
    body = b"".join(parts) + head.encode() + image + f"\r\n--{mark}--\r\n".encode()
    return body, f"multipart/form-data; boundary={mark}"
