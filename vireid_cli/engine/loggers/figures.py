"""Figures of a run as PNG, for its loggers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vireid_cli.engine import visualize
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import MissingExtra
from vireid_cli.results.run import RunFolder

OF_REPORT = ("curves", "cmc", "ranking", "distances", "tsne")
"""Figures with the content of the report's charts and gallery."""


def drawn(names: Sequence[str], run: RunFolder, session: Session) -> dict[str, bytes]:
    """Draw figures of a run, without those that need a missing package.

    Raises:
        VireidError: The data of a figure are missing or damaged.
    """
    silent = replace(session, reporter=Reporter())
    figures: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            output = Output(Path(folder) / f"{name}.png")
            try:
                figures[name] = visualize.draw(name, (run,), silent, output).read_bytes()
            except MissingExtra as error:
                session.reporter.warn(f"the loggers receive no figure {name}: {error.message}")
    return figures
