"""``state.json`` of a checkpoint: its schema, the hashes of the other files, and the hash of its content."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vireid_cli import documents, files
from vireid_cli.errors import DataError

VERSION = 2
"""Version 2 adds the hashes; checkpoints of version 1 have none."""

Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHOWN = 3
"""Number of mistakes listed in a message."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class OptimizerState(_Strict):
    """Numbers of an optimizer's state dict; its tensors are in ``state.safetensors``.

    Attributes:
        state: Numbers by index of the parameter, then by name.
        param_groups: The parameter groups of the state dict.
    """

    state: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], dict[str, bool | int | float]]
    param_groups: list[dict[str, Any]]


class Extra(_Strict):
    """Further values; a training writes all of them.

    Attributes:
        scaler: State of the gradient scaler.
        sums, steps: Loss sums of the running epoch, and their number of steps.
        training_identities: Hashes of the training identities.
        best: The best validation so far: ``epoch`` and metrics.
        stopped_early: Whether ``train.patience`` has ended the training.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    scaler: dict[str, Any] | None = None
    sums: dict[str, float] | None = None
    steps: Count | None = None
    training_identities: list[str] | None = None
    best: dict[str, int | float] | None = None
    stopped_early: bool = False


class CheckpointState(_Strict):
    """Content of ``state.json``.

    Attributes:
        version: 1 or 2.
        epoch, step, global_step: See ``checkpoint.Position``.
        optimizer: Numbers of the optimizer.
        extra: Further values.
        files: SHA-256 of each other file by name; None: version 1.
        sha256: Hash of the other keys; None: version 1.
    """

    version: Literal[1, 2]
    epoch: Count
    step: Count
    global_step: Count
    optimizer: OptimizerState
    extra: Extra
    files: dict[str, Sha256] | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.step > self.global_step:
            raise ValueError(f"step {self.step:,} is beyond global_step {self.global_step:,}")
        if self.version >= 2 and (self.files is None or self.sha256 is None):
            raise ValueError("the hashes ('files' and 'sha256') are missing")
        return self

    @property
    def hashed(self) -> bool:
        """Whether the checkpoint has hashes, which reveal damaged files."""
        return self.files is not None


def write_state(path: Path, content: dict[str, Any]) -> None:
    """Write ``state.json`` with the hash of its content. Raises ``DataError`` if writing fails."""
    files.write_sealed(path, content)


def read_state(path: Path, hint: str) -> CheckpointState:
    """Read and validate ``state.json``.

    Args:
        path: The file.
        hint: Hint of the error about a damaged file.

    Raises:
        DataError: The file is missing, its schema or version is unknown, a value is out of range, or its hash
            differs.
    """
    content = files.read_mapping(path, ("version", "epoch", "step", "global_step"), hint)
    version = content["version"]
    if isinstance(version, int) and version > VERSION:
        raise DataError(
            f"{path} has version {version}; this vireid reads versions up to {VERSION}.", "Update vireid."
        )
    try:
        state = CheckpointState.model_validate(content)
    except (ValidationError, RecursionError) as error:
        raise DataError(f"{path}: {_listed(error)}.", hint) from error
    documents.check_seal(content, str(path), hint=hint)
    return state


def _listed(error: ValidationError | RecursionError) -> str:
    """Format the first mistakes with their keys."""
    if isinstance(error, RecursionError):
        return "the content is nested too deeply"
    mistakes = error.errors(include_url=False)
    lines = []
    for mistake in mistakes[:_SHOWN]:
        key = ".".join(str(part) for part in mistake["loc"])
        reason = mistake["msg"].removeprefix("Value error, ")
        lines.append(f"{key} is {reprlib.repr(mistake['input'])}: {reason}" if key else reason)
    more = len(mistakes) - _SHOWN
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")
