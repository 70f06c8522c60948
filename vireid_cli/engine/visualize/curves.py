"""Loss terms and learning rate of trainings over their steps, validation over their epochs."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.engine.subjects.evaluations import labels_of
from vireid_cli.engine.visualize import Studio
from vireid_cli.figures import curves
from vireid_cli.results.run import Run

RUNS = (1, 8)


def draw(studio: Studio) -> Path:
    """Loss terms and learning rate over steps, validation over epochs; several runs over each other.

    Raises:
        UsageError: A log is empty.
        DataError: A row of a log lacks what is drawn.
    """
    logs = [_log(run, label) for run, label in zip(studio.runs, labels_of(studio.runs), strict=True)]
    if len(logs) == 1:
        figure = curves.curves_figure(logs, studio.run.name)
        return studio.output.save(figure, studio.run.figures / "curves")
    figure = curves.curves_figure(logs, "Training")
    return studio.output.save(figure, studio.runs[0].figures / f"curves-{len(logs)}-runs")


def _log(run: Run, label: str) -> curves.Log:
    """The rows of a run's log, by kind."""
    rows = run.rows_to_draw()
    steps = [row for row in rows if row.get("kind") == "step"]
    return curves.Log(label, steps, [row for row in rows if row.get("kind") == "epoch"])
