"""Many clients, batches of their requests, and the end of the process by a signal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serve.conftest import People
from tests.serve.made import Client, PixelModel, services_of, serving
from vireid_cli.bench.clients import run_clients
from vireid_cli.errors import UsageError
from vireid_cli.serve.batching import Batcher

ROOT = Path(__file__).parents[2]


def test_64_clients_lose_nothing(people: People) -> None:
    """The short form of ``vireid bench serve``."""
    model = PixelModel()
    images = [people.image(row["path"]) for row in people.rows]
    with serving(services_of(people.index, model)) as client:
        address = f"http://127.0.0.1:{client.port}"
        results = run_clients(address, "/v1/search", images, {"top": "5"}, clients=64, duration=1.5)
        text = client.get("/metrics").body.decode()
    assert results.lost == []
    assert set(results.statuses) == {200}
    answered = len(results.seconds)
    assert answered >= 64
    assert sum(model.calls) == answered, "every request is computed once"
    assert len(model.calls) < answered, "concurrent requests share batches"
    assert f'vireid_requests_total{{route="/v1/search",status="200"}} {answered}.0' in text
    assert f'vireid_batch_items_sum{{work="embed"}} {answered}.0' in text


def test_concurrent_answers_are_those_of_single_requests(people: People, client: Client) -> None:
    """Batching mixes modalities, options and clients; each gets its own answer."""

    def ask(row: dict[str, Any], camid: int) -> Any:
        fields = [("top", 3 + camid), ("where", f"camid = {camid}"), ("modality", row["modality"])]
        reply = client.post("/v1/search", [(row["path"], people.image(row["path"]))], fields)
        return [(m["record"]["id"], m["score"]) for m in reply.json["queries"][0]["matches"]]

    asked = [(row, camid) for row in people.rows[:12] for camid in (1, 3)]
    alone = [ask(*one) for one in asked]
    together: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i, one=one: together.__setitem__(i, ask(*one)))
        for i, one in enumerate(asked)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, expected in enumerate(alone):
        assert [match[0] for match in together[i]] == [match[0] for match in expected]
        scores = [match[1] for match in expected]
        assert [match[1] for match in together[i]] == pytest.approx(scores, abs=1e-6)


def collect(jobs: Sequence[tuple[Any, list[Any]]], work: Any, **options: Any) -> list[Any]:
    """Submit jobs at once to a new queue; their answers or errors."""

    async def run() -> list[Any]:
        queue: Batcher[Any, Any] = Batcher(work, **{"window": 0.02, "largest": 8, **options})
        try:
            return await asyncio.gather(
                *(queue.submit(key, items) for key, items in jobs), return_exceptions=True
            )
        finally:
            await queue.close()

    return asyncio.run(run())


def test_batches_join_equal_keys_up_to_the_largest_size() -> None:
    calls: list[tuple[Any, list[int]]] = []

    def double(key: Any, items: list[int]) -> list[int]:
        calls.append((key, list(items)))
        return [2 * item for item in items]

    jobs = [("a", [1, 2, 3]), ("b", [4]), ("a", [5, 6]), ("a", [7, 8, 9, 10]), ("b", [11])]
    answers = collect(jobs, double)
    assert answers == [[2, 4, 6], [8], [10, 12], [14, 16, 18, 20], [22]]
    assert calls == [("a", [1, 2, 3, 5, 6]), ("b", [4, 11]), ("a", [7, 8, 9, 10])]
    calls.clear()
    assert collect([("a", list(range(20)))], double) == [[2 * i for i in range(20)]]
    assert len(calls) == 1, "a single request larger than a batch is one call"


def test_one_poisoned_request_does_not_fail_others() -> None:
    def work(key: Any, items: list[int]) -> list[int]:
        if 13 in items:
            raise RuntimeError("13")
        return items

    answers = collect([("a", [1]), ("a", [13]), ("a", [2])], work)
    assert answers[0] == [1]
    assert isinstance(answers[1], RuntimeError)
    assert answers[2] == [2]


def test_wrong_use_is_computed_once() -> None:
    calls = 0

    def work(key: Any, items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        raise UsageError("no such column")

    answers = collect([("a", [1]), ("a", [2])], work)
    assert [type(answer) for answer in answers] == [UsageError, UsageError]
    assert calls == 1


def test_closing_the_queue_cancels_requests() -> None:
    async def run() -> list[Any]:
        queue: Batcher[int, int] = Batcher(lambda key, items: items, window=60.0, largest=8)
        waiting = [asyncio.ensure_future(queue.submit("a", [i])) for i in range(3)]
        await asyncio.sleep(0.01)
        await queue.close()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(run())] == [asyncio.CancelledError] * 3


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """A server as a process."""
    words = [sys.executable, "-m", "tests.serve.slow_server", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    try:
        assert started.stdout is not None
        match = re.search(r":([0-9]+)/", started.stdout.readline())
        assert match is not None
        yield started, Client(int(match[1]))
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()
        if started.stdout is not None:
            started.stdout.close()


def test_sigterm_answers_the_requests_that_have_arrived(tmp_path: Path) -> None:
    with process(tmp_path) as (server, client):
        content = (tmp_path / "images" / "cam1" / "0001.png").read_bytes()
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(client.post("/v1/search", [("a.png", content)]).status)

        threads = [threading.Thread(target=ask) for _ in range(40)]  # two batches
        for thread in threads:
            thread.start()
        while b"vireid_active_requests 41.0" not in client.get("/metrics").body:
            time.sleep(0.01)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        (tmp_path / "go").touch()
        for thread in threads:
            thread.join()
        assert server.wait(60) == 0
        assert server.stdout is not None
        assert re.search(r"answered \d+ complete True", server.stdout.read())
    assert statuses == [200] * 40
    with pytest.raises(OSError, match="refused"):
        client.get("/health")


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with process(tmp_path) as (server, client):
        waiting = threading.Thread(target=lambda: client.get("/health"))
        waiting.start()
        waiting.join()
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
