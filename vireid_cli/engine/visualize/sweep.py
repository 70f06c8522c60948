"""FDNM's fifth figure: metrics over a hyperparameter, from the runs of a folder or of a study."""

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
from vireid_cli.results.run import RunFolder, runs_in
from vireid_cli.results.settings import NAME, settings_of, shown
from vireid_cli.results.sweep import Member, Sweep, refuse_conditions, sweep_of
from vireid_cli.results.wording import protocol_words

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
    """Metrics over the values of a key, mean and standard deviation over seeds.

    Args:
        folder: Holds the run folders: of a study (``runs/<study>``), or any.
        session: Device, listener, folders.
        output: File, format, resolution.
        key: What is swept; None: the one key that varies, seeds aside.
        metrics: Names of ``metrics.json``.
        protocol: Which evaluation; None: the first of those that most runs have.
        where: ``KEY=VALUE`` texts that runs must fit.

    Raises:
        UsageError: No runs, none evaluated so, on different images, or a key that can't be swept.
        DataError: The evaluations of all runs are damaged.
    """
    refuse_conditions(where)
    if not metrics:
        raise UsageError("--metric names no metric.", "For example: --metric rank1,mAP")
    runs = _runs_in(folder, session)
    done = _evaluations(runs, session)
    name = protocol or _usual(folder, done)
    evaluated = {run: found[name] for run, found in done.items() if name in found}
    if not evaluated:
        known = sorted({name for found in done.values() for name in found})
        raise UsageError(f"No run in {folder} has an evaluation '{name}'.", f"There is: {', '.join(known)}")
    missing = [run.name for run in done if run not in evaluated]
    if missing:
        session.reporter.warn(
            f"{len(missing)} of {len(done)} runs have no evaluation {name}: left out, first {missing[0]}"
        )
    members = [_member(run, content) for run, content in evaluated.items()]
    found = sweep_of(members, key, metrics, where)
    if found.along:
        session.reporter.warn(f"with {found.key}, {_some(found.along)} change too: the effect may be theirs")
    if found.left_out:
        session.reporter.info(f"{found.left_out} of {len(members)} runs are not part of this sweep")
    figure = _figure(found, metrics, where, f"{folder.name}: {protocol_words(name)}")
    stem = "-".join(["sweep", *found.key.split(".")[-2:]])
    output = replace(output, note=rendered_note(list(evaluated)))
    return output.save(figure, folder / "figures" / stem)


def _runs_in(folder: Path, session: Session) -> list[RunFolder]:
    """The runs of the study in that folder; without one, all run folders right below.

    Raises:
        UsageError: No such folder, or no run in it.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Name one that holds run folders: runs/STUDY")
    runs = runs_in(folder)
    try:
        runs = runs_of_study(folder) or runs
    except UsageError as error:
        if not runs:
            raise
        session.reporter.warn(
            f"what the study in {folder} asked for can't be read, every run counts: {error.message}"
        )
    if runs:
        return runs
    below = sorted({path.parent.parent for path in folder.glob(f"*/*/{schema.RECIPE}")})
    if below:
        raise UsageError(
            f"{folder} holds no runs itself.", f"Name one of: {', '.join(str(path) for path in below[:10])}"
        )
    if (folder / schema.RECIPE).is_file():
        raise UsageError(f"{folder} is one run.", f"Name the folder that holds it: {folder.parent}")
    raise UsageError(f"There is no run in {folder}.", "Make some: vireid compare STUDY")


def _evaluations(runs: Sequence[RunFolder], session: Session) -> dict[RunFolder, Mapping[str, Any]]:
    """Each run's evaluations by name; runs with a damaged one are left out, and it is said.

    Raises:
        DataError: No run is left.
    """
    found: dict[RunFolder, Mapping[str, Any]] = {}
    damaged: list[DataError] = []
    for run in runs:
        try:
            found[run] = run.evaluations()
        except DataError as error:
            damaged.append(error)
    if damaged and not found:
        raise damaged[0]
    if damaged:
        session.reporter.warn(
            f"{len(damaged)} of {len(runs)} runs have a damaged evaluation: left out, "
            f"first {damaged[0].message} {damaged[0].hint}"
        )
    return found


def _usual(folder: Path, done: Mapping[RunFolder, Mapping[str, Any]]) -> str:
    """The evaluation that most runs have; of several, the first by name."""
    counts = Counter(name for found in done.values() for name in found)
    if not counts:
        raise UsageError(
            f"None of the {len(done)} runs in {folder} has been evaluated.",
            f"Do it: vireid evaluate {next(iter(done)).folder}",
        )
    return min(counts, key=lambda name: (-counts[name], name))


def _member(run: RunFolder, content: Mapping[str, Any]) -> Member:
    """What the sweep reads of a run."""
    recipe = run_recipe(run)  # fills in keys that are newer than the run
    settings, seed = settings_of(recipe.model_dump(mode="json"))
    figures = {name: float(metric["mean"]) for name, metric in content["metrics"].items()}
    return Member(run.name, seed, settings, str(content["fingerprint"].get("data")), figures)


def _figure(found: Sweep, metrics: Sequence[str], where: Sequence[str], title: str) -> Any:
    """The picture, and beneath its title what a point is."""
    lines = []
    for name in metrics:
        spreads = [point.metrics[name] for point in found.points]
        means = np.array([spread.mean for spread in spreads])
        stds = np.array([np.nan if spread.std is None else spread.std for spread in spreads])
        lines.append(sweep.SweepLine(name.replace("rank", "Rank-"), means, stds))
    counts = sorted({len(point.seeds) for point in found.points})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    about = f"points: mean over {seeds} seeds" if counts[-1] > 1 else "one seed each"
    about += "; bars: ± one standard deviation over seeds" if counts[-1] > 1 else ""
    about += f"\nwhere {', '.join(where)}" if where else ""
    held = ", ".join(f"{key.removeprefix('method.options.')} = {shown(v)}" for key, v in found.held.items())
    about += f"\nheld: {held}" if held else ""
    about += f"\nchange with it: {_some(found.along)}" if found.along else ""
    values = [point.value if found.numeric else shown(point.value) for point in found.points]
    key = "recipe" if found.key == NAME else found.key
    return sweep.sweep_figure(key, values, lines, title, about)


def _some(keys: Sequence[str]) -> str:
    """The first three keys, and how many more there are."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{', '.join(keys[:3])}{more}"
