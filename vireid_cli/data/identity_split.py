"""Division of the identities of a tree without splits into training and test."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vireid_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class IdentitySplit:
    """Rule of a division.

    Attributes:
        share: Share of the identities for training, in [0, 1].
        seed: Seed of the order of the identities.
    """

    share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ``UsageError`` for a share outside of [0, 1] or a negative seed."""
        if not 0.0 <= self.share <= 1.0:
            raise UsageError(f"--split {self.share:g}: expected a share from 0 to 1.", "Such as: --split 0.5")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected 0 or more.")

    def training(self, names: Mapping[int, str]) -> set[int]:
        """Return the training identities: the first ``share`` in the order of a hash of seed and name.

        A further identity moves at most one other to the other side, because its hash does not depend on
        the rest.

        Args:
            names: Name of each identity's folder, by number.
        """
        order = sorted(
            names, key=lambda pid: (hashlib.sha256(f"{self.seed}/{names[pid]}".encode()).digest(), pid)
        )
        return set(order[: math.floor(self.share * len(order) + 0.5)])

    @property
    def text(self) -> str:
        """Options of ``vireid prepare folder`` that give this division."""
        return f"--split {self.share:g} --seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """Return the rule as JSON values, for ``store.json``."""
        return {"share": self.share, "seed": self.seed}
