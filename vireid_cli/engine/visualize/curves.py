"""Training curves: loss terms and learning rate over steps, validation over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.output import Output
from vireid_cli.figures import curves
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

RUNS = (1, 8)


def draw(runs: Sequence[RunFolder], session: Session, output: Output) -> Path:
    """Draw loss terms and learning rate over steps, and validation over epochs, of one or several runs.

    Args:
        runs: One to eight runs; several share the axes.
        session: Device, reporter and folders.
        output: File, format and resolution.

    Raises:
        UsageError: A log is empty.
        DataError: A row of a log lacks a value.
    """
    labels = output.names(runs, [_precision(run) for run in runs])
    logs = [_log(run, label) for run, label in zip(runs, labels, strict=True)]
    if len(logs) == 1:
        figure = curves.curves_figure(logs, output.name(runs[0]))
        return output.save(figure, runs[0].figures / "curves")
    figure = curves.curves_figure(logs, "Training")
    return output.save(figure, runs[0].figures / f"curves-{len(logs)}-runs")


def _precision(run: RunFolder) -> dict[str, str]:
    """The precision of a training, if it is recorded."""
    if not (run.folder / schema.ENVIRONMENT).is_file():
        return {}
    return {"precision": run.environment().get("precision", "")}


def _log(run: RunFolder, label: str) -> curves.Log:
    """Read a run's log, separated by kind of row."""
    rows = run.checked_log_rows()
    steps = [row for row in rows if row.get("kind") == "step"]
    return curves.Log(label, steps, [row for row in rows if row.get("kind") == "epoch"])
