"""Settings of an evaluation, for the protocols of all datasets; unknown settings are refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

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
"""``shots`` in the fingerprint of a protocol without draws."""


@dataclass(frozen=True, slots=True)
class Request:
    """Settings of a protocol; None selects the settings of papers on the dataset.

    Settings that the dataset's protocol does not have are refused, never ignored.

    Attributes:
        modes: SYSU-MM01: galleries from ``all`` or ``indoor`` cameras.
        shots: SYSU-MM01: gallery images per identity and camera, 1 or 10.
        draw: SYSU-MM01: gallery draw, ``seeded`` or ``official``.
        trials: SYSU-MM01, LLCM: number of drawn galleries.
        directions: ``v2i`` for visible queries, ``i2v`` for infrared queries.
        trial: RegDB: number of the split, 1..10; must be that of the model's training.
        llcm: LLCM: name of the protocol.
        far: Faces: definition of the operating point for a false acceptance rate; see
            ``metrics.verification``.
        split: ``test``, or ``val`` for datasets with validation identities (SYSU-MM01).
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

    def refuse_others(self, title: str, *known: str) -> None:
        """Refuse settings that the protocol of a dataset does not have.

        Args:
            title: Name of the dataset for the message.
            known: Names of the fields that the protocol has.

        Raises:
            UsageError: Another field is set.
        """
        foreign = [f.name for f in fields(self) if f.name not in known and getattr(self, f.name) != f.default]
        if foreign:
            raise UsageError(
                f"the protocol of {title} has no setting {', '.join(foreign)}.",
                f"Its settings: {', '.join(known)}." if known else "It has no settings.",
            )


def request_of(
    *,
    mode: Mode | Literal["both"] | None = None,
    shots: Shots | Literal["both"] | None = None,
    protocol: Draw | LlcmProtocol | None = None,
    trials: int | None = None,
    direction: Direction | Literal["both"] | None = None,
    trial: int | None = None,
    far: FarReading | None = None,
) -> Request:
    """Convert the options of the command line and the Python API to a request.

    Args:
        mode: SYSU-MM01: ``all``, ``indoor`` or ``both``.
        shots: SYSU-MM01: 1, 10 or ``both``.
        protocol: SYSU-MM01: ``seeded`` or ``official``; LLCM: ``llcm-train``, ``llcm-release`` or
            ``llcm-full``.
        trials: Number of galleries.
        direction: ``v2i``, ``i2v`` or ``both``.
        trial: RegDB: 1..10.
        far: Faces: ``not-exceeded`` or ``nearest``.

    Raises:
        UsageError: A value is not among these; the message lists all such values.
    """
    known: dict[str, tuple[object, tuple[object, ...]]] = {
        "mode": (mode, ("all", "indoor", "both")),
        "shots": (shots, (1, 10, "both")),
        "protocol": (protocol, (*get_args(Draw), *get_args(LlcmProtocol))),
        "direction": (direction, (*BOTH_DIRECTIONS, "both")),
        "far": (far, get_args(FarReading)),
    }
    unknown = [
        f"{name} is {value!r}: expected {', '.join(map(str, values))}"
        for name, (value, values) in known.items()
        if value is not None and value not in values
    ]
    if trials is not None and trials < 1:
        unknown.append(f"trials is {trials}: expected 1 or more")
    if unknown:
        raise UsageError(f"{'; '.join(unknown)}.")
    llcm = protocol is not None and protocol.startswith("llcm")
    return Request(
        modes=None if mode is None else (("all", "indoor") if mode == "both" else (mode,)),
        shots=None if shots is None else ((1, 10) if shots == "both" else (shots,)),
        draw=None if llcm else cast(Draw | None, protocol),
        trials=trials,
        directions=None if direction is None else (BOTH_DIRECTIONS if direction == "both" else (direction,)),
        trial=trial,
        llcm=cast(LlcmProtocol, protocol) if llcm else None,
        far=far,
    )
