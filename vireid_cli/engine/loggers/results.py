"""Results of later commands in the loggers of a run: metrics of evaluations, and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.engine.evaluate.result import Evaluation
from vireid_cli.engine.loggers.backend import RESULTS, clean_name, is_finite
from vireid_cli.engine.loggers.figures import OF_REPORT, drawn
from vireid_cli.engine.loggers.run_loggers import attached_loggers
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.session import Session
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder


def log_evaluations(
    run: RunFolder, recipe: Recipe, epochs: int, session: Session, evaluations: Sequence[Evaluation]
) -> None:
    """Pass the metrics of evaluations, in [0, 1], and their CMC curve to the run's loggers.

    Args:
        run: The run.
        recipe: Its recipe.
        epochs: Training epochs of the evaluated checkpoint.
        session: Device, reporter and folders.
        evaluations: Results with a folder.
    """
    with attached_loggers(run, recipe, session) as loggers:
        if not loggers.active:
            return
        step = _step_after(run, epochs)
        for evaluation in evaluations:
            name = evaluation.folder.name if evaluation.folder else evaluation.protocol
            metrics = {key: metric["mean"] for key, metric in evaluation.content["metrics"].items()}
            values = {
                clean_name(f"{RESULTS}{name}/{key}"): value
                for key, value in metrics.items()
                if is_finite(value)
            }
            loggers.results(values, step)
        loggers.figures(lambda: drawn(("cmc",), run, session), step)


def log_figure(run: RunFolder, figure: str, path: Path, session: Session) -> None:
    """Pass a drawn figure of one run to its loggers; for a report, the figures with its content.

    Args:
        run: The run.
        figure: Name of the figure.
        path: The written file; only PNG files and reports are passed on.
        session: Device, reporter and folders.
    """
    if not (run.recipe_file.is_file() and (figure == "report" or path.suffix.lower() == ".png")):
        return
    with attached_loggers(run, run_recipe(run, checked=False), session) as loggers:
        if loggers.active:
            step = _step_after(run, None)
            if figure == "report":
                loggers.figures(lambda: drawn(OF_REPORT, run, session), step)
            else:
                loggers.figures(lambda: {figure: path.read_bytes()}, step)


def _step_after(run: RunFolder, epochs: int | None) -> int:
    """Return the number of steps after an epoch; None: at the end of the log."""
    step = 0
    for row in run.log_rows():
        step = int(row.get("global_step", step))
        if row["kind"] == "epoch" and epochs is not None and row.get("epoch", -1) + 1 == epochs:
            return step
    return step
