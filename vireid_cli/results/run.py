"""A run folder: made, found, read and written; ``runs/latest`` names the newest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vireid_cli import documents, files, reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation, stored_names
from vireid_cli.results.log import checked_rows, log_rows

LATEST = "latest"
DAMAGED = "The run is damaged: restore its folder, or train anew."
MEANS = "means"
"""Folder of the runs folder that holds means over models; no run is named so."""


def runs_folder() -> Path:
    """``$VIREID_RUNS``, else ``./runs``."""
    return Path(os.environ.get("VIREID_RUNS") or "runs")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.folder / schema.RECIPE

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.folder / "checkpoints"

    @property
    def figures(self) -> Path:
        """Where figures go."""
        return self.folder / "figures"

    @property
    def exports(self) -> Path:
        """Where exported networks go."""
        return self.folder / "exports"

    @property
    def lock(self) -> Path:
        """Held by the process that trains it."""
        return self.folder / ".lock"

    @property
    def log(self) -> Path:
        """The log of its training, ``train.jsonl``."""
        return self.folder / schema.LOG

    def evaluation(self, protocol: str) -> Path:
        """The folder of one protocol's results."""
        return self.folder / "evaluation" / protocol

    def environment(self) -> schema.Environment:
        """Read ``environment.json``. Raises ``DataError`` if it is missing or of another form."""
        return documents.read_form(self.folder / schema.ENVIRONMENT, schema.Environment, hint=DAMAGED)

    def log_rows(self) -> Iterator[dict[str, Any]]:
        """Rows of ``train.jsonl``; a line cut by a kill is skipped."""
        return (row for _, row in log_rows(self.log))

    def rows_to_draw(self) -> list[dict[str, Any]]:
        """Rows of ``train.jsonl``, steps and epochs checked. Raises as ``log.checked_rows``."""
        return checked_rows(self.log)

    def stored(self) -> dict[str, StoredEvaluation]:
        """Every finished evaluation by name, its files checked to be of one evaluation.

        Raises:
            DataError: One is damaged, or its files are of different evaluations.
        """
        home, again = self.folder / "evaluation", f"vireid evaluate {self.folder}"
        return {name: read_evaluation(home / name, again) for name in stored_names(home)}

    def evaluations(self) -> dict[str, schema.EvaluationFile]:
        """``metrics.json`` of every finished evaluation by name. Raises as ``stored``."""
        return {name: found.content for name, found in self.stored().items()}


def create(
    recipe_name: str, dataset: str, *, runs: Path | None = None, now: datetime | None = None
) -> RunFolder:
    """Make a new run folder ``<recipe>-<dataset>-<time>``; a second one in the same second gets a number."""
    runs = runs or runs_folder()
    stem = f"{recipe_name}-{dataset}-{(now or datetime.now()).strftime('%Y%m%d-%H%M%S')}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            folder = runs / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return RunFolder(folder)
    except OSError as error:
        raise DataError(f"cannot make a run folder in {runs}: {error.strerror or error}") from error
    raise DataError(f"cannot make a run folder {stem} in {runs}: a thousand of that name exist")


def name_latest(run: RunFolder) -> None:
    """Point ``latest`` at this run: a symbolic link, or a text file where links can't be made."""
    link = run.folder.parent / LATEST
    temporary = link.with_name(f".{LATEST}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(run.folder.name, target_is_directory=True)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)
        files.write_text(link, run.folder.name + "\n")


def find(name: str | Path | None = None, *, runs: Path | None = None) -> RunFolder:
    """The run of that path or name; the newest where none is named.

    Raises:
        UsageError: There is no such run; the existing ones are listed.
    """
    runs = runs or runs_folder()
    if name is None or str(name) == LATEST:
        return _latest(runs)
    for folder in (Path(name), runs / name):
        if (folder / schema.RECIPE).is_file():
            return RunFolder(folder)
    known = [
        path.parent.name for path in sorted(runs.glob(f"*/{schema.RECIPE}")) if path.parent.name != LATEST
    ]
    listed = "\n".join(f"  {n}" for n in known[-10:])
    raise UsageError(
        f"There is no run '{name}': no folder with a {schema.RECIPE}, here or in {runs}.",
        f"Runs in {runs}:\n{listed}" if known else "Train one first: vireid train --recipe quickstart.yaml",
    )


def runs_in(folder: Path) -> list[RunFolder]:
    """The runs right in a folder, by name; links count, but ``latest`` and a second name of a run do not."""
    places = sorted(path.parent for path in folder.glob(f"*/{schema.RECIPE}") if path.parent.name != LATEST)
    first: dict[Path, Path] = {}
    for place in sorted(places, key=Path.is_symlink):  # a run's own folder goes before links to it
        first.setdefault(place.resolve(), place)
    return [RunFolder(place) for place in sorted(first.values())]


def find_results(name: str | Path | None = None, *, runs: Path | None = None) -> RunFolder:
    """As ``find``, or the folder of a mean over models (``means/<name>``), which has results and no recipe.

    Raises:
        UsageError: There is neither.
    """
    runs = runs or runs_folder()
    for folder in () if name is None else (Path(name), runs / name, runs / MEANS / name):
        if (folder / "evaluation").is_dir() and folder.parent.name == MEANS:
            return RunFolder(folder)
    return find(name, runs=runs)


def _latest(runs: Path) -> RunFolder:
    """The run that ``latest`` names."""
    link = runs / LATEST
    if link.is_file():
        link = runs / reading.read_text(link, limit=4096, surrogates=True).strip()
    if (link / schema.RECIPE).is_file():
        return RunFolder(runs / link.readlink() if link.is_symlink() else link)
    raise UsageError(
        f"There is no run yet: {runs / LATEST} does not name one.",
        "Train one first: vireid train --recipe quickstart.yaml",
    )


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one line of JSON and hand it to the system at once."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def keep_rows_until(path: Path, global_step: int) -> None:
    """Drop lines after ``global_step``: what a resumed run will write again."""
    if not path.is_file():
        return
    rows = [row for _, row in log_rows(path)]
    kept = [json.dumps(row, ensure_ascii=False) for row in rows if _step_of(row) <= global_step]
    files.write_text(path, "".join(f"{line}\n" for line in kept))


def _step_of(row: Mapping[str, Any]) -> int:
    """Steps taken when a row was written; 0 for a row that does not count them."""
    step = row.get("global_step", 0)
    return step if isinstance(step, int) else 0
