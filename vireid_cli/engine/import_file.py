"""Content of a released checkpoint file: state dict, dataset, trial, epochs and reported metrics."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vireid_cli import files, reading
from vireid_cli.counts import counted
from vireid_cli.data.identity import training_identities
from vireid_cli.data.sources import load_source
from vireid_cli.dataset_names import source_names
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.schema import MOST_EPOCHS

STATE_NAMES = ("net", "state_dict", "model")
"""Keys under which training scripts save a network's state dict."""

METRIC_NAMES = {"cmc": "rank1", "mAP": "mAP", "mINP": "mINP"}
"""Our names of the test metrics that a published file may contain, keyed by the file's names."""


def state_of(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Return the network's state dict in a file's content.

    Args:
        content: The loaded file.
        path: The file, for messages.

    Raises:
        UsageError: The file contains no state dict.
        DataError: A tensor is sparse, complex, not finite or has negative variances.
    """
    named = [content[name] for name in STATE_NAMES if isinstance(content.get(name), dict)]
    state = named[0] if named else content
    other = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if other or not state:
        raise UsageError(
            f"{path} contains no state dict: neither under {', '.join(STATE_NAMES)} nor at the top, which "
            f"has other values ({', '.join(other[:5]) or 'nothing'}).",
            "Save one with torch.save({'net': network.state_dict()}, PATH).",
        )
    odd = [key for key, value in state.items() if value.layout != torch.strided or value.is_complex()]
    if odd:
        raise DataError(f"{path}: these tensors are sparse or complex: {', '.join(odd)}.")
    negative = (k for k, v in state.items() if k.endswith("running_var") and bool((v < 0).any()))
    bad = checkpoints.not_finite(dict(state)) or next(negative, None)
    if bad:
        raise DataError(f"{path}: '{bad}' has NaN, infinite or impossible numbers: the file is damaged.")
    return dict(state)


def dataset_of(path: Path, count: int) -> str:
    """Return the dataset with ``count`` training identities.

    Raises:
        UsageError: No dataset, or several, have this number.
    """
    counts = {name: number for name in source_names() if (number := training_identities(name)) is not None}
    fits = [name for name, number in counts.items() if number == count and not name.startswith("occ-")]
    if len(fits) == 1:
        return fits[0]
    listed = ", ".join(f"{name} {number}" for name, number in counts.items())
    raise UsageError(
        f"{path} was trained on {counted(count, 'identity')}; published splits have other "
        f"numbers ({listed}).",
        "Name its training dataset: --dataset NAME",
    )


def trial_of(path: Path, dataset: str, trial: int | None, session: Session) -> int:
    """Return the trial of a checkpoint: ``trial``, else the number in the file's name, else 1 with a warning.

    Raises:
        UsageError: The dataset has no such trial.
    """
    title = load_source(dataset).TITLE
    if not has_trials(dataset):
        if trial is not None:
            raise UsageError(f"--trial {trial}: {title} has one split, no trials.")
        return 1
    match = re.search(r"trial_?([0-9]{1,2})(?![0-9])", path.name)
    if trial is None and match is None:
        session.reporter.warn(
            f"a model of {title} belongs to one trial, and the file name {path.name} contains none: assuming "
            "trial 1. To choose another: --trial N"
        )
    number = trial if trial is not None else int(match[1]) if match else 1
    if not 1 <= number <= 10:
        raise UsageError(f"--trial {number}: {title} has the trials 1 to 10.")
    return number


def has_trials(dataset: str) -> bool:
    """Return whether a dataset has several splits, as RegDB has."""
    return load_source(dataset).PROTOCOL == "regdb"


def epochs_of(content: Mapping[str, Any]) -> int:
    """Return the number of training epochs that the file records; 0: none, or an impossible number."""
    epoch = content.get("epoch", 0)
    return int(epoch) if isinstance(epoch, (int, float)) and 0 <= epoch <= MOST_EPOCHS else 0


def metrics_of(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the test metrics in [0, 1] that the file records, under our names; other values are ignored."""
    metrics = {}
    for theirs, ours in METRIC_NAMES.items():
        try:
            value = float(content[theirs][0] if theirs == "cmc" else content[theirs])
        except (KeyError, TypeError, ValueError, IndexError):
            continue
        if 0.0 <= value <= 1.0:
            metrics[ours] = value
    return metrics


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with reading.open_regular(files.expand(path)) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
