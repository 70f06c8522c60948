"""Distribute batches over processes.

The occlusion of an image consists of a hundred short array operations, and Python holds its global lock
between them, so that threads would wait for each other. Each process computes every n-th batch and sends back
the results. It exits at its next result if its parent is gone.

Processes are spawned, not forked: a forked process could wait forever for locks of threads that it does not
have (those of OpenCV and torch).
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from vireid_cli.errors import DataError

_CAN_BLOCK = hasattr(signal, "pthread_sigmask")

Item = TypeVar("Item")
Result = TypeVar("Result")


def process_map(job: Callable[[Item], Result], batches: Sequence[Item], workers: int) -> Generator[Result]:
    """Yield the result of a function for each batch, in the order of completion.

    A single worker computes in this process, in the order of the batches.

    Args:
        job: Picklable function. Its changes to memory are not visible here.
        batches: Picklable arguments of the function.
        workers: Number of processes.

    Raises:
        DataError: A worker process was killed.
        Exception: An exception of the function.
    """
    if workers <= 1:
        yield from map(job, batches)
        return
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    processes = []
    try:
        for k in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            ends.append(receiver)
            process = context.Process(target=_serve, args=(job, batches[k::workers], sender), daemon=True)
            with _isolated_start():
                process.start()
            processes.append(process)
            sender.close()
        yield from _results(ends)
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for end in ends:
            end.close()


@contextmanager
def _isolated_start() -> Iterator[None]:
    """Context that starts a process without the parent's main script and with SIGINT blocked.

    Python imports the main script in each new process for the definitions in it. The jobs here need none, and
    a script without the guard ``if __name__ == "__main__"`` would repeat its whole work.
    """
    main = sys.modules["__main__"]
    spec, file = main.__spec__, getattr(main, "__file__", None)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _CAN_BLOCK else None
    try:
        main.__spec__ = None
        if file is not None:
            del main.__file__
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _results(ends: list[Connection]) -> Iterator[Any]:
    """Yield results until all workers are done; removes the connections of finished workers from ``ends``."""
    while ends:
        for end in wait(ends):
            assert isinstance(end, Connection)
            try:
                result = end.recv()
            except EOFError as error:
                raise DataError(
                    "A worker process was killed.",
                    "Completed images are kept; run the same command again (with fewer --workers if needed).",
                ) from error
            if result is None:
                ends.remove(end)
                end.close()
            elif isinstance(result, Exception):
                raise result
            else:
                yield result


def _serve(job: Callable[[Any], Any], batches: Sequence[Any], end: Connection) -> None:
    """Send the result of each batch, or the exception, and None at the end.

    Args:
        job: Function of a batch.
        batches: Arguments.
        end: Connection to the parent process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and terminates its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for batch in batches:
            end.send(job(batch))
        end.send(None)
    except BrokenPipeError:
        return
    except Exception as error:
        end.send(error)
