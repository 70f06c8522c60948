"""How the engine tells what it is doing, without knowing who listens (a terminal, a notebook, nobody)."""

from __future__ import annotations

from collections.abc import Mapping

from vireid_cli.types import Progress


class Reporter:
    """Listens and says nothing; the command line's console overrides its three verbs."""

    def say(self, text: str) -> None:
        """One line of information."""

    def warn(self, text: str) -> None:
        """One line that the user should not miss."""

    def advance(self, job: str, done: int, total: int, shown: Mapping[str, str] | None = None) -> None:
        """A long job has come to ``done`` of ``total``; ``shown`` are values to put beside the bar."""

    def progress(self, job: str) -> Progress:
        """A callback that advances ``job``."""
        return lambda done, total: self.advance(job, done, total)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``9 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole / 86400:.0f} days"
