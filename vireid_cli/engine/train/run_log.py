"""The file ``train.log`` of a run: messages and diagnostics at level INFO with their times.

Diagnostics use the standard ``logging`` module, with one logger per module below ``vireid_cli``. A program
that uses the package receives them by its own handlers at the levels that it has set; the file changes
neither.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.train.interrupt import TrainingEnded
from vireid_cli.errors import DataError, Interrupted, ReportedElsewhere, VireidError
from vireid_cli.files import refuse_irregular
from vireid_cli.printable import printable

FILE = "train.log"
PACKAGE = "vireid_cli"

PRINTED = {"printed": True}
"""Attribute of records that the reporter prints; see ``commands.diagnostics``."""

MOST_WAITING = 10_000
"""Largest number of records before the run folder exists."""

_log = logging.getLogger("vireid_cli.messages")


class LoggedReporter(Reporter):
    """Reporter that also logs all messages.

    Args:
        reporter: Receives everything.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def info(self, text: str) -> None:
        """Report and log one line of information."""
        self._reporter.info(text)
        _log.info("%s", text, extra=PRINTED)

    def warn(self, text: str) -> None:
        """Report and log one line of warning."""
        self._reporter.warn(text)
        _log.warning("%s", text, extra=PRINTED)

    def advance(self, job: str, done: int, total: int, shown: Mapping[str, str] | None = None) -> None:
        """Report progress, which is not logged."""
        self._reporter.advance(job, done, total, shown)


class EscapingFormatter(logging.Formatter):
    """Formatter that escapes unprintable characters of foreign names; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the printable text of a record."""
        return "\n".join(printable(line) for line in super().format(record).split("\n"))


class _Forward(logging.Handler):
    """Passes records to the handlers above the package, at the level that applied before."""

    def __init__(self, level: int) -> None:
        super().__init__(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record to the handlers above the package."""
        logging.getLogger().callHandlers(record)


class RunLog:
    """Records of a training, kept in memory until the run folder exists."""

    def __init__(self) -> None:
        self._waiting = logging.handlers.MemoryHandler(
            MOST_WAITING, flushLevel=logging.CRITICAL + 1, flushOnClose=False
        )
        self._waiting.setLevel(logging.INFO)
        self._file: logging.Handler | None = None

    def write_to(self, folder: Path) -> None:
        """Write the records so far, and all further ones, to ``train.log`` in a folder."""
        handler = _QuietFileHandler(folder / FILE, encoding="utf-8", errors="backslashreplace", delay=True)
        handler.setFormatter(EscapingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._file = handler
        self._waiting.setTarget(handler)
        self._waiting.flush()
        self._waiting.capacity = 1  # from now on each record is written at once

    @property
    def handler(self) -> logging.Handler:
        """Handler for the package's logger."""
        return self._waiting

    def close(self) -> None:
        """Write the last records and close the file."""
        self._waiting.close()
        if self._file is not None:
            self._file.close()


class _QuietFileHandler(logging.FileHandler):
    """File that drops records which it can't write, such as on a full disk: the log is not essential."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; open the file first."""
        try:
            super().emit(record)
        except (OSError, DataError):
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        """Open the file; a named pipe in its place would block for ever."""
        refuse_irregular(Path(self.baseFilename))
        return super()._open()


@contextmanager
def run_log(first: bool = True) -> Iterator[RunLog]:
    """Collect the package's records at level INFO and above during a training.

    Args:
        first: Whether this is rank 0; other ranks write no file.
    """
    log = RunLog()
    if not first:
        yield log
        return
    logger = logging.getLogger(PACKAGE)
    before, propagates = logger.level, logger.propagate
    forward = _Forward(logger.getEffectiveLevel())
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    logger.propagate = False
    logger.addHandler(log.handler)
    logger.addHandler(forward)
    try:
        yield log
    except (VireidError, KeyboardInterrupt) as error:
        _record_end(error)
        raise
    except TrainingEnded as ended:
        _log.info("the training ends early: %s", ended)
        raise
    except Exception:
        _log.exception("the training failed", extra=PRINTED)
        raise
    finally:
        logger.removeHandler(log.handler)
        logger.removeHandler(forward)
        logger.setLevel(before)
        logger.propagate = propagates
        log.close()


def _record_end(error: BaseException) -> None:
    """Record the reason of an early end."""
    if isinstance(error, ReportedElsewhere):
        _log.error("another process of this training failed", extra=PRINTED)
    elif isinstance(error, Interrupted | KeyboardInterrupt):
        _log.warning("interrupted: %s", error, extra=PRINTED)
    else:
        _log.error("%s", error, extra=PRINTED)
