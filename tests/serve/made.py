"""A server with a model without learning, a small index and real images, and a client for it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli.data.decode import Decoder
from vireid_cli.engine.read_image import ReadImage, read_image
from vireid_cli.modality import Modality
from vireid_cli.search.index import Index
from vireid_cli.serve.access import Access, choose_access, listen
from vireid_cli.serve.limits import ServeLimits
from vireid_cli.serve.server import make_server
from vireid_cli.serve.services import EmbeddingQueue, ServedIndex, Services
from vireid_cli.types import Resize, Size

CAMERAS = (1, 2, 3, 6)
INFRARED = (3, 6)


@dataclass
class PixelModel:
    """Embeds the grey pixels of an image of 16 × 8, centred and scaled to unit length."""

    size: Size = (16, 8)
    resize: Resize = "lanczos"
    decoder: Decoder = field(default_factory=Decoder)
    fingerprint: dict[str, Any] = field(default_factory=lambda: {"weights_sha256": "00", "size": "16x8"})
    calls: list[int] = field(default_factory=list)

    def read(self, data: bytes, modality: Modality | None = None) -> ReadImage:
        return read_image(data, self.decoder, self.size, self.resize, modality)

    def embed(self, images: list[np.ndarray], modality: Modality, *, batch: int, workers: int) -> np.ndarray:
        self.calls.append(len(images))
        grey = np.stack(images).astype(np.float64).mean(axis=3).reshape(len(images), -1)
        grey -= grey.mean(axis=1, keepdims=True)
        return (grey / np.linalg.norm(grey, axis=1, keepdims=True)).astype(np.float32)


def person(pid: int, camid: int) -> np.ndarray:
    """(96, 48, 3) uint8 BGR; smooth, so that resizing keeps the pattern."""
    pattern = np.random.default_rng(pid).integers(0, 256, (6, 3, 3), dtype=np.uint8)
    noise = np.random.default_rng([pid, camid]).integers(-25, 26, (6, 3, 3))
    mixed = np.clip(pattern.astype(int) + noise, 0, 255).astype(np.uint8)
    image = cv2.resize(mixed, (48, 96), interpolation=cv2.INTER_CUBIC)
    if camid in INFRARED:
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return image


def write_images(root: Path, people: int) -> list[dict[str, Any]]:
    """Write an image per person and camera; rows of their records."""
    rows = []
    for pid in range(1, people + 1):
        for camid in CAMERAS:
            path = f"cam{camid}/{pid:04d}.png"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / path), person(pid, camid))
            kind = "infrared" if camid in INFRARED else "visible"
            time = f"2026-11-01T08:{pid:02d}:00"
            rows.append({"path": path, "modality": kind, "camid": camid, "pid": pid, "time": time})
    return rows


def fill_index(folder: Path, root: Path, rows: Sequence[dict[str, Any]], model: PixelModel) -> Index:
    """Create an index of images."""
    from vireid_cli.data.resize import resize

    index = Index.create(folder)
    pixels = [
        resize(Decoder().decode((root / row["path"]).read_bytes()), model.size, model.resize) for row in rows
    ]
    vectors = model.embed(pixels, Modality.VISIBLE, batch=64, workers=1)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    index.add(vectors, columns, fingerprint=model.fingerprint, root=str(root))
    return index


@dataclass
class Reply:
    """Answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"]["message"])


def multipart(
    files: Sequence[tuple[str, str, bytes]], fields: Sequence[tuple[str, str]] = ()
) -> tuple[bytes, str]:
    """Body and content type of a form with files as (field, file name, content)."""
    mark = "vireid-boundary-7f3a"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    for name, file_name, content in files:
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


@dataclass
class Client:
    """Client of one server; a connection per request."""

    port: int
    token: str | None = None
    active: Callable[[], int] = lambda: 0

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        known = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {**known, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, headers=headers)

    def post(
        self, path: str, images: Sequence[tuple[str, bytes]] = (), fields: Sequence[tuple[str, Any]] = ()
    ) -> Reply:
        body, kind = multipart(
            [("images", name, content) for name, content in images],
            [(name, str(value)) for name, value in fields],
        )
        return self.request("POST", path, body, {"Content-Type": kind})


@contextmanager
def serving(
    services: Services, access: Access | None = None, log: list[str] | None = None
) -> Iterator[Client]:
    """Run a server in a thread; unexpected errors are appended to ``log``."""
    notes: list[str] = [] if log is None else log
    made = make_server(services, access or choose_access("127.0.0.1", None, False), notes.append)
    opened = listen("127.0.0.1", 0, 128)
    port = opened.getsockname()[1]
    ready = threading.Event()
    thread = threading.Thread(target=made.run, args=(opened, ready.set), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield Client(port, access.token if access else None, lambda: made.guard.active)
    finally:
        made.server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def services_of(
    index: Index, model: PixelModel | None, limits: ServeLimits | None = None, **other: Any
) -> Services:
    """Services of one index with the name ``people``."""
    limits = limits or ServeLimits()
    queue = EmbeddingQueue(model, limits) if model else None
    return Services({"people": ServedIndex("people", index, queue, limits)}, limits, **other)
