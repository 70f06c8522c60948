"""The verb ``import``: a run folder from a checkpoint as a public project publishes it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vireid_cli import files, reading, releases
from vireid_cli.data.identity import official_tokens, stored_tokens, training_identities
from vireid_cli.data.sources import load_source, source_names
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint, Position
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.releases import Translation
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder
from vireid_cli.tensor_files import load_tensors

STATE_NAMES = ("net", "state_dict", "model")
"""Names under which training scripts save a network's state dict."""

FIGURES = {"cmc": "rank1", "mAP": "mAP", "mINP": "mINP"}
"""What a published file says about itself → our names; measured on test identities by its authors."""


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        run: The new run folder.
        release: Title of the release.
        identities: Training identities, rows of the classifier.
        unused: Keys of modules that the release never runs.
        known: Which training identities evaluation will refuse, in words.
        figures: The file's own test figures in [0, 1].
    """

    run: RunFolder
    release: str
    identities: int
    unused: int
    known: str
    figures: dict[str, float]


def import_run(
    path: Path,
    session: Session,
    release: str,
    *,
    dataset: str | None = None,
    trial: int | None = None,
    settings: Sequence[str] = (),
) -> Imported:
    """Write a run folder from a checkpoint of a public release.

    Args:
        path: The file, as ``torch.save`` or safetensors wrote it; nothing in it is executed.
        session: Folders and listener.
        release: One of ``releases.names()``.
        dataset: What it was trained on; None: told by the number of training identities.
        trial: Split that it was trained on, where the dataset has several; None: from the file's name, else
            the first, with a warning.
        settings: Further settings of the recipe, ``key.path=value``.

    Raises:
        UsageError: No such release or dataset, the file is missing, refused or holds no state dict, or its
            dataset is not known.
        DataError: Keys are missing or unexpected, or tensors do not fit; every one is listed.
    """
    if release not in releases.names():
        raise UsageError(f"--from {release}: no such release.", f"Choose: {', '.join(releases.names())}")
    project = releases.load(release)
    content = load_tensors(path, numpy_scalars=True, hint=f"Name a checkpoint of {project.TITLE}.")
    state = releases.without_prefix(_state_of(content, path))
    count = releases.identities(project, state)
    if count is None:
        raise DataError(
            f"{path} is no checkpoint of {project.TITLE}: it has no '{project.CLASSIFIER}'.",
            _other_release(release, state),
        )
    dataset = dataset or _dataset_of(path, count)
    trial = _trial_of(path, dataset, trial, session)
    epoch = _epoch(content)
    recipe = _recipe(project, state, dataset, trial, epoch, settings)
    network = build_network(recipe, count, Runtime(torch.device("cpu"), "fp32"))
    translation = releases.translate(project, state, network.state_dict())
    _refuse_misfit(path, release, state, translation)
    network.load_state_dict(translation.state)
    tokens, known = _training_identities(dataset, trial, count, session)
    figures = _figures(content)
    checkpoints.check_free_space(session.runs_dir, network, 0, 0)
    run = runs.create(recipe.name, dataset, runs=session.runs_dir)
    about = {
        "from": release,
        "title": project.TITLE,
        "file": path.name,
        "sha256": _sha256(path),
        "epoch": epoch,
        "training_identities": known,
        "figures": figures,
    }
    files.write_text(run.recipe_file, dump(recipe))
    files.write_json(run.folder / schema.ENVIRONMENT, _environment(recipe, network, count, known, about))
    extra = {"training_identities": tokens, "imported": about}
    saved = Checkpoint(checkpoints.model_state(network), {}, Position(epoch), extra)
    checkpoints.save_checkpoint(run.checkpoints / checkpoints.LAST, saved)
    runs.name_latest(run)
    return Imported(run, project.TITLE, count, translation.unused, known, figures)


def _state_of(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The network's state dict in a file's content."""
    named = [content[name] for name in STATE_NAMES if isinstance(content.get(name), dict)]
    state = named[0] if named else content
    other = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if other or not state:
        raise UsageError(
            f"{path} holds no state dict: there is none under {', '.join(STATE_NAMES)}, and the file itself "
            f"holds other values ({', '.join(other[:5]) or 'nothing'}).",
            "Save one with torch.save({'net': network.state_dict()}, PATH).",
        )
    odd = [key for key, value in state.items() if value.layout != torch.strided or value.is_complex()]
    if odd:
        raise DataError(f"{path}: these tensors are sparse or complex: {', '.join(odd)}.")
    negative = (k for k, v in state.items() if k.endswith("running_var") and bool((v < 0).any()))
    bad = checkpoints.not_finite(dict(state)) or next(negative, None)
    if bad:
        raise DataError(f"{path}: '{bad}' holds NaN, infinite or impossible numbers: the file is damaged.")
    return dict(state)


def _dataset_of(path: Path, count: int) -> str:
    """The dataset with that many training identities."""
    known = {name: number for name in source_names() if (number := training_identities(name)) is not None}
    fits = [name for name, number in known.items() if number == count and not name.startswith("occ-")]
    if len(fits) == 1:
        return fits[0]
    listed = ", ".join(f"{name} {number}" for name, number in known.items())
    raise UsageError(
        f"{path} was trained on {count} identities; published splits have other numbers ({listed}).",
        "Name the dataset that it was trained on: --dataset NAME",
    )


def _trial_of(path: Path, dataset: str, trial: int | None, session: Session) -> int:
    """The trial of a dataset with several splits: as named, else as the file's name says, else the first."""
    title = load_source(dataset).TITLE
    if not _has_trials(dataset):
        if trial is not None:
            raise UsageError(f"--trial {trial}: {title} has one split, no trials.")
        return 1
    match = re.search(r"trial_?([0-9]{1,2})(?![0-9])", path.name)
    if trial is None and match is None:
        session.reporter.warn(
            f"a model of {title} is of one trial, and the name of {path.name} has none: trial 1 is assumed. "
            "Name another one: --trial N"
        )
    chosen = trial if trial is not None else int(match[1]) if match else 1
    if not 1 <= chosen <= 10:
        raise UsageError(f"--trial {chosen}: {title} has the trials 1 to 10.")
    return chosen


def _epoch(content: Mapping[str, Any]) -> int:
    """Epochs that the file says it has seen; 0: it says nothing."""
    epoch = content.get("epoch", 0)
    return max(int(epoch), 0) if isinstance(epoch, (int, float)) and math.isfinite(epoch) else 0


def _figures(content: Mapping[str, Any]) -> dict[str, float]:
    """Test figures that the file states, in [0, 1]."""
    found = {}
    for theirs, ours in FIGURES.items():
        try:
            value = float(content[theirs][0] if theirs == "cmc" else content[theirs])
        except (KeyError, TypeError, ValueError, IndexError):
            continue
        if math.isfinite(value):
            found[ours] = value
    return found


def _recipe(
    project: ModuleType,
    state: Mapping[str, Tensor],
    dataset: str,
    trial: int,
    epoch: int,
    settings: Sequence[str],
) -> Recipe:
    """The shipped recipe of the release, for that dataset, with what the tensors decide."""
    name = project.RECIPES.get(dataset, project.RECIPES[""])
    named = (*project.settings(state), f"data.dataset={dataset}", f"data.trial={trial}")
    epochs = load_recipe(name).train.epochs
    if epoch > epochs:
        named += (f"train.epochs={epoch}",)
    recipe = load_recipe(name, (*named, *settings))
    return recipe.model_copy(update={"name": f"{recipe.name}-imported"})


def _refuse_misfit(path: Path, release: str, state: Mapping[str, Tensor], translation: Translation) -> None:
    """Refuse a file whose keys or shapes differ, and list every one."""
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
        for line in (f"{len(keys)} {kind}:", *(f"  {key}" for key in keys))
    ]
    raise DataError(
        f"{path} does not fit {releases.load(release).TITLE}:\n" + "\n".join(lines),
        _other_release(release, state),
    )


def _other_release(release: str, state: Mapping[str, Tensor]) -> str:
    """Which other release a file's keys point to."""
    kin = releases.matching_releases(state)
    if kin and release not in kin:
        return f"Its keys are those of {' and '.join(kin)}: --from {kin[0]}"
    return "Import the file as the release's training script saved it."


def _training_identities(dataset: str, trial: int, count: int, session: Session) -> tuple[list[str], str]:
    """Hashes of the training identities, as far as they are known, and what is known in words."""
    title, published = load_source(dataset).TITLE, training_identities(dataset)
    tokens = official_tokens(dataset) or stored_tokens(dataset, session.data_dir, trial)
    if not tokens:
        session.reporter.warn(
            f"the file does not say which {count} identities it was trained on, and {title} is not prepared: "
            "evaluation can't refuse them. "
            + (f"Prepare {dataset} first and import again." if published else "Evaluate on others.")
        )
        return [], f"unknown: {count} identities"
    of = f"{title}'s official training split" + (
        f" of trial {trial}" if trial > 1 or _has_trials(dataset) else ""
    )
    if count == len(tokens):
        return tokens, f"{of} ({count} identities), assumed: the file names none"
    session.reporter.warn(
        f"the classifier has {count} identities, {of} has {len(tokens)}: all of the latter are taken as "
        "trained on, others can't be refused"
    )
    return tokens, f"{of} ({len(tokens)} identities), assumed; the classifier has {count}: others are unknown"


def _has_trials(dataset: str) -> bool:
    return load_source(dataset).PROTOCOL == "regdb"


def _environment(
    recipe: Recipe, network: ReIdNetwork, count: int, known: str, about: dict[str, Any]
) -> dict[str, Any]:
    """``environment.json`` of a run that was not trained here."""
    return {
        "version": schema.VERSION,
        "imported": about,
        "seed": recipe.train.seed,
        "weights": "imported",
        "num_identities": count,
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": {
            "dataset": load_source(recipe.data.dataset).TITLE,
            "data": "as published",
            "fingerprint": "",
        },
    }


def _sha256(path: Path) -> str:
    hashed = hashlib.sha256()
    with reading.open_regular(files.expand(path)) as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()
