"""Benchmark of the server: concurrent searches with images, on an index of random vectors."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli.bench.clients import run_clients
from vireid_cli.data.decode import Decoder
from vireid_cli.engine.embed import embed_pixels
from vireid_cli.engine.network import build_network, resolve_recipe
from vireid_cli.engine.read_image import ReadImage, read_image
from vireid_cli.engine.session import Session
from vireid_cli.errors import MissingExtra, VireidError
from vireid_cli.types import Modality, Resize, Size

RECIPE = "quickstart.yaml"
"""Recipe of the network, with random weights."""

QUERIES = 16
"""Number of different query images."""


def serve(
    session: Session,
    *,
    clients: int = 64,
    seconds: float = 60.0,
    rows: int = 20_000,
    url: str | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """Measure searches of concurrent clients; the server runs in a process of its own.

    Args:
        session: Device of the server.
        clients: Number of clients; each sends the next request after the answer to the last one.
        seconds: Duration.
        rows: Number of records of the index.
        url: Address of a running server instead, ``http://HOST:PORT``.
        token: Token of that server.

    Returns:
        Requests, errors, lost requests, and latencies in ms.

    Raises:
        MissingExtra: A package of the extra ``serve`` is not installed.
        UsageError: ``url`` has another form.
        VireidError: The server does not start.
    """
    images = [_image(seed) for seed in range(QUERIES)]

    def measure(address: str) -> dict[str, Any]:
        """Measure the server at an address."""
        for _ in range(2):  # the first batches allocate memory
            run_clients(address, "/v1/search", images, {}, clients=2, duration=0.2, token=token)
        began = time.perf_counter()
        results = run_clients(
            address, "/v1/search", images, {}, clients=clients, duration=seconds, token=token
        )
        return results.as_values(time.perf_counter() - began)

    if url is not None:
        return {"clients": clients, "url": url, **measure(url)}
    with _server(rows, str(session.runtime.device)) as address:
        return {"clients": clients, "records": rows, "network": RECIPE, **measure(address)}


@contextmanager
def _server(rows: int, device: str) -> Iterator[str]:
    """Run a server in a process; yields its address, and drains it with SIGTERM."""
    try:
        import vireid_cli.serve.server  # noqa: F401 — fails here instead of in the process
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "The server") from error
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve_random, args=(sender, rows, device), daemon=True)
    process.start()
    sender.close()
    try:
        try:
            address = receiver.recv()
        except EOFError as error:
            raise VireidError("the server of the benchmark did not start.") from error
        yield address
    finally:
        process.terminate()
        process.join(60)
        if process.is_alive():
            process.kill()


class _RandomModel:
    """Network of a recipe with random weights; see ``serve.services.ServedModel``."""

    def __init__(self, session: Session) -> None:
        recipe = resolve_recipe(RECIPE)
        self.size: Size = recipe.data.image_size
        self.resize: Resize = recipe.data.resize
        self.decoder = Decoder()
        self.fingerprint: dict[str, Any] = {"weights_sha256": "random"}
        self._runtime = session.runtime
        self._network = build_network(recipe, 2, session.runtime).eval()

    def read(self, data: bytes, modality: Modality | None = None) -> ReadImage:
        """Decode and resize an image."""
        return read_image(data, self.decoder, self.size, self.resize, modality)

    def embed(self, images: list[np.ndarray], modality: Modality, *, batch: int, workers: int) -> np.ndarray:
        """Embed images of the network's size."""
        return embed_pixels(self._network, np.stack(images), modality, self._runtime)


def _serve_random(sender: Connection, rows: int, device: str) -> None:
    """Serve an index of random vectors until SIGTERM; sends the address to the parent."""
    from vireid_cli.search.index import Index
    from vireid_cli.serve.access import choose_access
    from vireid_cli.serve.limits import ServeLimits
    from vireid_cli.serve.server import serve as run
    from vireid_cli.serve.services import EmbeddingQueue, ServedIndex, Services

    limits = ServeLimits()
    model = _RandomModel(Session.choose(device))
    width = model.embed([np.zeros((*model.size, 3), np.uint8)], Modality.VISIBLE, batch=1, workers=1).shape[1]
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((rows, width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns: dict[str, list[Any]] = {
        "path": [f"{number}.jpg" for number in range(rows)],
        "modality": ["visible"] * rows,
        "camid": [1 + number % 6 for number in range(rows)],
    }
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder, "bench")) as index:
        index.add(vectors, columns, fingerprint=model.fingerprint)
        served = ServedIndex("bench", index, EmbeddingQueue(model, limits), limits)
        access = choose_access("127.0.0.1", None, False)
        run(Services({"bench": served}, limits), access, "127.0.0.1", 0, ready=sender.send)


def _image(seed: int) -> bytes:
    """A JPEG of 288 × 144 pixels with smooth noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (18, 9, 3), dtype=np.uint8)
    _, content = cv2.imencode(".jpg", cv2.resize(noise, (144, 288), interpolation=cv2.INTER_CUBIC))
    return content.tobytes()
