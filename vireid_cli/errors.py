"""Exceptions with a message and a hint for the user.

Every error that a user can cause derives from ``VireidError``. The command line prints its message and
its hint without a traceback, and exits with its exit code: 1 for a failure, 2 for wrong use.
"""

from __future__ import annotations


class VireidError(Exception):
    """A failure with an explanation for the user.

    Args:
        message: The problem and its place (file, line, key).
        hint: Advice; may have several lines.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, followed by the hint on separate lines."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(VireidError):
    """Wrong use: the user must change an argument, a path or a combination of options."""

    exit_code = 2


class RecipeError(UsageError):
    """An invalid recipe; the message lists every mistake with file, line and key path."""


class DataError(VireidError):
    """A file, dataset or store is missing, incomplete, damaged or not writable."""


class OtherModel(DataError):
    """Two sets of embeddings are of different models, so their distances mean nothing."""


class MissingExtra(UsageError):
    """An optional package is not installed.

    Args:
        package: Import name of the missing package.
        extra: Extra of this project that installs it.
        purpose: The feature that needs it; subject of the message.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.",
            f"pip install 'vireid[{extra}]'",
        )


class ReportedElsewhere(VireidError):
    """A job of several processes failed, and another process prints the reason; this one exits silently.

    Args:
        exit_code: Exit code of this process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("Another process of this job reported the failure.")
        self.exit_code = exit_code


class Interrupted(VireidError):
    """The user (Ctrl-C) or the system (SIGTERM) stopped the work; finished parts are kept."""

    exit_code = 130
