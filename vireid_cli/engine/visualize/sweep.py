"""FDNM's figure 5: metrics over a hyperparameter, from the runs of a folder or a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.engine.compare import runs_of_study
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import rendered_note
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures import sweep
from vireid_cli.results import schema
from vireid_cli.results.formatting import joined_notes, protocol_label
from vireid_cli.results.run import RunFolder, runs_in
from vireid_cli.results.settings import NAME, format_value, settings_of
from vireid_cli.results.sweep import Member, Sweep, check_conditions, sweep_of

RUNS = (0, 0)


def draw(
    folder: Path,
    session: Session,
    output: Output,
    *,
    key: str | None = None,
    metrics: Sequence[str] = ("rank1", "mAP"),
    protocol: str | None = None,
    where: Sequence[str] = (),
) -> Path:
    """Draw metrics over the values of a key, as mean and standard deviation over seeds.

    Args:
        folder: Folder of run folders, such as that of a study (``runs/<study>``).
        session: Device, reporter and folders.
        output: File, format and resolution.
        key: The recipe key on the horizontal axis; None: the only key that varies, apart from the seed.
        metrics: Names of metrics in ``metrics.json``.
        protocol: Name of the evaluation; None: the one that most runs have.
        where: Conditions ``KEY=VALUE`` on the runs.

    Raises:
        UsageError: The folder has no runs with this evaluation, the runs were evaluated on different images,
            or the key can't be swept.
        DataError: The evaluations of all runs are damaged.
    """
    check_conditions(where)
    if not metrics:
        raise UsageError("--metric names no metric.", "For example: --metric rank1,mAP")
    runs = _runs_in(folder, session)
    by_run = _evaluations(runs, session)
    name = protocol or _most_common(folder, by_run)
    evaluated = {run: evaluations[name] for run, evaluations in by_run.items() if name in evaluations}
    if not evaluated:
        names = sorted({name for evaluations in by_run.values() for name in evaluations})
        raise UsageError(f"No run in {folder} has an evaluation '{name}'.", f"Choose: {', '.join(names)}")
    missing = [run.name for run in by_run if run not in evaluated]
    if missing:
        session.reporter.warn(
            f"skipping {len(missing)} of {len(by_run)} runs without evaluation {name}, first {missing[0]}"
        )
    members = [_member(run, content) for run, content in evaluated.items()]
    result = sweep_of(members, key, metrics, where)
    if result.confounded:
        session.reporter.warn(
            f"{_some(result.confounded)} change together with {result.key}: the effect may be theirs"
        )
    if result.omitted:
        session.reporter.info(f"{result.omitted} of {len(members)} runs are not part of this sweep")
    figure = _figure(result, metrics, where, f"{folder.name}: {protocol_label(name)}")
    stem = "-".join(["sweep", *result.key.split(".")[-2:]])
    output = replace(output, note=joined_notes(rendered_note(list(evaluated)), result.unlike))
    return output.save(figure, folder / "figures" / stem)


def _runs_in(folder: Path, session: Session) -> list[RunFolder]:
    """Return the runs of the study in this folder; without a study, all run folders directly in it.

    Raises:
        UsageError: The folder does not exist or has no runs.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Name a folder of run folders: runs/STUDY")
    runs = runs_in(folder)
    try:
        runs = runs_of_study(folder) or runs
    except UsageError as error:
        if not runs:
            raise
        session.reporter.warn(f"using all runs in {folder}, because its study can't be read: {error.message}")
    if runs:
        return runs
    below = sorted({path.parent.parent for path in folder.glob(f"*/*/{schema.RECIPE}")})
    if below:
        raise UsageError(
            f"{folder} has no run folders itself.",
            f"Name one of: {', '.join(str(path) for path in below[:10])}",
        )
    if (folder / schema.RECIPE).is_file():
        raise UsageError(f"{folder} is one run.", f"Name its parent folder: {folder.parent}")
    raise UsageError(f"There is no run in {folder}.", "Run: vireid compare STUDY")


def _evaluations(runs: Sequence[RunFolder], session: Session) -> dict[RunFolder, Mapping[str, Any]]:
    """Return the evaluations of each run, keyed by name; skip runs with a damaged one, with a warning.

    Raises:
        DataError: All runs have a damaged evaluation.
    """
    by_run: dict[RunFolder, Mapping[str, Any]] = {}
    damaged: list[DataError] = []
    for run in runs:
        try:
            by_run[run] = run.evaluations()
        except DataError as error:
            damaged.append(error)
    if damaged and not by_run:
        raise damaged[0]
    if damaged:
        session.reporter.warn(
            f"skipping {len(damaged)} of {len(runs)} runs with a damaged evaluation, "
            f"first {damaged[0].message} {damaged[0].hint}"
        )
    return by_run


def _most_common(folder: Path, by_run: Mapping[RunFolder, Mapping[str, Any]]) -> str:
    """Return the evaluation that most runs have; among equals, the first by name."""
    counts = Counter(name for evaluations in by_run.values() for name in evaluations)
    if not counts:
        raise UsageError(
            f"None of the {len(by_run)} runs in {folder} has been evaluated.",
            f"Run: {next(iter(by_run)).command('evaluate')}",
        )
    return min(counts, key=lambda name: (-counts[name], name))


def _member(run: RunFolder, content: Mapping[str, Any]) -> Member:
    """Collect the settings and metrics of a run."""
    recipe = run_recipe(run)  # fills in keys that are newer than the run
    settings, seed = settings_of(recipe.model_dump(mode="json"))
    metrics = {name: float(metric["mean"]) for name, metric in content["metrics"].items()}
    marks = content["fingerprint"]
    return Member(run.name, seed, settings, str(marks.get("data")), metrics, marks)


def _figure(result: Sweep, metrics: Sequence[str], where: Sequence[str], title: str) -> Any:
    """Draw the sweep, with a description of its points below the title."""
    lines = []
    for name in metrics:
        spreads = [point.metrics[name] for point in result.points]
        means = np.array([spread.mean for spread in spreads])
        stds = np.array([np.nan if spread.std is None else spread.std for spread in spreads])
        lines.append(sweep.SweepLine(name.replace("rank", "Rank-"), means, stds))
    counts = sorted({len(point.seeds) for point in result.points})
    range_text = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    about = f"points: mean over {range_text} seeds" if counts[-1] > 1 else "one seed each"
    about += "; bars: ± one standard deviation over seeds" if counts[-1] > 1 else ""
    about += f"\nwhere {', '.join(where)}" if where else ""
    fixed = ", ".join(
        f"{key.removeprefix('method.options.')} = {format_value(v)}" for key, v in result.fixed.items()
    )
    about += f"\nfixed: {fixed}" if fixed else ""
    about += f"\nchange with it: {_some(result.confounded)}" if result.confounded else ""
    values = [point.value if result.numeric else format_value(point.value) for point in result.points]
    key = "recipe" if result.key == NAME else result.key
    return sweep.sweep_figure(key, values, lines, title, about)


def _some(keys: Sequence[str]) -> str:
    """Join the first three keys, and count the rest."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{', '.join(keys[:3])}{more}"
