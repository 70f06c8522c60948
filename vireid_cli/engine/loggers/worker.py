"""A thread that passes rows to a logger, so that the training waits for none."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence

from vireid_cli.engine.loggers.backend import LoggerBackend, Numbers, Picture, Recorded, RunDetails, State
from vireid_cli.errors import VireidError

MOST_PENDING = 20_000
"""Largest number of rows that wait for a logger; one that falls further behind is dropped."""

BATCH = 200
"""Largest number of rows that are written at once."""

CLOSE_SECONDS = 60.0
"""Longest wait at the end of a training."""

_log = logging.getLogger(__name__)

Entry = Numbers | Picture


class LoggerThread:
    """A logger in a thread of its own.

    Args:
        name: Name of the logger in messages.
        backend: The logger.
        details: The run.
        until: See ``LoggerBackend.open``.
        history: Rows of the run so far; those that the logger lacks are written first.
    """

    def __init__(
        self,
        name: str,
        backend: LoggerBackend,
        details: RunDetails,
        until: int | None,
        history: Sequence[Numbers] = (),
    ) -> None:
        self._history = history
        self.name, self._backend, self._details, self._until = name, backend, details, until
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._state: State = "failed"
        self._differing = 0
        self._error: str = ""
        self._thread = threading.Thread(target=self._run, name=f"vireid-{name}", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether the logger is dropped."""
        return bool(self._error)

    @property
    def problem(self) -> str:
        """The reason of a failure, or the difference of repeated steps; empty: none."""
        if self._error:
            return f"{self.name} failed and is off for the rest of this command: {self._error}"
        if self._differing:
            return (
                f"{self.name} keeps {self._differing} numbers of steps that were trained twice with "
                "different results; train.jsonl has the new ones"
            )
        return ""

    def put(self, entry: Entry) -> None:
        """Pass an entry to the logger; returns at once."""
        if self.failed:
            return
        if self._entries.qsize() >= MOST_PENDING:
            self._error = f"it is {MOST_PENDING:,} rows behind the training"
            return
        self._entries.put(entry)

    def close(self, state: State) -> None:
        """Write all pending entries, and end the thread."""
        self._state = state
        self._entries.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() and not self._error:
            self._error = f"it did not finish within {CLOSE_SECONDS:.0f} s; its last rows may be missing"

    def _run(self) -> None:
        """Open the logger, and write entries until the last one."""
        try:
            recorded = self._backend.open(self._details, self._until)
            _log.info("%s: open with %d recorded numbers", self.name, len(recorded))
            for start in range(0, len(self._history), BATCH):
                self._write(self._history[start : start + BATCH], recorded)
            self._write_all(recorded)
            self._backend.close(self._state)
        except Exception as error:  # a logger of any kind must not end the training
            self._error = self._error or _reason(error)
            _log.info("%s failed", self.name, exc_info=True)

    def _write_all(self, recorded: Recorded) -> None:
        """Write entries in batches until ``close``."""
        ending = False
        while not ending:
            entries, ending = self._next()
            if self._error:  # too far behind
                return
            self._write([entry for entry in entries if isinstance(entry, Numbers)], recorded)
            for entry in entries:
                if isinstance(entry, Picture):
                    self._backend.draw(entry)

    def _write(self, rows: Sequence[Numbers], recorded: Recorded) -> None:
        """Write the numbers that the logger lacks."""
        fresh = [row for row in (self._fresh(row, recorded) for row in rows) if row.values]
        if fresh:
            self._backend.write(fresh)

    def _next(self) -> tuple[Sequence[Entry], bool]:
        """Wait for an entry, and return it with those that follow; True with the last ones."""
        entries: list[Entry] = []
        entry = self._entries.get()
        while entry is not None:
            entries.append(entry)
            if len(entries) >= BATCH:
                return entries, False
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                return entries, False
        return entries, True

    def _fresh(self, row: Numbers, recorded: Recorded) -> Numbers:
        """Return a row without the numbers that the logger already has."""
        values = {}
        for name, value in row.values.items():
            known = recorded.get((name, row.step))
            same = known is not None and abs(known - value) <= 1e-6 * max(abs(known), abs(value))
            self._differing += known is not None and not same and not row.replaces
            if known is None or (row.replaces and not same):
                values[name] = value
        return Numbers(row.step, row.time, values)


def _reason(error: Exception) -> str:
    """Describe an exception in one line: of vireid and of the system without its type."""
    lines = str(error).strip().splitlines()
    text = lines[0][:200] if lines else ""
    return text if isinstance(error, OSError | VireidError) and text else f"{type(error).__name__}: {text}"
