"""Run folders: creation, search, reading and writing; ``runs/latest`` refers to the newest trained run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vireid_cli import documents, files, reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.printable import shell_line
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation, read_evaluation, stored_names
from vireid_cli.results.log import checked_rows, log_rows
from vireid_cli.results.training_schema import Environment
from vireid_cli.run_names import LATEST, MEANS, problem_of_name

DAMAGED = "The run is damaged: restore its folder, or train again."


def runs_folder() -> Path:
    """Return ``$VIREID_RUNS``, by default ``./runs``; expands ``~``."""
    return files.expand(Path(os.environ.get("VIREID_RUNS") or "runs"))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Folder of one run.

    Attributes:
        folder: Path of the folder; a string is converted.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def recipe_file(self) -> Path:
        """File of the resolved recipe."""
        return self.folder / schema.RECIPE

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def figures(self) -> Path:
        """Folder of figures."""
        return self.folder / "figures"

    @property
    def exports(self) -> Path:
        """Folder of exported networks."""
        return self.folder / "exports"

    @property
    def lock(self) -> Path:
        """Lock file of the training process."""
        return self.folder / ".lock"

    @property
    def log(self) -> Path:
        """Log of the training, ``train.jsonl``."""
        return self.folder / schema.LOG

    def command(self, *words: str) -> str:
        """Return the command ``vireid WORDS FOLDER`` for a message, quoted for a shell."""
        return shell_line(["vireid", *words, str(self.folder)])

    def evaluation(self, protocol: str) -> Path:
        """Return the folder of a protocol's results."""
        return self.folder / "evaluation" / protocol

    def environment(self) -> Environment:
        """Read ``environment.json``. Raises ``DataError`` if it is missing or invalid."""
        return documents.read_form(self.folder / schema.ENVIRONMENT, Environment, hint=DAMAGED)

    def log_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of ``train.jsonl``; skips invalid lines, such as one cut by a kill."""
        return (row for _, row in log_rows(self.log))

    def checked_log_rows(self) -> list[dict[str, Any]]:
        """Read and validate the rows of ``train.jsonl``. Raises as ``log.checked_rows``."""
        return checked_rows(self.log)

    def stored(self) -> dict[str, StoredEvaluation]:
        """Read all evaluations by name, and check that the files of each belong together.

        Raises:
            DataError: An evaluation is damaged, or its files belong to different evaluations.
        """
        home, command = self.folder / "evaluation", self.command("evaluate")
        return {name: read_evaluation(home / name, command) for name in stored_names(home)}

    def evaluations(self) -> dict[str, schema.EvaluationFile]:
        """Read ``metrics.json`` of all evaluations by name. Raises as ``stored``."""
        return {name: evaluation.content for name, evaluation in self.stored().items()}


def changed_recipe_warning(run: RunFolder) -> str:
    """Warning about a recipe that differs from the one of the run's start; empty if it is unchanged.

    Runs of earlier versions have no hash; changes of their recipes remain unnoticed.

    Raises:
        DataError: ``environment.json`` or the recipe can't be read.
    """
    expected = run.environment().get("recipe_sha256")
    if not expected or hashlib.sha256(reading.read_bytes(run.recipe_file)).hexdigest() == expected:
        return ""
    return (
        f"{run.recipe_file} was edited or damaged after the run began: its hash differs from that in "
        f"{schema.ENVIRONMENT}. The network, the training and the results follow the changed recipe; restore "
        "the file if the change is not yours"
    )


def folder_names(runs: Sequence[RunFolder]) -> list[str]:
    """Return the name of each run's folder; if two folders have one name, the path of each."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(runs) else [str(run.folder) for run in runs]


def check_distinct(runs: Sequence[RunFolder]) -> None:
    """Check that no run is named twice, also not by a link or another path.

    Raises:
        UsageError: Two of the runs are one folder.
    """
    first: dict[Path, RunFolder] = {}
    for run in runs:
        other = first.setdefault(run.folder.resolve(), run)
        if other is not run:
            by = "" if run.folder == other.folder else f", also as {run.folder}"
            raise UsageError(f"The run {other.folder} is named twice{by}.", "Name each run once.")


def check_new_name(name: str, runs: Path) -> None:
    """Check that a run folder can have this name.

    Raises:
        UsageError: The name is reserved or no plain file name, or a run has it.
    """
    problem = problem_of_name(name)
    if problem:
        raise UsageError(f"'{name}' can't be the name of a run: {problem}.", "Choose another --name.")
    if (runs / name).exists():
        raise UsageError(
            f"{runs / name} exists already.", "Choose another --name, or remove the folder if it is obsolete."
        )


def create(
    recipe_name: str,
    dataset: str,
    *,
    runs: Path | None = None,
    now: datetime | None = None,
    name: str | None = None,
) -> RunFolder:
    """Create the run folder ``<recipe>-<dataset>-<time>``, with a number added if the name exists.

    Args:
        recipe_name: Name of the recipe.
        dataset: Name of the dataset; its colon becomes a hyphen.
        runs: Folder of runs, by default ``runs_folder()``.
        now: Time in the name, by default the current time.
        name: Name of the folder, instead of the composed one.

    Raises:
        UsageError: The folder ``name`` exists, or can't have this name.
        DataError: The folder can't be created.
    """
    runs = runs or runs_folder()
    if name is not None:
        check_new_name(name, runs)
    time = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    stem = name or f"{recipe_name}-{dataset.replace(':', '-')}-{time}"
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
        raise DataError(f"cannot create a run folder in {runs}: {error.strerror or error}") from error
    raise DataError(f"cannot create a run folder {stem} in {runs}: a thousand of that name exist")


def set_latest(run: RunFolder) -> None:
    """Set ``latest`` to this run: a symbolic link, or a text file on systems without links."""
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
    """Find a run by path or name, by default the newest one.

    Raises:
        UsageError: The run does not exist; the hint lists existing runs.
    """
    runs = runs or runs_folder()
    if name is None or str(name) == LATEST:
        return _latest(runs)
    for folder in (files.expand(Path(name)), runs / name):
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
    """List the runs in a folder by name, including links, without ``latest`` and without duplicates."""
    places = sorted(path.parent for path in folder.glob(f"*/{schema.RECIPE}") if path.parent.name != LATEST)
    first: dict[Path, Path] = {}
    for place in sorted(places, key=Path.is_symlink):  # folders precede links to them
        first.setdefault(place.resolve(), place)
    return [RunFolder(place) for place in sorted(first.values())]


def find_results(name: str | Path | None = None, *, runs: Path | None = None) -> RunFolder:
    """Find a run, or a folder with evaluations only: a mean over models (``means/<name>``), or of features.

    Raises:
        UsageError: Neither exists.
    """
    runs = runs or runs_folder()
    for folder in () if name is None else (files.expand(Path(name)), runs / name, runs / MEANS / name):
        if (folder / "evaluation").is_dir():
            return RunFolder(folder)
    return find(name, runs=runs)


def _latest(runs: Path) -> RunFolder:
    """Find the run of ``latest``."""
    link = runs / LATEST
    if link.is_file():
        link = runs / reading.read_text(link, limit=4096, surrogates=True).strip()
    if (link / schema.RECIPE).is_file():
        return RunFolder(runs / link.readlink() if link.is_symlink() else link)
    raise UsageError(
        f"There is no run yet: {runs / LATEST} does not refer to one.",
        "Train one first: vireid train --recipe quickstart.yaml",
    )


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line of JSON to a file; raises ``DataError`` if it can't be written."""
    try:
        with files.open_to_append(path) as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def truncate_log(path: Path, global_step: int) -> None:
    """Remove the rows after ``global_step`` from a log, because a resumed run writes them again."""
    if not path.is_file():
        return
    rows = [row for _, row in log_rows(path)]
    kept = [json.dumps(row, ensure_ascii=False) for row in rows if _step_of(row) <= global_step]
    files.write_text(path, "".join(f"{line}\n" for line in kept))


def _step_of(row: Mapping[str, Any]) -> int:
    """Number of steps at the time of a row; 0 for rows without a step."""
    step = row.get("global_step", 0)
    return step if isinstance(step, int) else 0
