"""Schema of ``store.json``, the description of a prepared store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vireid_cli.documents import check_form
from vireid_cli.tree_marks import OccludedSource, RenderedSource

_FORM = ConfigDict(strict=True, extra="forbid", frozen=True)


class Origin(BaseModel):
    """Origin of the images, with the marks of the tree; see ``provenance.Provenance``."""

    model_config = _FORM

    kind: Literal["real", "rendered"]
    manifest: dict[str, Any]
    occlusion: dict[str, Any] = Field(default_factory=dict)


class OmittedImage(BaseModel):
    """An unreadable image that is not in the records."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    path: str
    reason: str


class DividedIdentities(BaseModel):
    """Rule by which the identities were divided; see ``identity_split.IdentitySplit``."""

    model_config = _FORM

    share: Annotated[float, Field(ge=0.0, le=1.0)]
    seed: Annotated[int, Field(ge=0)]


class StoreFile(BaseModel):
    """Content of ``store.json``; see ``store.StoreInfo``."""

    model_config = _FORM

    dataset: str
    root: str
    provenance: Origin
    fingerprint: Annotated[str, Field(min_length=1)]
    images: Annotated[int, Field(ge=0)]
    counts: list[dict[str, Any]]
    notes: list[str]
    bad: list[OmittedImage]
    permutation: str | None
    decoder: dict[str, Any] | None = None
    records_sha256: str
    format: int
    people: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    split: DividedIdentities | None = None
    sha256: str | None = None


def check_store(content: Any, path: Path, hint: str) -> StoreFile:
    """Validate the content of ``store.json``, including its marks.

    Raises:
        DataError: A key is missing, unknown or invalid.
    """
    store = check_form(content, StoreFile, str(path), hint=hint)
    origin = store.provenance
    if origin.kind == "rendered":
        check_form(origin.manifest, RenderedSource, f"{path}: provenance.manifest", hint=hint)
    if origin.occlusion:
        check_form(origin.occlusion, OccludedSource, f"{path}: provenance.occlusion", hint=hint)
    return store
