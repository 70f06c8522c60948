"""How the engine tells what it is doing, without knowing who listens (a terminal, a notebook, nobody)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


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
