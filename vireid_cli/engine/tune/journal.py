"""The journal of a study: Optuna's storage in one file, for several processes and machines.

A process holds the lock of its trial. A running trial without a lock belongs to a process that ended, and is
marked as failed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_cli import files
from vireid_cli.engine.tune.space import largest_epochs
from vireid_cli.errors import DataError, MissingExtra, UsageError
from vireid_cli.lock import locked
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.tuning import TuningStudy

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy

JOURNAL, LOCK = "journal.log", ".journal.lock"
IDENTITY = "vireid"
"""Attribute of a study with its recipe, space and objective."""

WAIT_SECONDS = 60.0
"""Longest wait for the lock of the journal, which is held for less than a second."""


def require_optuna() -> None:
    """Raise ``MissingExtra`` if Optuna is not installed; does not import it."""
    if find_spec("optuna") is None:
        raise MissingExtra("optuna", "tune", "vireid tune")


def open_journal(study: TuningStudy, recipe: Recipe, folder: Path) -> OptunaStudy:
    """Open the journal of a study, or create it.

    Raises:
        MissingExtra: Optuna is not installed.
        UsageError: The folder belongs to another study, or has other results.
        DataError: The journal is damaged, or can't be read or written.
    """
    require_optuna()
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from vireid_cli.engine.tune.append_lock import AppendLock

    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _check_folder(study, folder)
    files.refuse_unwritable(folder)
    with journal_lock(folder):
        path = folder / JOURNAL
        _remove_cut_line(path)
        try:
            opened = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path), AppendLock(folder / ".append.lock"))),
                study_name=study.name,
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(study, recipe),
            )
            known = opened.user_attrs.get(IDENTITY)
            own = identity_of(study, recipe)
            if known is None:
                opened.set_user_attr(IDENTITY, own)
        except OSError as error:
            raise files.write_error(path, error) from error
        except Exception as error:  # Optuna raises KeyError, ValueError and others
            raise DataError(
                f"{path} is damaged or not a journal of this study: {type(error).__name__}: {error}",
                "Restore it, or choose another name for the study; finished runs in the folder are reused.",
            ) from error
    if known is not None and known != own:
        raise _other_study(study, folder, known, own)
    return opened


def identity_of(study: TuningStudy, recipe: Recipe) -> dict[str, Any]:
    """Return the parts of a study on which its results depend, as JSON values."""
    space = {key: d.model_dump(mode="json", exclude_defaults=True) for key, d in study.space.items()}
    text = dump(recipe.model_copy(update={"train": recipe.train.model_copy(update={"loggers": ()})}))
    content = {
        "recipe": hashlib.sha256(text.encode()).hexdigest(),
        "space": space,
        "objective": study.objective,
    }
    return dict(json.loads(json.dumps(content)))


def _other_study(study: TuningStudy, folder: Path, known: Any, own: dict[str, Any]) -> UsageError:
    """Return the error about a journal of a study with another recipe, space or objective."""
    before = known if isinstance(known, dict) else {}
    changed = [key for key in own if before.get(key) != own[key]]
    return UsageError(
        f"{folder} has the trials of another study: {', '.join(changed)} changed.",
        f"Restore the study's file, or set another name (now {study.name}); trials, sampler and pruner may "
        "change.",
    )


def _check_folder(study: TuningStudy, folder: Path) -> None:
    """Refuse a folder with other results."""
    if (folder / JOURNAL).is_file() or not folder.exists():
        return
    if not folder.is_dir() or (folder / "recipe.yaml").is_file() or (folder / "study.json").is_file():
        raise UsageError(
            f"{folder} has other results than those of a tuning study.",
            "Set another name in the study's file.",
        )


def _remove_cut_line(path: Path) -> None:
    """Remove an incomplete last line, which a full disk or a crash of the machine leaves."""
    try:
        with path.open("r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.write_error(path, error) from error


def _pruner(study: TuningStudy, recipe: Recipe) -> Any:
    """Create Optuna's pruner."""
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    options = study.pruner
    if options.name == "median":
        return MedianPruner(n_startup_trials=options.startup, n_warmup_steps=options.warmup)
    if options.name == "hyperband":
        most = largest_epochs(study, recipe)
        return HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=options.reduction)
    return NopPruner()


def new_sampler(study: TuningStudy, number: int) -> Any:
    """Create the sampler of a trial after a number of others; its draws depend on the seed and the number.

    Trials that are started again count once, so that an interruption changes no later trial.
    """
    from optuna.samplers import RandomSampler, TPESampler

    text = f"{study.sampler.seed}/{number}".encode()
    seed = int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
    if study.sampler.name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(n_startup_trials=study.sampler.startup, seed=seed)


@contextmanager
def journal_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of the journal; waits for other processes.

    Raises:
        DataError: Another process holds it for a minute, or the folder can't be written.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        held = locked(folder, folder / LOCK)
        try:
            held.__enter__()
            break
        except DataError as error:
            if isinstance(error.__cause__, BlockingIOError | PermissionError) and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            raise
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def trial_lock(folder: Path, number: int) -> Path:
    """Path of the lock file of a trial's process."""
    return folder / f".trial-{number}.lock"


def is_alive(folder: Path, number: int) -> bool:
    """Whether a process holds the lock of a trial."""
    path = trial_lock(folder, number)
    if not path.exists():
        return False
    try:
        with locked(folder, path):
            return False
    except DataError:
        return True
