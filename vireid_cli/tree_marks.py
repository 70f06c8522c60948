"""Forms of the marks of trees that vireid makes: ``vireid-rendered.json`` and ``vireid-occluded.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1)]


class Mark(BaseModel):
    """Typed values, without coercion; further keys are kept, since later versions add some."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    version: Annotated[int, Field(ge=1)]
    complete: bool


class Rendered(Mark):
    """The mark of a rendered tree, perhaps an unfinished one."""

    parameters: dict[str, Any]
    layout: str | None = None
    device: str | None = None


class WholeTree(Rendered):
    """The mark of a complete rendered tree, with the hashes of its parts."""

    content_hash: Text
    parts: dict[str, Text]


class RenderedSource(Mark):
    """What a dataset's provenance takes from a complete rendered tree."""

    complete: Literal[True]
    seed: Count
    content_hash: Text


class PolicyMark(BaseModel):
    """Shares of occluded images by role, and the queries' modality."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    train_p: Share
    query_p: Share
    gallery_p: Share
    query_modality: str


class LibraryMark(BaseModel):
    """The library of occluders."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    name: str
    sha256: Text


class Occluded(Mark):
    """The mark of an occluded tree, perhaps an unfinished one."""

    base: str = Field(alias="from")
    preset: str
    seed: Count
    policy: PolicyMark
    library: LibraryMark
    trial: Count = 0


class OccludedSource(Occluded):
    """The mark of a complete occluded tree."""

    complete: Literal[True]
    content_hash: Text
    lists: dict[str, str] = Field(default_factory=dict)
