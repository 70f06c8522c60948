"""Report of a tuning study: table, figures, ``tune.json`` and ``best.yaml``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_cli import files, reading
from vireid_cli.counts import counted
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.tune.space import values_of
from vireid_cli.engine.tune.trials import REPEATED
from vireid_cli.errors import DataError
from vireid_cli.figures import tuning
from vireid_cli.figures.tuning import Outcome, TrialPoint
from vireid_cli.recipe.tuning import TuningStudy
from vireid_cli.results import schema
from vireid_cli.results.formatting import RENDERED_NOTE
from vireid_cli.results.settings import format_value, is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study as OptunaStudy
    from optuna.trial import FrozenTrial

RESULT, BEST = "tune.json", "best.yaml"
LEAST_TRIALS = 4
"""Fewest complete trials for an importance."""

_OUTCOMES: dict[str, Outcome] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial in the table.

    Attributes:
        number: Its number.
        state: ``complete``, ``pruned``, ``failed``, ``running`` or ``waiting``.
        value: Objective in [0, 1]; of a pruned or running trial the last validation; None: it has none.
        epochs: Validated epochs.
        seconds: Duration; None while it runs.
        settings: Values by key.
        run: Name of its run folder; empty: it has none.
        note: Cause of a failure, or the trial whose result it repeats.
    """

    number: int
    state: str
    value: float | None
    epochs: int
    seconds: float | None
    settings: Mapping[str, Any]
    run: str
    note: str


@dataclass(frozen=True, slots=True)
class TuningResult:
    """Result of a tuning study.

    Attributes:
        study: The study.
        folder: Its folder.
        rows: Its trials.
        best: The best complete trial; None: there is none.
        importance: Share of the importance by key, in [0, 1]; empty: too few trials.
        paths: The written files.
        notes: Remarks about missing parts.
    """

    study: TuningStudy
    folder: Path
    rows: tuple[TrialRow, ...]
    best: TrialRow | None
    importance: Mapping[str, float]
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return the number of trials by state, in the order of their ends."""
        states = ("complete", "pruned", "failed", "running", "waiting")
        numbers = {state: sum(row.state == state for row in self.rows) for state in states}
        return {state: number for state, number in numbers.items() if number or state in states[:3]}


def report(study: TuningStudy, opened: OptunaStudy, folder: Path, rendered: bool) -> TuningResult:
    """Write ``tune.json``, ``best.yaml`` and the figures of a study.

    Args:
        study: The study.
        opened: Its journal.
        folder: Its folder.
        rendered: Whether the data are rendered.
    """
    trials = opened.get_trials(deepcopy=False)
    rows = tuple(_row(study, trial) for trial in trials)
    complete = [row for row in rows if row.state == "complete"]
    best = max(complete, key=lambda row: (row.value or 0.0, -row.number), default=None)
    importance, note = _importance(opened, complete)
    notes = [note] if note else []
    paths = [] if best is None else [_write_best(study, folder, best, len(complete))]
    if any(row.value is not None for row in rows):
        paths += _draw(study, folder, rows, importance, RENDERED_NOTE if rendered else None)
    result = TuningResult(study, folder, rows, best, importance, tuple(paths), tuple(notes))
    path = files.write_json(folder / RESULT, as_json(result))
    return TuningResult(study, folder, rows, best, importance, (path, *paths), tuple(notes))


def as_json(result: TuningResult) -> dict[str, Any]:
    """Return the content of ``tune.json``."""
    rows = [
        {
            "number": row.number,
            "state": row.state,
            result.study.objective: row.value,
            "epochs": row.epochs,
            "seconds": row.seconds,
            "settings": dict(row.settings),
            "run": row.run,
            "note": row.note,
        }
        for row in result.rows
    ]
    return {
        "version": schema.VERSION,
        "study": result.study.model_dump(mode="json", exclude_defaults=True),
        "objective": f"{result.study.objective} of the validation identities at the epoch with the best mAP",
        "counts": result.counts(),
        "best": None if result.best is None else result.best.number,
        "importance": dict(result.importance),
        "trials": rows,
    }


def _row(study: TuningStudy, trial: FrozenTrial) -> TrialRow:
    """Describe a trial."""
    state = _OUTCOMES.get(trial.state.name, trial.state.name.lower())
    last = trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None
    value = trial.value if state == "complete" else last
    same, cause = trial.user_attrs.get("same"), str(trial.user_attrs.get("cause", ""))
    note = f"repeats trial {same}" if same is not None else cause
    if cause in REPEATED:
        note += "; queued again"
    return TrialRow(
        number=trial.number,
        state=str(state),
        value=value if value is not None and math.isfinite(value) else None,
        epochs=len(trial.intermediate_values),
        seconds=None if trial.duration is None else round(trial.duration.total_seconds(), 1),
        settings=values_of(study, trial.params),
        run=str(trial.user_attrs.get("run", "")),
        note=note,
    )


def _importance(opened: OptunaStudy, complete: Sequence[TrialRow]) -> tuple[dict[str, float], str]:
    """Compute the importance of the keys by PED-ANOVA; empty with the reason."""
    if len(complete) < LEAST_TRIALS:
        number = counted(len(complete), "trial")
        return {}, f"no importance of the keys: {number} complete, {LEAST_TRIALS} are needed"
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    if len({row.value for row in complete}) == 1:
        return {}, "no importance of the keys: the results of the trials do not differ"
    with warnings.catch_warnings(record=True) as caught:  # Optuna warns if the result has no meaning
        warnings.simplefilter("always")
        try:
            shares = get_param_importances(opened, evaluator=PedAnovaImportanceEvaluator())
        except (RuntimeError, ValueError) as error:
            return {}, f"no importance of the keys: {error}"
    if reasons := [str(w.message) for w in caught if "importances will be equal" in str(w.message)]:
        return {}, f"no importance of the keys: {reasons[0]}"
    return dict(shares), ""


def _write_best(study: TuningStudy, folder: Path, best: TrialRow, complete: int) -> Path:
    """Write the resolved recipe of the best trial, which has the bytes of its run's after the comment.

    Raises:
        DataError: The run of the trial was removed.
    """
    source = folder / best.run / schema.RECIPE
    if not best.run or not source.is_file():
        raise DataError(
            f"{source} of the best trial, number {best.number}, is missing.", "Restore the run folder."
        )
    value = f"{100 * (best.value or 0.0):.2f} %"
    comment = (
        f"# Trial {best.number} of the tuning study {study.name}, the best of {complete}: "
        f"{study.objective} {value} on validation identities.\n"
        f"# It trains without the validation identities; for the test, set data.split: trainval and "
        "train.select: last.\n"
    )
    return files.write_text(folder / BEST, comment + reading.read_text(source))


def _draw(
    study: TuningStudy,
    folder: Path,
    rows: Sequence[TrialRow],
    importance: Mapping[str, float],
    note: str | None,
) -> list[Path]:
    """Draw history, slices and importance."""
    points = [
        TrialPoint(
            row.number,
            _OUTCOMES[row.state.upper() if row.state != "failed" else "FAIL"],
            math.nan if row.value is None else row.value,
            {key: _shown(study, key, value) for key, value in row.settings.items()},
        )
        for row in rows
        if row.state in _OUTCOMES.values()
    ]
    whole = [point for point in points if set(point.settings) == set(study.space)]
    numbers = ", ".join(
        f"{sum(point.outcome == outcome for point in points)} {outcome}" for outcome in _OUTCOMES.values()
    )
    subtitle = f"{study.recipe}; {numbers}"
    logarithmic = {key: dimension.log for key, dimension in study.space.items()}
    figures: dict[str, Figure] = {}
    if any(math.isfinite(point.value) for point in whole):
        title, objective = study.name, study.objective
        figures["history"] = tuning.history_figure(points, objective, f"{title}: trials", subtitle)
        figures["slices"] = tuning.slices_figure(whole, logarithmic, objective, f"{title}: keys", subtitle)
    if importance:
        about = f"PED-ANOVA over the complete trials; {numbers}"
        figures["importance"] = tuning.importance_figure(importance, f"{study.name}: importance", about)
    output = Output(note=note)
    return [output.save(figure, folder / "figures" / name) for name, figure in figures.items()]


def _shown(study: TuningStudy, key: str, value: Any) -> float | str:
    """Return a value for an axis: choices are words, unless all of them are numbers."""
    choices = study.space[key].choices
    if choices is not None and not all(map(is_number, choices)):
        return format_value(value)
    return float(value) if is_number(value) else format_value(value)
