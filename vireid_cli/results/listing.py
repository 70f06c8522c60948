"""List of the runs in a folder: recipe, dataset, finished epochs, first result; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from vireid_cli import documents, folders, reading
from vireid_cli.errors import VireidError
from vireid_cli.results.run import RunFolder, runs_in
from vireid_cli.results.unlike import note
from vireid_cli.run_names import LATEST

Key = Literal["date", "name", "recipe", "dataset", "epochs", "rank1", "mAP"]
"""Columns by which the list is sorted."""

DESCENDING = ("date", "epochs", "rank1", "mAP")
"""Columns with the largest value first; others are sorted alphabetically."""

_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One row of the list.

    Attributes:
        name: Name of the run folder.
        recipe, dataset: Name of the recipe and of the training dataset; empty if the recipe is damaged.
        epochs: Epochs of the newest checkpoint; 0 without a checkpoint.
        planned: Epochs of the recipe.
        protocol: Name of the first evaluation; empty without one.
        rank1, mAP: Its metrics in [0, 1]; None without an evaluation.
        date: Time of the newest checkpoint, else of the recipe file, in local time without seconds.
        latest: Whether ``latest`` refers to the run.
        rendered: Whether the first evaluation is on rendered images.
        precision: Precision of the first evaluation; empty without one, or if it is not recorded.
        problem: Reason why a part could not be read; otherwise empty.
    """

    name: str
    recipe: str
    dataset: str
    epochs: int
    planned: int
    protocol: str
    rank1: float | None
    mAP: float | None
    date: str
    latest: bool = False
    rendered: bool = False
    precision: str = ""
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the columns as JSON values."""
        return asdict(self)


def list_runs(folder: Path, key: Key = "date") -> list[ListedRun]:
    """List the runs in a folder.

    Args:
        folder: Folder of runs.
        key: Column that sorts the list; ``DESCENDING`` ones have the largest value first, and rows without a
            value are last.
    """
    latest = (folder / LATEST).resolve().name if (folder / LATEST).exists() else ""
    rows = [_listed(run, run.folder.resolve().name == latest) for run in runs_in(folder)]
    rows.sort(key=lambda row: row.name)
    if key in DESCENDING:
        return sorted(rows, key=lambda row: _rank(getattr(row, key)), reverse=True)
    return sorted(rows, key=lambda row: str(getattr(row, key)))


def unlike_note(rows: Sequence[ListedRun]) -> str:
    """Note about results of unlike precision; empty if there are none."""
    return note([{"precision": row.precision} for row in rows if row.rank1 is not None])


def _rank(value: float | str | None) -> tuple[bool, float | str]:
    return (value is not None, 0.0 if value is None else value)


def _listed(run: RunFolder, latest: bool) -> ListedRun:
    problems: list[str] = []
    recipe = _recipe(run, problems)
    data, train = _section(recipe, "data"), _section(recipe, "train")
    place = folders.current(run.checkpoints / "last", _STATE)
    epochs, planned = _epochs(place / _STATE, problems), train.get("epochs")
    try:
        evaluations = run.evaluations()
    except VireidError as error:
        problems.append(error.message)
        evaluations = {}
    protocol, content = next(iter(evaluations.items()), ("", None))
    metrics = {} if content is None else {name: one["mean"] for name, one in content["metrics"].items()}
    stamp = place / _STATE if (place / _STATE).is_file() else run.recipe_file
    return ListedRun(
        run.name,
        str(recipe.get("name", "")),
        str(data.get("dataset", "")),
        epochs,
        planned if isinstance(planned, int) else 0,
        protocol,
        metrics.get("rank1"),
        metrics.get("mAP"),
        datetime.fromtimestamp(stamp.stat().st_mtime).strftime("%Y-%m-%d %H:%M"),
        latest,
        bool(content and content["fingerprint"].get("rendered")),
        str(content["fingerprint"].get("precision", "")) if content else "",
        "; ".join(problems),
    )


def _recipe(run: RunFolder, problems: list[str]) -> dict[str, Any]:
    """Read the resolved recipe as plain values; empty if it is damaged."""
    try:
        content = yaml.safe_load(reading.read_text(run.recipe_file))
    except (VireidError, yaml.YAMLError, RecursionError) as error:
        problems.append(f"{run.recipe_file} can't be read: {str(error).splitlines()[0]}")
        return {}
    return content if isinstance(content, dict) else {}


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name)
    return section if isinstance(section, dict) else {}


def _epochs(path: Path, problems: list[str]) -> int:
    """Read the finished epochs of a checkpoint; 0 without a checkpoint."""
    if not path.is_file():
        return 0
    try:
        content = documents.read_json(path)
    except VireidError as error:
        problems.append(error.message)
        return 0
    epochs = content.get("epoch") if isinstance(content, dict) else None
    return epochs if isinstance(epochs, int) else 0
