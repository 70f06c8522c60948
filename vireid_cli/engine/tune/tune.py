"""Run the trials of a tuning study in this process, and write its report.

Trials train on the training identities (``data.split: train``) and are compared on the validation identities.
Test identities are never embedded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vireid_cli.counts import counted
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session, runs_option
from vireid_cli.engine.study_runs import run_state, trained
from vireid_cli.engine.train.interrupt import TrainingEnded
from vireid_cli.engine.train.validation import BY
from vireid_cli.engine.tune import trials as lifecycle
from vireid_cli.engine.tune.journal import journal_lock, open_journal, require_optuna
from vireid_cli.engine.tune.report import TuningResult, report
from vireid_cli.engine.tune.space import base_recipe, values_of
from vireid_cli.errors import DataError, Interrupted, UsageError, VireidError
from vireid_cli.files import data_option
from vireid_cli.printable import shell_line
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.tuning import TuningStudy
from vireid_cli.results.run import RunFolder
from vireid_cli.results.settings import format_value

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial

MOST_FAILURES = 3
"""Trials in a row that may fail: more have a common cause, such as a full disk."""

POLL_SECONDS = 1.0
"""Pause between two looks for the result of the same trial in another process."""

_log = logging.getLogger(__name__)


def tune(study: TuningStudy, session: Session, trials: int | None = None, source: str = "") -> TuningResult:
    """Run trials until the study has its number of them, and write table, figures and ``best.yaml``.

    Several processes may run the same study. A second call continues it.

    Args:
        study: The study.
        session: Device, reporter and folders; the study's folder is ``<runs_dir>/<name>``.
        trials: Number of trials in total instead of the study's; 0 only writes the report.
        source: File or name of the study, for the command that continues it; empty: its name.

    Raises:
        RecipeError: The recipe or the space is wrong; the error lists all mistakes.
        UsageError: There are no validation identities, the folder belongs to another study, or several
            ranks run this.
        MissingExtra: Optuna is not installed.
        DataError: The journal is damaged or locked.
        VireidError: Three trials in a row failed.
        Interrupted: A signal stopped the search; a second call continues.
    """
    if session.runtime.world.several:
        raise UsageError(
            "vireid tune runs one trial in one process; torchrun has started several.",
            "Start vireid tune itself several times: the processes share the trials.",
        )
    recipe = base_recipe(study)
    data = recipe.data
    folder = session.runs_dir / study.name
    require_optuna()
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    if not np.any(store.records.splits == "val"):
        raise UsageError(
            f"{study.name}: {store.info.dataset} has no validation identities, and a search never sees the "
            "test identities.",
            "Search on SYSU-MM01, which has validation identities of its own.",
        )
    opened = open_journal(study, recipe, folder)
    search = _Search(study, opened, folder, replace(session, runs_dir=folder))
    try:
        search.run(study.trials if trials is None else trials)
    except (Interrupted, KeyboardInterrupt) as error:
        places = data_option(session.data_dir) + runs_option(session.runs_dir)
        raise Interrupted(
            f"Stopped; {folder} has the finished trials and the checkpoint of the last one.",
            f"Continue: vireid tune {shell_line([source or study.name])}{places}",
        ) from error
    with journal_lock(folder):
        lifecycle.fail_stale(opened, folder)
        return report(study, opened, folder, rendered=bool(store.rendered))


class _Search:
    """The trials of this process.

    Args:
        study: The study.
        opened: Its journal.
        folder: Its folder.
        session: Session with the study's folder as the folder of runs.
    """

    def __init__(self, study: TuningStudy, opened: OptunaStudy, folder: Path, session: Session) -> None:
        self._study, self._opened, self._folder, self._session = study, opened, folder, session

    def run(self, total: int) -> None:
        """Run trials until the study has ``total`` of them."""
        failures = 0
        while True:
            with lifecycle.next_trial(self._study, self._opened, self._folder, total) as trial:
                if trial is None:
                    return
                error = self._attempt(trial)
            failures = failures + 1 if error else 0
            if error and failures >= MOST_FAILURES:
                raise VireidError(
                    f"{counted(failures, 'trial')} in a row failed, the last one: {error.message}", error.hint
                ) from error

    def _attempt(self, trial: Trial) -> VireidError | None:
        """Run one trial and record its end; returns the error of a trial that failed by itself."""
        values = values_of(self._study, trial.params)
        shown = ", ".join(f"{key} {format_value(value)}" for key, value in values.items())
        self._session.reporter.info(f"{self._study.name}: trial {trial.number}: {shown}")
        try:
            self._train(trial, values)
        except TrainingEnded:
            self._end(trial, None)
        except VireidError as error:
            if isinstance(error, Interrupted):
                lifecycle.fail(self._opened, trial, lifecycle.INTERRUPTED)
                raise
            return self._failed(trial, error)
        except (torch.OutOfMemoryError, MemoryError):
            torch.cuda.empty_cache()
            return self._failed(trial, VireidError("not enough memory for this trial."))
        except KeyboardInterrupt:
            lifecycle.fail(self._opened, trial, lifecycle.INTERRUPTED)
            raise
        except BaseException as error:
            lifecycle.fail(self._opened, trial, f"{type(error).__name__}: {error}")
            raise
        return None

    def _failed(self, trial: Trial, error: VireidError) -> VireidError:
        """Record a failure."""
        lifecycle.fail(self._opened, trial, error.message)
        self._session.reporter.warn(f"trial {trial.number} failed: {error.message}")
        return error

    def _train(self, trial: Trial, values: Mapping[str, object]) -> None:
        """Train a trial and record its result, or take that of an earlier trial with the same recipe."""
        recipe = load_recipe(self._study.recipe, self._study.settings(values))
        mark = sha256(dump(recipe).encode()).hexdigest()
        with journal_lock(self._folder):
            trial.set_user_attr("recipe", mark)
        while (other := lifecycle.earlier(self._opened, trial.number, mark)) is not None:
            if other.state.name != "RUNNING":
                self._session.reporter.info(f"trial {trial.number} repeats trial {other.number}")
                lifecycle.copy_result(self._opened, trial, other)
                return
            time.sleep(POLL_SECONDS)
            with journal_lock(self._folder):
                lifecycle.fail_stale(self._opened, self._folder)
        run = self._trained(trial, recipe)
        self._end(trial, best_value(run, self._study.objective))

    def _trained(self, trial: Trial, recipe: Recipe) -> RunFolder:
        """Train with reports to the pruner after each epoch."""
        _, existing = run_state(recipe, self._session)
        name = f"trial-{trial.number:04d}"
        if (self._folder / name).exists():  # of a study whose journal was removed
            name = f"{name}-{time.time_ns()}"
        trial.set_user_attr("run", Path(existing).name if existing else name)
        known: set[int] = set()

        def watch(epoch: int, metrics: Mapping[str, float]) -> None:
            """Report a validation; ends a trial that falls behind."""
            if epoch not in known:
                known.add(epoch)
                trial.report(metrics[self._study.objective], epoch)
            if epoch < recipe.train.epochs and trial.should_prune():
                raise TrainingEnded(f"pruned after epoch {epoch}")

        run = trained(recipe, self._session, name=name, watch=watch)
        for epoch, metrics in validations(run):
            if epoch not in known:  # of a run that was resumed
                trial.report(metrics[self._study.objective], epoch)
        return run

    def _end(self, trial: Trial, value: float | None) -> None:
        """Record the result of a trial; None: it was pruned."""
        from optuna.trial import TrialState

        if value is None:
            self._opened.tell(trial, state=TrialState.PRUNED)
            self._session.reporter.info(f"trial {trial.number} pruned")
        else:
            self._opened.tell(trial, value)
            self._session.reporter.info(
                f"trial {trial.number}: {self._study.objective} {100 * value:.2f} % on validation identities"
            )


def validations(run: RunFolder) -> list[tuple[int, Mapping[str, float]]]:
    """Return epoch, from 1, and metrics of each validation of a run."""
    rows = [row for row in run.checked_log_rows() if row["kind"] == "epoch" and row.get("val")]
    return [(int(row["epoch"]) + 1, row["val"]) for row in rows]


def best_value(run: RunFolder, objective: str) -> float:
    """Return a metric of the validation at the epoch with the best mAP, whose checkpoint is the run's best.

    Raises:
        DataError: The run has no validation.
    """
    rows = [metrics for _, metrics in validations(run) if metrics.get(BY) is not None]
    if not rows:
        raise DataError(f"{run.folder} has no validation.", "Remove the run, and continue the study.")
    return float(max(rows, key=lambda metrics: metrics[BY])[objective])
