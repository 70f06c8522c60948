"""The session: device, listener and folders that every verb works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.results import run as runs


@dataclass(frozen=True)
class Session:
    """Everything that a verb needs beside its subject.

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
            reporter: None: silent.
            data_dir: None: ``$VIREID_DATA``, else ``./data``.
            runs_dir: None: ``$VIREID_RUNS``, else ``./runs``.

        Raises:
            UsageError: No such device or precision here.
        """
        return Session(
            Runtime.choose(device, precision),
            reporter or Reporter(),
            data_folder(data_dir),
            runs_dir or runs.runs_folder(),
        )


def data_folder(given: Path | None = None) -> Path:
    """The data directory: as given, else ``$VIREID_DATA``, else ``./data``."""
    return given or Path(os.environ.get("VIREID_DATA") or "data")
