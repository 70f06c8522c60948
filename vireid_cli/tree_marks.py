"""Schemas of the mark files of generated trees: ``vireid-rendered.json`` and ``vireid-occluded.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1)]


class Mark(BaseModel):
    """Keys of every mark. Values are not coerced; unknown keys are kept, because later versions add some."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    version: Annotated[int, Field(ge=1)]
    complete: bool


class Rendered(Mark):
    """Mark of a rendered tree, complete or not."""

    parameters: dict[str, Any]
    layout: str | None = None
    device: str | None = None


class WholeTree(Rendered):
    """Mark of a complete rendered tree, with the hashes of its parts."""

    content_hash: Text
    parts: dict[str, Text]


class RenderedSource(Mark):
    """Keys of a complete rendered tree's mark that the provenance of a dataset uses."""

    complete: Literal[True]
    seed: Count
    content_hash: Text


class PolicyMark(BaseModel):
    """Shares of occluded images by role, in [0, 1], and the modality of the queries."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    train_p: Share
    query_p: Share
    gallery_p: Share
    query_modality: str


class LibraryMark(BaseModel):
    """Name and hash of the occluder library."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    name: str
    sha256: Text


class Occluded(Mark):
    """Mark of an occluded tree, complete or not."""

    base: str = Field(alias="from")
    preset: str
    seed: Count
    policy: PolicyMark
    library: LibraryMark
    trial: Count = 0


class OccludedSource(Occluded):
    """Mark of a complete occluded tree."""

    complete: Literal[True]
    content_hash: Text
    lists: dict[str, str] = Field(default_factory=dict)
