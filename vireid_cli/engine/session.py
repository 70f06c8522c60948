"""The session: device, reporter and folders of all verbs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vireid_cli import files
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.files import data_folder
from vireid_cli.printable import shell_line
from vireid_cli.results import run as runs


@dataclass(frozen=True)
class Session:
    """Device, reporter and folders of a verb.

    Attributes:
        runtime: Device and precision.
        reporter: Receives progress, messages and warnings.
        data_dir: Datasets and prepared stores.
        runs_dir: Run folders.
    """

    runtime: Runtime
    reporter: Reporter
    data_dir: Path
    runs_dir: Path

    @staticmethod
    def choose(
        device: str = "auto",
        precision: str = "auto",
        *,
        reporter: Reporter | None = None,
        data_dir: Path | None = None,
        runs_dir: Path | None = None,
    ) -> Session:
        """Create a session from names and defaults.

        Args:
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; see ``Runtime.choose``.
            precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
            reporter: Receives progress and messages; None: ignore them. Under torchrun only rank 0 uses it.
            data_dir: Datasets; None: ``$VIREID_DATA``, else ``./data``.
            runs_dir: Run folders; None: ``$VIREID_RUNS``, else ``./runs``.

        Raises:
            UsageError: The device or precision does not exist.
        """
        runtime = Runtime.choose(device, precision)
        return Session(
            runtime,
            reporter if reporter is not None and runtime.world.first else Reporter(),
            data_folder(data_dir),
            files.expand(runs_dir) if runs_dir else runs.runs_folder(),
        )


def runs_option(runs_dir: Path) -> str:
    """Return `` --runs DIR`` for a printed command; empty for the default folder of runs."""
    return "" if runs_dir == runs.runs_folder() else f" --runs {shell_line([str(runs_dir)])}"
