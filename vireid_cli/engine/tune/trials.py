"""Trials of a study: the next one, stale ones, repeated ones, and their ends.

Attributes of a trial in the journal: ``recipe`` (hash of its resolved recipe), ``run`` (name of its run
folder), ``cause`` (of a failure), ``same`` (number of the trial with the same recipe), ``again`` (how often
the trial was started before).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_cli.engine.tune.journal import is_alive, journal_lock, new_sampler, trial_lock
from vireid_cli.engine.tune.space import distributions
from vireid_cli.lock import locked
from vireid_cli.recipe.tuning import TuningStudy

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.trial import FrozenTrial

STALE, INTERRUPTED = "its process ended without a result", "interrupted"
REPEATED = (STALE, INTERRUPTED)
"""Causes after which a trial is started again; they do not count as trials."""

MOST_STARTS = 3
"""How often the same trial is started: one that is killed each time does not stop a study."""


@contextmanager
def next_trial(study: TuningStudy, opened: OptunaStudy, folder: Path, total: int) -> Iterator[Trial | None]:
    """Begin the next trial and hold its lock; None if the study has its trials.

    Args:
        study: The study.
        opened: Its journal.
        folder: Its folder.
        total: Number of trials in total.
    """
    with journal_lock(folder):
        fail_stale(opened, folder)
        trial = _ask(study, opened, total)
        held = None
        if trial is not None:
            held = locked(folder, trial_lock(folder, trial.number))
            held.__enter__()
    try:
        yield trial
    finally:
        if held is not None and trial is not None:
            held.__exit__(None, None, None)
            with suppress(OSError):
                trial_lock(folder, trial.number).unlink()


def _ask(study: TuningStudy, opened: OptunaStudy, total: int) -> Trial | None:
    """Create a trial with its values, unless the study is complete."""
    trials = opened.get_trials(deepcopy=False)
    waiting = any(trial.state.name == "WAITING" for trial in trials)
    if count(trials) >= total or (not waiting and is_exhausted(study, trials)):
        return None
    opened.sampler = new_sampler(study, count(trials))
    return opened.ask(distributions(study))


def count(trials: Sequence[FrozenTrial]) -> int:
    """Count the trials: all but those that were, or will be, started again."""
    return sum(
        trial.state.name != "WAITING" and trial.user_attrs.get("cause") not in REPEATED for trial in trials
    )


def is_exhausted(study: TuningStudy, trials: Sequence[FrozenTrial]) -> bool:
    """Whether every combination of values has a result or is running."""
    tried = {
        tuple(sorted(trial.params.items()))
        for trial in trials
        if trial.state.name != "WAITING" and trial.user_attrs.get("cause") not in REPEATED
    }
    return len(tried) >= study.size


def fail_stale(opened: OptunaStudy, folder: Path) -> list[int]:
    """Mark running trials without a process as failed, and queue them again; returns their numbers.

    The caller holds the lock of the journal.
    """
    running = [t for t in opened.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
    stale = [trial for trial in running if not is_alive(folder, trial.number)]
    for trial in stale:
        fail(opened, trial, STALE)
        with suppress(OSError):
            trial_lock(folder, trial.number).unlink()
    return [trial.number for trial in stale]


def fail(opened: OptunaStudy, trial: Trial | FrozenTrial, cause: str) -> None:
    """Mark a trial as failed; one without a fault of its own is queued again."""
    from optuna.trial import TrialState

    again = int(trial.user_attrs.get("again", 0)) + 1
    repeats = cause in REPEATED and bool(trial.params)
    if repeats and again >= MOST_STARTS:
        cause, repeats = f"{cause} {again} times", False
    # the storage's own method: a frozen trial of another process has no other
    storage, number = opened._storage, trial._trial_id
    storage.set_trial_user_attr(number, "cause", cause)
    opened.tell(trial.number, state=TrialState.FAIL)
    if repeats:
        opened.enqueue_trial(dict(trial.params), user_attrs={"again": again})


def earlier(opened: OptunaStudy, number: int, recipe: str) -> FrozenTrial | None:
    """Return an earlier trial with the same resolved recipe that is running or has a result."""
    same = [
        trial
        for trial in opened.get_trials(deepcopy=False)
        if trial.number < number
        and trial.user_attrs.get("recipe") == recipe
        and trial.state.name in ("RUNNING", "COMPLETE", "PRUNED")
    ]
    return same[0] if same else None


def copy_result(opened: OptunaStudy, trial: Trial, other: FrozenTrial) -> None:
    """End a trial with the result of an earlier one of the same recipe."""
    for key, value in (("same", other.number), ("run", other.user_attrs.get("run", ""))):
        trial.set_user_attr(key, value)
    for step, value in sorted(other.intermediate_values.items()):
        trial.report(value, step)
    values: Any = other.value if other.state.name == "COMPLETE" else None
    opened.tell(trial, values, state=other.state)
