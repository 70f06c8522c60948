"""Progress and messages of the engine, for a terminal, a notebook or nobody."""

from __future__ import annotations

from collections.abc import Mapping

from vireid_cli.types import Progress


class Reporter:
    """Ignores everything; the console of the command line overrides ``info``, ``warn`` and ``advance``."""

    def info(self, text: str) -> None:
        """Receive one line of information."""

    def warn(self, text: str) -> None:
        """Receive one line of warning."""

    def advance(self, job: str, done: int, total: int, shown: Mapping[str, str] | None = None) -> None:
        """Receive the progress of a long job.

        Args:
            job: Name of the job.
            done: Finished units.
            total: Units in total.
            shown: Values displayed beside the progress bar, keyed by name.
        """

    def progress(self, job: str) -> Progress:
        """Return a callback ``(done, total)`` that advances ``job``."""
        return lambda done, total: self.advance(job, done, total)


def duration(seconds: float) -> str:
    """Format seconds for people: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``9 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole / 86400:.0f} days"
