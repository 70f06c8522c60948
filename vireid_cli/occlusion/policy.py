"""Which images are occluded, and by how much: presets and their switches (docs/methods.md#occlusion-presets).

The papers do not say which images are occluded; the presets follow what their figures suggest, and
where roles come from is our reading: test queries are one modality, the other one is the gallery;
validation identities are trained on by the papers' ``trainval`` and count as training.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vireid_cli.errors import UsageError
from vireid_cli.types import Modality

Epsilon = Literal["area", "height_ratio", "width_ratio"]
Role = Literal["train", "query", "gallery"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Probabilities by role, and the range of ε.

    Attributes:
        train_p: That a training image is occluded, either modality.
        query_p: That a test query is.
        gallery_p: That a test gallery image is.
        query_modality: Which modality's test images are queries.
        epsilon: What ε measures: the covered share of the image, or the occluder's height over the
            image's, or its width over the image's.
        low: Smallest ε.
        high: Largest ε.

    Raises:
        UsageError: A number out of range.
    """

    train_p: float = 0.5
    query_p: float = 1.0
    gallery_p: float = 0.0
    query_modality: Literal["infrared", "visible"] = "infrared"
    epsilon: Epsilon = "area"
    low: float = 0.1
    high: float = 0.7

    def __post_init__(self) -> None:
        for name in ("train_p", "query_p", "gallery_p"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"occlusion: {name} is {getattr(self, name)}, must be 0 to 1.")
        if not 0.0 < self.low <= self.high <= 1.0:
            raise UsageError(f"occlusion: ε from {self.low} to {self.high}, must be within (0, 1] and rise.")

    def role(self, split: str, modality: Modality) -> Role:
        """What an image is used as."""
        if split != "test":
            return "train"
        return "query" if modality == self.query_modality else "gallery"

    def probability(self, role: Role) -> float:
        """That an image of this role is occluded."""
        return {"train": self.train_p, "query": self.query_p, "gallery": self.gallery_p}[role]

    def as_parameters(self) -> dict[str, Any]:
        """The policy as the mark records it."""
        return asdict(self)


PRESETS: dict[str, Policy] = {
    "occ-sysu": Policy(0.5, 1.0, 0.0),
    "occ-regdb": Policy(0.5, 1.0, 1.0),
    "occ-all": Policy(1.0, 1.0, 1.0),
}
"""Queries only (SYSU's reported gap), queries and gallery (RegDB's), every image."""

USUAL = {"sysu": "occ-sysu", "regdb": "occ-regdb"}
"""Preset of a dataset where none is named; any other: ``occ-all``."""


def preset(name: str) -> Policy:
    """The policy of that name. Raises ``UsageError`` where there is none."""
    if name not in PRESETS:
        raise UsageError(f"There is no preset '{name}'.", f"There are: {', '.join(PRESETS)}")
    return PRESETS[name]


def scene_of(dataset: str, camid: int) -> Literal["indoor", "outdoor"]:
    """Where a camera hangs: SYSU-MM01's 1, 2, 3 indoor, 4, 5, 6 outdoor; other datasets outdoor (a guess)."""
    return "indoor" if dataset == "sysu" and camid in (1, 2, 3) else "outdoor"
