"""Limits: bodies, pixels, images, slow and killed clients, headers, errors in the model."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import People
from tests.serve.made import Client, PixelModel, multipart, services_of, serving
from vireid_cli.modality import Modality
from vireid_cli.serve.limits import ServeLimits

PART = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
"""Beginning of a form with a file."""

SMALL = ServeLimits(body=200_000, pixels=100_000, images=3, concurrency=8)
IMPATIENT = ServeLimits(seconds=0.5, header_seconds=0.3)


@pytest.fixture(scope="module")
def small(people: People) -> Any:
    with serving(services_of(people.index, people.model, SMALL)) as client:
        yield client


def bomb(side: int) -> bytes:
    """A small PNG of side × side grey pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(side * (side + 1)), 9)
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def healthy(client: Client, people: People) -> bool:
    return client.post("/v1/search", [("a.png", people.image("cam1/0001.png"))]).status == 200


def test_decompression_bombs_are_not_decoded(small: Client, people: People) -> None:
    content = bomb(5000)
    assert len(content) < 30_000
    reply = small.post("/v1/search", [("bomb.png", content)])
    assert (reply.status, "5000x5000 pixels" in reply.error) == (413, True)
    assert healthy(small, people)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"GIF89a" + bytes(100), "a GIF file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ""),
        (b"\xff\xd8\xff\xe0" + bytes(50), ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "not an image"),
        (b"PK\x03\x04" + bytes(100), "not an image"),
        (bytes(1000), "not an image"),
    ],
)
def test_other_content_is_refused(content: bytes, reason: str, small: Client) -> None:
    reply = small.post("/v1/search", [("photo.png", content)])
    assert reply.status == 422, reply.body
    assert "photo.png" in reply.error
    assert reason in reply.error


def test_damaged_images_are_refused(small: Client, people: People) -> None:
    whole = people.image("cam1/0001.png")
    for cut in range(0, len(whole) - 1, 97):
        assert small.post("/v1/embed", [("a.png", whole[:cut])]).status == 422
    draw = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 8):
            damaged[place] = draw.integers(0, 256)
        assert small.post("/v1/embed", [("a.png", bytes(damaged))]).status in (200, 413, 422)
    assert healthy(small, people)


def test_large_bodies_are_refused(small: Client, people: People) -> None:
    reply = small.post("/v1/search", [("a.png", bytes(300_000))])
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    with socket.create_connection(("127.0.0.1", small.port), timeout=30) as line:  # without a length
        line.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                     b"Content-Type: multipart/form-data; boundary=x\r\n\r\n")  # fmt: skip
        line.sendall(f"{len(PART):x}\r\n".encode() + PART + b"\r\n")
        answer = send_until_answer(line, b"2710\r\n" + bytes(10_000) + b"\r\n")
    assert b" 413 " in answer.split(b"\r\n")[0] + b" "
    assert healthy(small, people)


def send_until_answer(line: socket.socket, piece: bytes, pause: float = 0.0) -> bytes:
    """Send a piece again and again until the server answers or closes; its answer."""
    line.settimeout(0.01)
    answer = b""
    for _ in range(2000):
        try:
            line.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            break
        except TimeoutError:
            pass
        try:
            part = line.recv(4096)
        except TimeoutError:
            part = None
        except ConnectionResetError:
            break
        if part == b"":
            break
        answer += part or b""
        if b"\r\n\r\n" in answer:
            break
        time.sleep(pause)
    return answer


def test_too_many_images_are_refused(small: Client, people: People) -> None:
    content = people.image("cam1/0001.png")
    reply = small.post("/v1/search", [("a.png", content)] * 4)
    assert (reply.status, "at most 3" in reply.error) == (413, True)
    assert small.post("/v1/embed", [("a.png", content)] * 4).status == 413
    assert small.post("/v1/search", fields=[("record", "1")] * 4).status == 413


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 30, "1e3"])
def test_wrong_lengths_are_refused(length: str, small: Client) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=30) as line:
        line.sendall(
            f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        assert line.recv(100).split(b"\r\n")[0].split()[1] in (b"400", b"413")


@pytest.fixture(scope="module")
def impatient(people: People) -> Any:
    with serving(services_of(people.index, people.model, IMPATIENT)) as client:
        yield client


def test_slow_bodies_end(impatient: Client) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as line:
        line.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
                     b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + PART)  # fmt: skip
        assert b" 408 " in send_until_answer(line, b"-", 0.05)


@pytest.mark.parametrize("piece", [b"GET / HTTP/1.1\r\nHost: loc", b"X: y\r\n", b"", b"\x16\x03\x01\x02"])
def test_slow_and_wrong_headers_end(piece: bytes, impatient: Client) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as line:
        line.sendall(piece)
        try:
            rest = line.recv(1000)
        except ConnectionResetError:
            rest = b""
        assert rest == b"" or b" 400 " in rest


def test_endless_headers_end(small: Client, people: People) -> None:
    for piece in (b"X-Padding: " + b"a" * 5000 + b"\r\n", b"a" * 5000):
        with socket.create_connection(("127.0.0.1", small.port), timeout=30) as line:
            line.sendall(b"GET /health HTTP/1.1\r\nX-First: ")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                line.sendall(2000 * piece)  # 10 MB
    assert healthy(small, people)


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
"""Beginning of a request, its body with a first byte."""


def exchange(port: int, content: bytes) -> bytes:
    """Send bytes at once; everything that the server answers until it closes, or waits for a second."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line, contextlib.suppress(OSError):
        line.sendall(content)
        line.settimeout(1)
        while part := line.recv(1 << 16):
            answer += part
    return answer


@pytest.mark.parametrize(
    "content",
    [
        GET + b"X: " + b"a" * 60_000 + b"\r\n\r\n",
        GET + 40 * (b"X: " + b"a" * 1000 + b"\r\n") + b"\r\n",
        b"GET /health?" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        CHUNKED + b"0\r\n" + 40 * (b"X: " + b"a" * 1000 + b"\r\n") + b"\r\n",
        CHUNKED + b"0\r\nX: " + b"a" * 200_000,
        CHUNKED + b"1;" + b"a" * 200_000,
    ],
    ids=["one header", "many headers", "request line", "trailers", "endless trailer", "endless chunk size"],
)
def test_large_headers_are_refused_however_they_arrive(content: bytes, small: Client, people: People) -> None:
    assert exchange(small.port, content) == b""
    assert healthy(small, people)


def test_bytes_that_are_not_http_have_an_error_of_the_usual_form(small: Client) -> None:
    head, _, body = exchange(small.port, b"GET / HTTP/9.9 \x00\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["error"]["message"] == "Invalid HTTP request received."


def test_headers_below_the_limit_are_read_beside_large_bodies(small: Client) -> None:
    body, kind = multipart([("images", "a.png", bytes(150_000))])
    head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    post = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    large = GET + 30 * (b"X: " + b"a" * 1000 + b"\r\n") + b"\r\n"
    answer = exchange(small.port, 2 * large + post + large)
    assert re.findall(rb"HTTP/1.1 ([0-9]+)", answer) == [b"200", b"200", b"422", b"200"]


def test_idle_connections_do_not_keep_others_out(people: People) -> None:
    limits = ServeLimits(concurrency=4, header_seconds=600.0)  # 16 connections
    with serving(services_of(people.index, people.model, limits)) as client, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", client.port)
        lines = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(60)]
        for line in lines[::2]:
            with contextlib.suppress(OSError):
                line.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        assert healthy(client, people)
        kept = stack.enter_context(contextlib.closing(http.client.HTTPConnection(*address, timeout=30)))
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        assert healthy(client, people)
        with contextlib.suppress(ConnectionResetError):
            assert lines[0].recv(1) == b"", "the first connection was closed"


class SlowModel(PixelModel):
    """Waits for an event in each call."""

    def __init__(self, wait: Callable[[], object]) -> None:
        super().__init__()
        self.wait = wait

    def embed(self, images: list[np.ndarray], modality: Modality, *, batch: int, workers: int) -> np.ndarray:
        self.wait()
        return super().embed(images, modality, batch=batch, workers=workers)


def send_search(port: int, content: bytes) -> socket.socket:
    """Open a connection and send a search without reading its answer."""
    body, kind = multipart([("images", "a.png", content)])
    line = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return line


def test_a_long_computation_is_answered_in_time(people: People) -> None:
    release = threading.Event()
    with serving(services_of(people.index, SlowModel(release.wait), IMPATIENT)) as client:
        reply = client.post("/v1/search", [("a.png", people.image("cam1/0001.png"))])
        assert reply.status == 504
        assert client.get("/health").status == 200
        release.set()
        while not healthy(client, people):  # a busy machine may need longer than the limit
            time.sleep(0.1)


def test_more_than_the_limit_is_refused_at_once(people: People) -> None:
    release = threading.Event()
    model = SlowModel(release.wait)
    limits = ServeLimits(concurrency=3)
    content = people.image("cam1/0001.png")
    with serving(services_of(people.index, model, limits)) as client:
        waiting = [send_search(client.port, content) for _ in range(3)]
        while client.active() < 3:
            time.sleep(0.01)
        reply = client.post("/v1/search", [("a.png", content)])
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert client.get("/health").status == 200
        release.set()
        assert all(b" 200 " in line.recv(100) for line in waiting)
        for line in waiting:
            line.close()
        assert healthy(client, people)


def test_a_killed_client_frees_its_place(people: People) -> None:
    """Requests of closed connections are not computed, and do not count."""
    release = threading.Event()
    model = SlowModel(release.wait)
    content = people.image("cam1/0001.png")
    with serving(services_of(people.index, model, ServeLimits(concurrency=6, batch=2))) as client:
        lines = [send_search(client.port, content) for _ in range(6)]
        while client.active() < 6:
            time.sleep(0.01)
        for line in lines:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()  # with a reset, as a killed process
        while client.active():
            time.sleep(0.01)
        release.set()
        assert healthy(client, people)
        assert sum(model.calls) <= 2 + 1, "at most the batch that had started, and the last request"


def test_an_error_of_the_model_has_no_details(people: People) -> None:
    def fail() -> None:
        raise RuntimeError("/secret/path")

    log: list[str] = []
    with serving(services_of(people.index, SlowModel(fail)), log=log) as client:
        reply = client.post("/v1/search", [("a.png", people.image("cam1/0001.png"))])
        assert reply.status == 500
        assert b"secret" not in reply.body
    assert "/secret/path" in log[0]
