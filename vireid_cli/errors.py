"""Errors for people: what is wrong, where, what to do.

Every error that a user can cause derives from ``VireidError``; the command line prints its message
and its hint without a traceback and leaves with its exit code (1 failure, 2 the user's turn).
"""

from __future__ import annotations


class VireidError(Exception):
    """A failure that is explained to the user.

    Args:
        message: What is wrong and where (file, line, key).
        hint: What to do about it; may hold several lines.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, and the hint on lines of its own."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(VireidError):
    """Wrong use: an argument, a path or a combination that the user must change."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that is refused; the message lists every mistake with file, line and key path."""


class DataError(VireidError):
    """A dataset or a store that can't be used as it stands: missing, incomplete or damaged."""


class MissingExtra(UsageError):
    """An optional package is not installed.

    Args:
        package: The import name that failed.
        extra: The extra of this project that brings it.
        purpose: What needs it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.",
            f"pip install 'vireid[{extra}]'",
        )


class Interrupted(VireidError):
    """The user (Ctrl-C) or the system (SIGTERM) stopped the work; what was finished is kept."""

    exit_code = 130
