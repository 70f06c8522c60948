"""The processes (ranks) that share a job, as torchrun or a scheduler starts them.

Ranks exchange JSON and arrays over the process group's CPU backend (gloo), never pickles. If a rank fails,
it leaves its reason in the launcher's store, so that one of the others can name it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from vireid_cli.errors import ReportedElsewhere, UsageError, VireidError

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""Longest wait for another rank: preparation of data, validation, a large checkpoint."""

REASON_WAIT = timedelta(seconds=3)
"""Wait for the reason of a failed rank."""

POLL_SECONDS = 1.0
"""Pause between two looks for other ranks."""

_LOST = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "timed out", "socket")
"""Parts of the messages of PyTorch's errors about another rank."""

_launcher: list[dist.Store] = []  # the launcher's store, once connected
_stores: list[dist.Store] = []  # a part of it for each connection
_connected = False


@dataclass(frozen=True, slots=True)
class World:
    """The ranks of a job; the default is a single process.

    Attributes:
        rank: Number of this process; rank 0 writes and prints.
        size: Number of processes.
        local_rank: Number of this process on its machine; selects its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @staticmethod
    def of_environment(environment: Mapping[str, str] = os.environ) -> World:
        """Return the world that torchrun's variables describe; one process if they are not set.

        Raises:
            UsageError: A variable is not a number, or they contradict each other.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        if any(name not in environment for name in names):
            return World()
        try:
            rank, size, local_rank = (int(environment[name]) for name in names[:3])
        except ValueError:
            raise UsageError("RANK, WORLD_SIZE, LOCAL_RANK must be numbers.", "Use torchrun.") from None
        if not (0 <= rank < size and 0 <= local_rank < size):
            raise UsageError(
                f"RANK={rank}, LOCAL_RANK={local_rank} and WORLD_SIZE={size} contradict each other."
            )
        return World(rank, size, local_rank)

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are several ranks."""
        return self.size > 1

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Connect the ranks within the block, and turn the loss of a rank into a named error.

        Args:
            device: Gradients and features of this device are exchanged: NCCL for GPUs, gloo for CPUs.

        Raises:
            VireidError: Another rank failed; one rank names the reason.
            ReportedElsewhere: Another rank failed, and another one names the reason.
        """
        global _connected
        if not self.several or _connected:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        launcher = self._connect()
        # Keys of an earlier connection would be taken for those of this one.
        store = dist.PrefixStore(f"vireid{len(_stores)}", launcher)
        _stores.append(store)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=TIMEOUT)
        _connected = True
        try:
            yield
        except Exception as error:
            raise self._failure(error) from error
        finally:
            _connected = False
            dist.destroy_process_group()

    @property
    def connected(self) -> World:
        """This world within ``joined``; outside, a single process."""
        return self if _connected else ONE

    def broadcast(self, make: Callable[[], T]) -> T:
        """Return a JSON value that rank 0 makes; if that fails, all ranks fail and rank 0 raises."""
        if not self.several:
            return make()
        error: VireidError | None = None
        content: dict[str, Any] = {}
        if self.first:
            try:
                content = {"value": make()}
            except VireidError as raised:
                error, content = raised, {"exit_code": raised.exit_code}
        content = _broadcast_json(content, self.first)
        if error is not None:
            raise error
        if "exit_code" in content:
            raise ReportedElsewhere(content["exit_code"])
        value: T = content["value"]
        return value

    def together(self, job: Callable[[], T]) -> T:
        """Run a job on all ranks; if it fails on some, only the first of them raises the error itself."""
        if not self.several:
            return job()
        result: list[T] = []
        error: VireidError | None = None
        try:
            result.append(job())
        except VireidError as raised:
            error = raised
        codes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(codes, torch.tensor([0 if error is None else error.exit_code]))
        failed = [rank for rank, code in enumerate(codes) if int(code)]
        if not failed:
            return result[0]
        if error is not None and self.rank == failed[0]:
            raise error
        raise ReportedElsewhere(int(codes[failed[0]]))

    def in_turn(self, job: Callable[[], T]) -> T:
        """Run a job on rank 0 and then on the others, which use the files that it wrote."""
        if not self.several:
            return job()
        result: list[T] = []
        self.broadcast(lambda: result.append(job()))
        return result[0] if self.first else job()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        if not self.several:
            return flag
        value = torch.tensor(int(flag))
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)

    def meet(self, place: str) -> None:
        """Wait on rank 0 until all ranks have called this, for hours if needed; other ranks return at once.

        The ranks need not be connected (``joined``).

        Args:
            place: Name of the meeting; each one needs its own.
        """
        if not self.several:
            return
        store = self._connect()
        store.add(f"met/{place}", 1)
        while self.first and store.add(f"met/{place}", 0) < self.size:
            time.sleep(POLL_SECONDS)

    def _connect(self) -> dist.Store:
        """Return the launcher's store."""
        if not _launcher:
            _launcher.append(next(dist.rendezvous("env://", self.rank, self.size, timeout=TIMEOUT))[0])
        return _launcher[0]

    def gather_rows(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the (n, D) float32 arrays of all ranks; n differs, and may be 0 on any rank."""
        if not self.several:
            return [rows]
        shapes = [torch.zeros(2, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(shapes, torch.tensor(rows.shape))
        most, width = torch.stack(shapes).amax(0).tolist()
        sent = torch.zeros(most, width)
        sent[: len(rows), : rows.shape[1]] = torch.from_numpy(rows)
        received = [torch.empty_like(sent) for _ in range(self.size)]
        dist.all_gather(received, sent)
        return [part[: int(shape[0])].numpy() for part, shape in zip(received, shapes, strict=True)]

    def _failure(self, error: Exception) -> Exception:
        """Return the error to raise on this rank, and tell the other ranks."""
        if isinstance(error, ReportedElsewhere):
            return error
        store = _stores[-1]
        if isinstance(error, VireidError) and not self.first:
            error.message = f"Rank {self.rank}: {error.message}"
        if not is_loss(error):
            text = error.message if isinstance(error, VireidError) else f"{type(error).__name__}: {error}"
            store.set("reason", f"Rank {self.rank} failed: {text}".splitlines()[0])
            return error
        try:
            store.wait(["reason"], REASON_WAIT)
            reason = store.get("reason").decode()
        except (RuntimeError, ValueError):
            reason = "A rank ended without a message: it was killed, or its machine failed."
        if store.add("reporters", 1) > 1:
            return ReportedElsewhere(VireidError.exit_code)
        return VireidError(reason, "The launcher's report names the rank and its signal or exit code.")


ONE = World()
"""A single process."""


def is_loss(error: BaseException) -> bool:
    """Whether an error of PyTorch is about another rank that no longer answers."""
    if isinstance(error, VireidError) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, dist.DistError) or any(part in str(error).lower() for part in _LOST)


def _broadcast_json(content: Any, first: bool) -> Any:
    """Return the value of rank 0."""
    sent = (
        np.frombuffer(json.dumps(content).encode(), dtype=np.uint8).copy() if first else np.zeros(0, np.uint8)
    )
    size = torch.tensor(len(sent))
    dist.broadcast(size, src=0)
    received = torch.from_numpy(sent) if first else torch.empty(int(size), dtype=torch.uint8)
    dist.broadcast(received, src=0)
    return json.loads(received.numpy().tobytes())
