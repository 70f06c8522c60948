"""The verb ``import``: write a run folder from a checkpoint of a public project."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vireid_cli import files, releases
from vireid_cli.counts import counted
from vireid_cli.data.identity import official_tokens, stored_tokens, training_identities
from vireid_cli.data.sources import load_source
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint, Position
from vireid_cli.engine.import_file import (
    dataset_of,
    epochs_of,
    has_trials,
    metrics_of,
    sha256_of,
    state_of,
    trial_of,
)
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.releases.translate import Translation, translate
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder
from vireid_cli.tensor_files import load_tensors


@dataclass(frozen=True)
class ImportedRun:
    """Result of an import.

    Attributes:
        run: The new run folder.
        release: Title of the release.
        identities: Number of training identities, the rows of the classifier.
        unused: Number of keys of modules that the release never runs.
        identity_note: Description of the training identities that evaluation will refuse.
        metrics: Test metrics that the file records, in [0, 1].
        flip: Use of mirror images in the project's own test, a value of ``vireid evaluate --flip``.
    """

    run: RunFolder
    release: str
    identities: int
    unused: int
    identity_note: str
    metrics: dict[str, float]
    flip: str


@dataclass(frozen=True)
class _Released:
    """A released checkpoint, translated to our keys.

    Attributes:
        network: The recipe's network with the released weights, on the CPU.
        recipe: The shipped recipe of the release, for the dataset.
        identities: Number of training identities.
        tokens: Hashes of the known training identities.
        unused: Number of keys of modules that the release never runs.
        about: Origin, epochs and metrics of the file, for ``environment.json``.
    """

    network: ReIdNetwork
    recipe: Recipe
    identities: int
    tokens: list[str]
    unused: int
    about: dict[str, Any]


def import_run(
    path: Path,
    session: Session,
    release: str,
    *,
    dataset: str | None = None,
    trial: int | None = None,
    settings: Sequence[str] = (),
) -> ImportedRun:
    """Write a run folder from a checkpoint of a public release.

    Args:
        path: A file of ``torch.save`` or safetensors; none of its content is executed.
        session: Folders and reporter.
        release: One of ``releases.names()``.
        dataset: Training dataset; None: the dataset with this number of training identities.
        trial: Training split of a dataset with several; None: from the file's name, else the first, with a
            warning.
        settings: Further settings of the recipe, ``key.path=value``.

    Raises:
        UsageError: The release or dataset is unknown, or the file is missing, unsupported or contains no
            state dict.
        DataError: Keys are missing or unexpected, or tensors do not fit; the error lists all of them.
    """
    if release not in releases.names():
        raise UsageError(f"--from {release}: no such release.", f"Choose: {', '.join(releases.names())}")
    released = _load(path, session, release, dataset, trial, settings)
    recipe, about = released.recipe, released.about
    checkpoints.check_free_space(session.runs_dir, released.network, 0, 0)
    run = runs.create(recipe.name, recipe.data.dataset, runs=session.runs_dir)
    files.write_text(run.recipe_file, dump(recipe))
    files.write_sealed(run.folder / schema.ENVIRONMENT, _environment(released))
    extra = {"training_identities": released.tokens, "imported": about}
    model = checkpoints.model_state(released.network)
    saved = Checkpoint(model, {}, Position(about["epoch"]), extra)
    checkpoints.save_checkpoint(run.checkpoints / checkpoints.LAST, saved)
    runs.set_latest(run)
    return ImportedRun(
        run,
        about["title"],
        released.identities,
        released.unused,
        about["training_identities"],
        about["figures"],
        releases.load(release).FLIP,
    )


def _load(
    path: Path,
    session: Session,
    release: str,
    dataset: str | None,
    trial: int | None,
    settings: Sequence[str],
) -> _Released:
    """Load a released file, translate its keys and build its network. Raises as ``import_run``."""
    project = releases.load(release)
    content = load_tensors(path, numpy_scalars=True, hint=f"Name a checkpoint of {project.TITLE}.")
    state = releases.without_prefix(state_of(content, path))
    count = releases.identities(project, state)
    if count is None:
        raise DataError(
            f"{path} is not a checkpoint of {project.TITLE}: it has no '{project.CLASSIFIER}'.",
            _other_release(release, state),
        )
    dataset = dataset or dataset_of(path, count)
    trial = trial_of(path, dataset, trial, session)
    epoch = epochs_of(content)
    recipe = _recipe(project, state, dataset, trial, epoch, settings)
    network = build_network(recipe, count, Runtime(torch.device("cpu"), "fp32"))
    translation = translate(project, state, network.state_dict())
    _check_fit(path, release, state, translation)
    network.load_state_dict(translation.state)
    tokens, note = _training_identities(dataset, trial, count, session)
    about = {
        "from": release,
        "title": project.TITLE,
        "file": path.name,
        "sha256": sha256_of(path),
        "epoch": epoch,
        "training_identities": note,
        "figures": metrics_of(content),
    }
    return _Released(network, recipe, count, tokens, translation.unused, about)


def _recipe(
    project: ModuleType,
    state: Mapping[str, Tensor],
    dataset: str,
    trial: int,
    epoch: int,
    settings: Sequence[str],
) -> Recipe:
    """Load the shipped recipe of the release for a dataset, with the settings that the tensors imply."""
    name = project.RECIPES.get(dataset, project.RECIPES[""])
    implied = (*project.settings(state), f"data.dataset={dataset}", f"data.trial={trial}")
    epochs = load_recipe(name).train.epochs
    if epoch > epochs:
        implied += (f"train.epochs={epoch}",)
    recipe = load_recipe(name, (*implied, *settings))
    return recipe.model_copy(update={"name": f"{recipe.name}-imported"})


def _check_fit(path: Path, release: str, state: Mapping[str, Tensor], translation: Translation) -> None:
    """Raise ``DataError`` that lists all keys and shapes that differ from the network's."""
    misfit = translation.misfit
    if not misfit:
        return
    kinds = (
        ("missing", misfit.missing),
        ("unexpected", misfit.unexpected),
        ("of another shape", misfit.shapes),
    )
    lines = [
        line
        for kind, keys in kinds
        if keys
        for line in (f"  {len(keys)} {kind}:", *(f"    {key}" for key in keys))
    ]
    raise DataError(
        f"{path} does not fit {releases.load(release).TITLE}:\n" + "\n".join(lines),
        _other_release(release, state),
    )


def _other_release(release: str, state: Mapping[str, Tensor]) -> str:
    """Return a hint that names another release with these keys, if there is one."""
    others = releases.matching_releases(state)
    if others and release not in others:
        return f"Its keys are those of {' and '.join(others)}: --from {others[0]}"
    return "Import the file as the release's training script saved it."


def _training_identities(dataset: str, trial: int, count: int, session: Session) -> tuple[list[str], str]:
    """Return hashes of the training identities, as far as they are known, and a description."""
    title, published = load_source(dataset).TITLE, training_identities(dataset)
    tokens = official_tokens(dataset) or stored_tokens(dataset, session.data_dir, trial)
    if not tokens:
        session.reporter.warn(
            f"the file does not name its {count} training identities, and {title} is not prepared: "
            "evaluation can't refuse them. "
            + (f"Prepare {dataset} first and import again." if published else "Evaluate on other identities.")
        )
        return [], f"unknown: {counted(count, 'identity')}"
    of = f"{title}'s official training split" + (
        f" of trial {trial}" if trial > 1 or has_trials(dataset) else ""
    )
    if count == len(tokens):
        return tokens, f"{of} ({counted(count, 'identity')}), assumed: the file names none"
    session.reporter.warn(
        f"the classifier has {counted(count, 'identity')}, {of} has {len(tokens)}: evaluation "
        "will refuse the latter "
        "and can't refuse others"
    )
    return (
        tokens,
        f"{of} ({counted(len(tokens), 'identity')}), assumed; the classifier has {count}: others are unknown",
    )


def _environment(released: _Released) -> dict[str, Any]:
    """Return the content of ``environment.json`` of an imported run."""
    recipe = released.recipe
    return {
        "version": schema.VERSION,
        "imported": released.about,
        "recipe_sha256": hashlib.sha256(dump(recipe).encode()).hexdigest(),
        "seed": recipe.train.seed,
        "weights": "imported",
        "num_identities": released.identities,
        "parameters": sum(p.numel() for p in released.network.parameters()),
        "data": {
            "dataset": load_source(recipe.data.dataset).TITLE,
            "data": "as published",
            "fingerprint": "",
        },
    }
