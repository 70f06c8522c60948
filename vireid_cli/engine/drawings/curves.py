"""Loss terms and learning rate over a run's steps."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.engine.drawings import Studio
from vireid_cli.figures import curves

RUNS = (1, 1)


def draw(studio: Studio) -> Path:
    """Loss terms and learning rate over a run's steps.

    Raises:
        UsageError: The log is empty.
    """
    run = studio.run
    rows = list(run.log_rows())
    steps = [row for row in rows if row.get("kind") == "step"]
    epochs = [row for row in rows if row.get("kind") == "epoch"]
    figure = curves.curves_figure(steps, epochs, run.name)
    return studio.output.save(figure, run.figures / "curves")
