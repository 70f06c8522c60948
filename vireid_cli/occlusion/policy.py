"""Policies that select the images to occlude and the degree of occlusion (docs/methods.md#occlusion-presets).

The papers do not define the selection; the presets follow their figures. The roles are our reading: test
images of one modality are queries, and those of the other one the gallery. Validation identities have the
role of training identities, because the papers train on ``trainval``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vireid_cli.errors import UsageError
from vireid_cli.occlusion.library import Pool
from vireid_cli.types import TESTED, Modality

Epsilon = Literal["area", "height_ratio", "width_ratio"]
Role = Literal["train", "query", "gallery"]


def pool_of(split: str) -> Pool:
    """Pool of the occluders for the images of a split."""
    return "test" if split in TESTED else "train"


@dataclass(frozen=True, slots=True)
class Policy:
    """Probabilities by role, and the range of ε.

    Attributes:
        train_p: Probability of an occluder in a training image of either modality.
        query_p: Probability of an occluder in a query image.
        gallery_p: Probability of an occluder in a gallery image.
        query_modality: Modality of the queries.
        epsilon: Quantity that ε limits: the covered share of the image, or the occluder's height or width
            relative to the image.
        low: Minimum of ε.
        high: Maximum of ε.

    Raises:
        UsageError: A number is out of range.
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
                raise UsageError(f"occlusion: {name} is {getattr(self, name)}, expected 0 to 1.")
        if not 0.0 < self.low <= self.high <= 1.0:
            raise UsageError(f"occlusion: ε from {self.low} to {self.high}, expected 0 < low ≤ high ≤ 1.")

    def role(self, split: str, modality: Modality) -> Role:
        """Role of an image: train, query or gallery."""
        if split not in TESTED:
            return "train"
        if split != "test":
            return "query" if split == "query" else "gallery"
        return "query" if modality == self.query_modality else "gallery"

    def probability(self, role: Role) -> float:
        """Probability of an occluder in an image of this role."""
        return {"train": self.train_p, "query": self.query_p, "gallery": self.gallery_p}[role]

    def as_parameters(self) -> dict[str, Any]:
        """Return the policy as a dictionary, for the mark of the tree."""
        return asdict(self)


PRESETS: dict[str, Policy] = {
    "occ-sysu": Policy(0.5, 1.0, 0.0),
    "occ-regdb": Policy(0.5, 1.0, 1.0),
    "occ-all": Policy(1.0, 1.0, 1.0),
}
"""Policies by name. The test images with occluders are the queries, queries and gallery, or all images."""

DEFAULT_PRESETS = {"sysu": "occ-sysu", "regdb": "occ-regdb"}
"""Default preset of a dataset; ``occ-all`` for other datasets."""


def preset(name: str) -> Policy:
    """Return the policy with this name. Raises ``UsageError`` for an unknown name."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset '{name}'.", f"Available: {', '.join(PRESETS)}")
    return PRESETS[name]


def scene_of(dataset: str, camid: int) -> Literal["indoor", "outdoor"]:
    """Scene of a camera: indoor for cameras 1, 2 and 3 of SYSU-MM01, otherwise outdoor (a guess)."""
    return "indoor" if dataset == "sysu" and camid in (1, 2, 3) else "outdoor"
