"""``state.json`` of a checkpoint: its form, the hashes of the files beside it, and a hash over itself."""

from __future__ import annotations

import hashlib
import json
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vireid_cli import files
from vireid_cli.errors import DataError

VERSION = 2
"""Version 2 adds the hashes; checkpoints of version 1 are read without."""

SEAL = "sha256"
"""Key of the hash over the rest of ``state.json``."""

Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHOWN = 3
"""Mistakes that a message lists."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class OptimizerState(_Strict):
    """Numbers of an optimizer's state dict; its tensors are in ``state.safetensors``.

    Attributes:
        state: Index of the parameter → name → number.
        param_groups: As the optimizer has them.
    """

    state: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], dict[str, bool | int | float]]
    param_groups: list[dict[str, Any]]


class Extra(_Strict):
    """Values beside weights and optimizer; a training writes all of them.

    Attributes:
        scaler: State of the gradient scaler.
        sums, steps: Loss sums of the running epoch, and the steps that they are over.
        training_identities: Hashes of the identities that the network has seen.
        best: The best validation so far: ``epoch`` and metrics.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    scaler: dict[str, Any] | None = None
    sums: dict[str, float] | None = None
    steps: Count | None = None
    training_identities: list[str] | None = None
    best: dict[str, int | float] | None = None


class CheckpointState(_Strict):
    """Content of ``state.json``.

    Attributes:
        version: 1 or 2.
        epoch, step, global_step: See ``checkpoint.Position``.
        optimizer: Numbers of the optimizer.
        extra: Further values.
        files: Name of each file beside ``state.json`` → its SHA-256; None: version 1.
        sha256: Of the rest of the content; None: version 1.
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
        """Whether damage to the files of the checkpoint can be noticed."""
        return self.files is not None


def write_state(path: Path, content: dict[str, Any]) -> None:
    """Write ``state.json`` with the hash over its content. Raises ``DataError`` if it can't be written."""
    files.write_json(path, {**content, SEAL: _seal(content)})


def read_state(path: Path, hint: str) -> CheckpointState:
    """Read and check ``state.json``.

    Args:
        path: The file.
        hint: What to do about a damaged one.

    Raises:
        DataError: It is missing, of another form or version, out of range, or not as it was written.
    """
    content = files.read_mapping(path, ("version", "epoch", "step", "global_step"), hint)
    version = content["version"]
    if isinstance(version, int) and version > VERSION:
        raise DataError(f"{path} has version {version}, this vireid reads up to {VERSION}.", "Update vireid.")
    try:
        state = CheckpointState.model_validate(content)
    except (ValidationError, RecursionError) as error:
        raise DataError(f"{path}: {_listed(error)}.", hint) from error
    plain = {key: value for key, value in content.items() if key != SEAL}
    if state.sha256 is not None and state.sha256 != _seal(plain):
        raise DataError(f"{path} was changed since it was written: its hash is another.", hint)
    return state


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 over the content, whatever the order of its keys and the blanks between them."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(error: ValidationError | RecursionError) -> str:
    """The first mistakes with the keys that they are at."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    mistakes = error.errors(include_url=False)
    lines = []
    for mistake in mistakes[:_SHOWN]:
        key = ".".join(str(part) for part in mistake["loc"])
        reason = mistake["msg"].removeprefix("Value error, ")
        lines.append(f"{key} is {reprlib.repr(mistake['input'])}: {reason}" if key else reason)
    more = len(mistakes) - _SHOWN
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")
