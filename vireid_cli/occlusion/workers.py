"""Share batches out to processes.

Occluding an image takes a hundred short array operations, between which Python's lock is held: threads would
wait for each other. Each process has every n-th batch from the start and sends its results back; one whose
parent is gone ends at its next result.

Processes are started anew on every system: a forked one would hold the locks of threads that it does not
have (those of OpenCV and torch), and could wait for them for ever.
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


def shared_out(job: Callable[[Item], Result], batches: Sequence[Item], workers: int) -> Generator[Result]:
    """The job's result for each batch, as they come; for one worker here, in order.

    Args:
        job: Free of side effects that the parent would need to see; picklable, as are batches and results.
        batches: What to do.
        workers: Processes.

    Raises:
        DataError: A worker was killed.
        Exception: Whatever the job raised.
    """
    if workers <= 1:
        yield from map(job, batches)
        return
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    crew = []
    try:
        for k in range(workers):
            mine, theirs = context.Pipe(duplex=False)
            ends.append(mine)
            process = context.Process(target=_serve, args=(job, batches[k::workers], theirs), daemon=True)
            with _apart():
                process.start()
            crew.append(process)
            theirs.close()
        yield from _received(ends)
    finally:
        for process in crew:
            process.terminate()
            process.join()
        for end in ends:
            end.close()


@contextmanager
def _apart() -> Iterator[None]:
    """Start a process that neither runs the parent's script again nor gets its Ctrl-C.

    Python runs the main script in each new process to find what is defined there; nothing of ours is, and a
    script without the guard ``if __name__ == "__main__"`` would start its whole work again.
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


def _received(ends: list[Connection]) -> Iterator[Any]:
    """Results of all workers until each is done; ``ends`` loses those that are."""
    while ends:
        for end in wait(ends):
            assert isinstance(end, Connection)
            try:
                result = end.recv()
            except EOFError as error:
                raise DataError(
                    "A worker process was killed.", "What is finished is kept: give the same command again."
                ) from error
            if result is None:
                ends.remove(end)
                end.close()
            elif isinstance(result, Exception):
                raise result
            else:
                yield result


def _serve(job: Callable[[Any], Any], batches: Sequence[Any], end: Connection) -> None:
    """Do batches and send results, then None; an error is sent in a result's place.

    Args:
        job: What to do.
        batches: What with.
        end: To the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted and ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for batch in batches:
            end.send(job(batch))
        end.send(None)
    except BrokenPipeError:
        return
    except Exception as error:
        end.send(error)
