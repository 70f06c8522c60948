"""Batches of concurrent requests: the first request in a queue waits a few milliseconds for others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vireid_cli.errors import VireidError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Job(Generic[Item, Answer]):
    key: Hashable
    items: Sequence[Item]
    arrived: float
    answer: asyncio.Future[list[Answer]]


class Batcher(Generic[Item, Answer]):
    """Queue that joins the items of concurrent requests with equal keys into one call.

    The first request waits ``window`` seconds for others; while a call runs, requests collect. Calls run one
    at a time in a thread of their own. Requests that were cancelled meanwhile are dropped. If a call fails
    with an unexpected error, its requests are repeated one by one, so that none fails because of another.

    Args:
        work: Function of a key and items that returns an answer per item.
        window: Seconds.
        largest: Number of items of one call, except for a single request with more.

    Attributes:
        observe: Callback with the number of items of each call.
    """

    def __init__(
        self,
        work: Callable[[Any, list[Item]], Sequence[Answer]],
        *,
        window: float,
        largest: int,
    ) -> None:
        self._work, self._window, self._largest = work, window, largest
        self.observe: Callable[[int], object] = lambda size: None
        self._jobs: deque[_Job[Item, Answer]] = deque()
        self._arrival = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._loop: asyncio.Task[None] | None = None

    async def submit(self, key: Hashable, items: Sequence[Item]) -> list[Answer]:
        """Add items to the queue and wait for their answers."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop.create_task(self._run())
        job: _Job[Item, Answer] = _Job(key, items, loop.time(), loop.create_future())
        self._jobs.append(job)
        self._arrival.set()
        return await job.answer

    async def close(self) -> None:
        """Stop the queue. Requests that still wait are cancelled."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for job in self._jobs:
            job.answer.cancel()
        self._thread.shutdown(wait=True)

    async def _run(self) -> None:
        while True:
            self._arrival.clear()
            if not self._jobs:
                await self._arrival.wait()
            await self._wait()
            if batch := self._take():
                await self._answer(batch)

    async def _wait(self) -> None:
        """Wait until the window of the first request ends, or a batch is full."""
        loop = asyncio.get_running_loop()
        end = self._jobs[0].arrived + self._window
        while (left := end - loop.time()) > 0 and sum(len(job.items) for job in self._jobs) < self._largest:
            self._arrival.clear()
            try:
                await asyncio.wait_for(self._arrival.wait(), left)
            except TimeoutError:
                return

    def _take(self) -> list[_Job[Item, Answer]]:
        """Remove the first requests with equal keys from the queue; others keep their order."""
        batch: list[_Job[Item, Answer]] = []
        rest: deque[_Job[Item, Answer]] = deque()
        count = 0
        for job in self._jobs:
            if job.answer.done():
                continue  # cancelled
            fits = not batch or (job.key == batch[0].key and count + len(job.items) <= self._largest)
            if fits:
                batch.append(job)
                count += len(job.items)
            else:
                rest.append(job)
        self._jobs = rest
        return batch

    async def _answer(self, batch: list[_Job[Item, Answer]]) -> None:
        items = [item for job in batch for item in job.items]
        self.observe(len(items))
        loop = asyncio.get_running_loop()
        try:
            answers = list(await loop.run_in_executor(self._thread, self._work, batch[0].key, items))
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, VireidError):
                for job in batch:
                    if not job.answer.done():
                        await self._answer([job])
                return
            for job in batch:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        position = 0
        for job in batch:
            part = answers[position : position + len(job.items)]
            position += len(job.items)
            if not job.answer.done():
                job.answer.set_result(part)
