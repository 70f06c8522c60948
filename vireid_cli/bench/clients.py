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
    place = urlsplit(address)
    if place.scheme != "http" or not place.hostname:
        raise UsageError(f"--url {address}: expected http://HOST:PORT.")
    host, port = place.hostname, place.port or 80
    results, lock = ClientResults(), threading.Lock()
    bodies = [_form(image, fields) for image in images]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    end = time.perf_counter() + duration

    def work(number: int) -> None:
        """Send requests one after the other until the end."""
        line = http.client.HTTPConnection(host, port, timeout=120)
        turn = number
        while time.perf_counter() < end:
            body, kind = bodies[turn % len(bodies)]
            turn += clients
            began = time.perf_counter()
            try:
                line.request("POST", path, body, {**headers, "Content-Type": kind})
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                with lock:
                    results.lost.append(f"{type(error).__name__}: {error}")
                line.close()
                continue
            took = time.perf_counter() - began
            with lock:
                results.seconds.append(took)
                results.statuses[answer.status] = results.statuses.get(answer.status, 0) + 1
        line.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


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
