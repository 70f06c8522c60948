"""Schema of the files of a training: rows of ``train.jsonl``, and ``environment.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from vireid_cli.results.schema import FORM, Count, Positive, Scalar, Version


@with_config(FORM)
class StepRow(TypedDict):
    """A logged step.

    ``losses`` are the weighted terms, averaged over the steps since the last row; ``loss`` is their sum.
    """

    kind: str  # "step"
    epoch: NotRequired[Count]
    step: NotRequired[Count]
    global_step: Count
    lr: float
    loss: float | None
    losses: Mapping[str, float | None]
    monitors: NotRequired[Mapping[str, float | None]]


@with_config(FORM)
class EpochRow(TypedDict):
    """A finished epoch.

    ``losses`` are means over its steps, and ``loss`` is their sum. ``monitors`` are those of its last step
    row: means over the last logged interval only.

    ``val`` has rank1, mAP and mINP on the validation identities; it exists only with ``train.select: val``.
    """

    kind: str  # "epoch"
    epoch: Count
    steps: NotRequired[Count]
    global_step: Count
    lr: NotRequired[float]
    loss: NotRequired[float | None]
    losses: NotRequired[Mapping[str, float | None]]
    val: NotRequired[Mapping[str, float | None]]
    monitors: NotRequired[Mapping[str, float | None]]


LOG_FORMS: dict[str, Any] = {"step": StepRow, "epoch": EpochRow}
"""Form of a row by its kind; rows of other kinds are not validated."""


@with_config(FORM)
class DataMark(TypedDict):
    """Training data: name, short mark and full fingerprint."""

    dataset: str
    data: str
    fingerprint: str
    images: NotRequired[Count]
    rendered: NotRequired[str]
    occlusion: NotRequired[str]


@with_config(FORM)
class PluginMark(TypedDict):
    """Method outside of the package: its name, the path and hash of its source, and its package."""

    method: str
    path: str
    sha256: str
    package: NotRequired[str]


@with_config(FORM)
class Environment(TypedDict):
    """Content of ``environment.json``: versions, device, commit, seed, fingerprints.

    ``resumed`` lists the resumptions with different arithmetic, each with its ``global_step``. ``imported``
    exists only for checkpoints of other programs, ``plugin`` only for methods outside of the package.
    ``recipe_sha256`` is the hash of ``recipe.yaml``; runs of earlier versions have none.
    """

    version: Version
    data: DataMark
    num_identities: Positive
    parameters: Positive
    weights: str
    seed: NotRequired[Count]
    training_identities: NotRequired[str]
    device: NotRequired[str]
    precision: NotRequired[Literal["fp32", "bf16", "fp16"]]
    threads: NotRequired[Positive]
    ranks: NotRequired[Positive]
    platform: NotRequired[str]
    python: NotRequired[str]
    vireid: NotRequired[str]
    commit: NotRequired[str]
    torch: NotRequired[str]
    numpy: NotRequired[str]
    recipe_sha256: NotRequired[str]
    plugin: NotRequired[PluginMark]
    resumed: NotRequired[list[dict[str, Scalar]]]
    imported: NotRequired[dict[str, Any]]
