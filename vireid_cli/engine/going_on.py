"""With which arithmetic an interrupted training goes on: its own, or another one that is said and kept."""

from __future__ import annotations

import dataclasses

from vireid_cli import files
from vireid_cli.engine.checkpoint import Position
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import PRECISIONS, Runtime
from vireid_cli.results import schema
from vireid_cli.results.run import Run

ARITHMETIC = ("device", "precision", "threads", "torch")
"""What the last bits of the weights depend on, beside recipe and data."""


def with_own_precision(runtime: Runtime, run: Run) -> Runtime:
    """The runtime in the run's own precision, unless another one was asked for.

    Raises:
        DataError: ``environment.json`` can't be read.
    """
    own = run.environment().get("precision")
    if not runtime.automatic or own not in PRECISIONS:
        return runtime
    return dataclasses.replace(runtime, precision=own)


def note_arithmetic(run: Run, runtime: Runtime, at: Position, reporter: Reporter) -> None:
    """Say and keep that a run goes on with another arithmetic than it began with, in ``environment.json``."""
    environment, now = run.environment(), runtime.describe()
    changed = {key: now[key] for key in ARITHMETIC if environment.get(key) != now[key]}
    if changed:
        told = ", ".join(f"{key} {environment.get(key)} → {value}" for key, value in changed.items())
        reporter.warn(f"goes on with another arithmetic, so not to the same bits: {told}")
        resumed = [*environment.get("resumed", []), {"global_step": at.global_step, **changed}]
        files.write_json(run.folder / schema.ENVIRONMENT, {**environment, "resumed": resumed})
