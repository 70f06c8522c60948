"""The loggers of a run: start, rows, figures, end; and the check of their packages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vireid_cli.engine.loggers.backend import (
    LoggerBackend,
    Numbers,
    RunDetails,
    State,
    numbers_of,
    parameters_of,
)
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.interrupt import TrainingEnded
from vireid_cli.errors import DataError, Interrupted, MissingExtra, VireidError
from vireid_cli.lock import locked
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder
from vireid_cli.results.settings import leaves

if TYPE_CHECKING:
    from vireid_cli.engine.loggers.worker import LoggerThread

EXTRAS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""Extra of this project by the name of a logger, which is also that of the package."""


class RunLoggers:
    """Loggers of one run; without loggers every method returns at once.

    Args:
        threads: The loggers.
        reporter: Receives a warning about each logger that fails.
    """

    def __init__(self, threads: Iterable[LoggerThread] = (), reporter: Reporter | None = None) -> None:
        self._threads, self._reporter = list(threads), reporter or Reporter()

    @property
    def active(self) -> bool:
        """Whether a logger receives rows."""
        return bool(self._threads)

    def row(self, row: Mapping[str, Any]) -> None:
        """Pass a row of ``train.jsonl`` to the loggers."""
        if self._threads:
            self._put(_numbers(row))

    def results(self, values: Mapping[str, float], step: int) -> None:
        """Pass results of an evaluation to the loggers; they replace former ones."""
        self._put(Numbers(step, time.time(), values, replaces=True))

    def figures(self, draw: Callable[[], Mapping[str, bytes]], step: int) -> None:
        """Draw figures as PNG by name, if a logger receives them; a failure is a warning."""
        if not self._threads:
            return
        from vireid_cli.engine.loggers.backend import Picture

        try:
            drawn = draw()
        except VireidError as error:
            self._reporter.warn(f"the loggers receive no figure: {error.message}")
            return
        for name, png in drawn.items():
            self._put(Picture(name, png, step))

    def close(self, state: State) -> None:
        """Write everything and end the loggers."""
        for thread in self._threads:
            thread.close(state)
            if thread.problem:
                self._reporter.warn(thread.problem)
        self._threads = []

    def _put(self, entry: Any) -> None:
        """Pass an entry to all loggers, and drop those that have failed."""
        for thread in self._threads:
            thread.put(entry)
            if thread.failed:
                self._reporter.warn(thread.problem)
        self._threads = [thread for thread in self._threads if not thread.failed]


OFF = RunLoggers()
"""No logger."""


def check_packages(recipe: Recipe) -> None:
    """Check that the packages of a recipe's loggers are installed; imports none of them.

    Raises:
        MissingExtra: A package is missing.
    """
    for name in recipe.train.loggers:
        if find_spec(name) is None:
            raise MissingExtra(name, EXTRAS[name], f"train.loggers: {name}")


@contextmanager
def training_loggers(run: RunFolder, recipe: Recipe, session: Session, step: int) -> Iterator[RunLoggers]:
    """Start the loggers of a training on rank 0, and end them with its end.

    Args:
        run: The run folder. Its rows up to ``step`` are passed to the loggers that lack them.
        recipe: The run's recipe.
        session: Its reporter receives warnings.
        step: Step from which the training starts.
    """
    if not recipe.train.loggers or not session.runtime.world.first:
        yield OFF
        return
    loggers = _start(run, recipe, session, step, run.log_rows() if step else ())
    state: State = "failed"
    try:
        yield loggers
        state = "finished"
    except (Interrupted, KeyboardInterrupt):
        state = "interrupted"
        raise
    except TrainingEnded:
        state = "finished"
        raise
    finally:
        loggers.close(state)


@contextmanager
def attached_loggers(run: RunFolder, recipe: Recipe, session: Session) -> Iterator[RunLoggers]:
    """Continue the loggers of a run for results and figures of a later command.

    Rows of an ended training that a logger lacks, because its server was gone, are added.
    """
    if not recipe.train.loggers or not session.runtime.world.first:
        yield OFF
        return
    loggers = _start(run, recipe, session, None, _rows_of_ended(run))
    try:
        yield loggers
    finally:
        loggers.close("attached")


def _rows_of_ended(run: RunFolder) -> list[dict[str, Any]]:
    """Return the rows of a run that no process trains; otherwise none, because its own loggers pass them."""
    try:
        with locked(run.folder, run.lock):
            return list(run.log_rows())
    except DataError:
        return []


def _numbers(row: Mapping[str, Any]) -> Numbers:
    return Numbers(int(row.get("global_step", 0)), time.time(), numbers_of(row))


def _start(
    run: RunFolder, recipe: Recipe, session: Session, until: int | None, rows: Iterable[Mapping[str, Any]]
) -> RunLoggers:
    """Start a thread for each logger with an installed package."""
    from vireid_cli.engine.loggers.worker import LoggerThread

    details = details_of(run, recipe)
    threads = []
    history = [_numbers(row) for row in rows]
    for name in recipe.train.loggers:
        if find_spec(name) is None:
            session.reporter.warn(
                f"{name} is not installed and receives nothing: pip install 'vireid[{EXTRAS[name]}]'"
            )
            continue
        threads.append(LoggerThread(name, backend_of(name), details, until, history))
    return RunLoggers(threads, session.reporter)


def backend_of(name: str) -> LoggerBackend:
    """Create a logger by its name; imports no foreign package."""
    if name == "tensorboard":
        from vireid_cli.engine.loggers.tensorboard import TensorBoard

        return TensorBoard()
    if name == "mlflow":
        from vireid_cli.engine.loggers.mlflow import MLflow

        return MLflow()
    from vireid_cli.engine.loggers.wandb import Wandb

    return Wandb()


def details_of(run: RunFolder, recipe: Recipe) -> RunDetails:
    """Describe a run for the loggers."""
    about = {key: str(value) for key, value in leaves(run.environment()) if not isinstance(value, list)}
    return RunDetails(
        name=run.name,
        folder=run.folder,
        group=f"{recipe.data.dataset.replace(':', '-')}-{recipe.method.name}",
        parameters=parameters_of(recipe.model_dump(mode="json")),
        tags={key: value for key, value in about.items() if value},
        recipe=dump(recipe),
    )
