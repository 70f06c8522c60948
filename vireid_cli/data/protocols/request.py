"""What an evaluation asks for: the settings of every dataset's protocol, none of them ignored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from vireid_cli.errors import UsageError
from vireid_cli.metrics.verification import FarReading

Mode = Literal["all", "indoor"]
Shots = Literal[1, 10]
Draw = Literal["seeded", "official"]
Direction = Literal["v2i", "i2v"]
LlcmProtocol = Literal["llcm-train", "llcm-release", "llcm-full"]
Split = Literal["test", "val"]

BOTH_DIRECTIONS: tuple[Direction, ...] = ("v2i", "i2v")
ALL_IMAGES = 0
"""``shots`` in a fingerprint where nothing is drawn."""


@dataclass(frozen=True, slots=True)
class Request:
    """Settings of a protocol; None: as the papers on the dataset at hand report.

    A setting that the dataset's protocol does not know is refused, never ignored.

    Attributes:
        modes: SYSU-MM01's galleries: ``all`` cameras, ``indoor`` ones.
        shots: SYSU-MM01: images an identity and camera in the gallery, 1, 10.
        draw: SYSU-MM01: how the gallery is drawn, ``seeded`` or ``official``.
        trials: Galleries drawn (SYSU-MM01, LLCM).
        directions: ``v2i``: visible queries; ``i2v``: infrared queries.
        trial: RegDB: which of the ten splits, 1..10; the one that the model was trained on.
        llcm: Which of LLCM's protocols.
        far: Faces: which operating point a false acceptance rate means; see ``metrics.verification``.
        split: ``test``, or ``val`` where the dataset has validation identities (SYSU-MM01).
    """

    modes: tuple[Mode, ...] | None = None
    shots: tuple[Shots, ...] | None = None
    draw: Draw | None = None
    trials: int | None = None
    directions: tuple[Direction, ...] | None = None
    trial: int | None = None
    llcm: LlcmProtocol | None = None
    far: FarReading | None = None
    split: Split = "test"

    def only(self, title: str, *known: str) -> None:
        """Refuse settings that a dataset's protocol does not know.

        Args:
            title: The dataset, for people.
            known: Names of the fields that it knows.

        Raises:
            UsageError: Another field is set.
        """
        foreign = [f.name for f in fields(self) if f.name not in known and getattr(self, f.name) != f.default]
        if foreign:
            raise UsageError(
                f"the protocol of {title} has no setting {', '.join(foreign)}.",
                f"It knows: {', '.join(known)}." if known else "It has no settings.",
            )
