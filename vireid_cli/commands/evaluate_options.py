"""The options of ``vireid evaluate``, and what they ask of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.data.protocols.request import Request
    from vireid_cli.engine.evaluate.result import EvaluateOptions

ALL_TRIALS = "all"
"""``--trial``: the runs of all trials."""


class ModeName(StrEnum):
    """Which gallery."""

    all = "all"
    indoor = "indoor"
    both = "both"


class ShotsName(StrEnum):
    """Images an identity and camera in the gallery."""

    single = "1"
    multi = "10"
    both = "both"


class ProtocolName(StrEnum):
    """How the gallery is made."""

    seeded = "seeded"
    official = "official"
    llcm_train = "llcm-train"
    llcm_release = "llcm-release"
    llcm_full = "llcm-full"


class DirectionName(StrEnum):
    """Which modality queries."""

    v2i = "v2i"
    i2v = "i2v"
    both = "both"


class FarName(StrEnum):
    """Which operating point a false acceptance rate means."""

    not_exceeded = "not-exceeded"
    nearest = "nearest"


class RerankName(StrEnum):
    """A second look at the ranking."""

    k_reciprocal = "k-reciprocal"
    gallery_mean = "gallery-mean"


class FlipName(StrEnum):
    """Averaging with mirror images."""

    off = "off"
    mean_renorm = "mean_renorm"
    sum = "sum"


Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...", help="Run folder or name; the newest by default. Several: their mean as well."
    ),
]
Mode = Annotated[ModeName | None, typer.Option(help="SYSU-MM01: gallery cameras.  [default: both]")]
Shots = Annotated[
    ShotsName | None, typer.Option(help="SYSU-MM01: images an identity and camera.  [default: 1]")
]
Protocol = Annotated[
    ProtocolName | None,
    typer.Option(help="SYSU-MM01: seeded (default), official; LLCM: llcm-release (default), …"),
]
TrialCount = Annotated[
    int | None, typer.Option(min=1, help="Galleries drawn (SYSU-MM01, LLCM).  [default: 10]")
]
Direction = Annotated[
    DirectionName | None, typer.Option(help="RegDB, LLCM, folder: who queries.  [default: both]")
]
Trial = Annotated[
    str | None,
    typer.Option(
        metavar="1..10|all",
        help="RegDB: which split; the model's own by default; all: the runs of all ten, and their mean.",
    ),
]
Far = Annotated[
    FarName | None,
    typer.Option(
        help="Faces: VR where the FAR does not exceed its target, or where it is nearest to it, as in public "
        "code.  [default: not-exceeded]"
    ),
]
Features = Annotated[
    Path | None, typer.Option(help="Old spelling of: vireid evaluate-features FILE.", hidden=True)
]
Dataset = Annotated[
    str | None,
    typer.Option(help="Evaluate on this dataset of the run's kind (occ-sysu) instead of the run's own."),
]
Rerank = Annotated[
    list[RerankName] | None, typer.Option(help="Rows of its own beside the plain ones; may be repeated.")
]
Flip = Annotated[FlipName, typer.Option(help="Average with mirror images; rows of its own.")]
Against = Annotated[
    str | None, typer.Option(help="Another run (or features file): paired difference, with p-value.")
]
Breakdown = Annotated[
    bool, typer.Option("--breakdown", help="Tables by camera pair and identity; worst queries.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Old spelling of: vireid explain.", hidden=True)]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Evaluate on identities that were trained on; it is said so."),
]
Json = Annotated[bool, typer.Option("--json", help="Print metrics.json instead of tables.")]

Cost = Annotated[bool, typer.Option("--cost", help="Old spelling of: vireid cost.", hidden=True)]
CostRecipes = Annotated[
    list[str] | None, typer.Option("--recipe", help="Old spelling of: vireid cost --recipe.", hidden=True)
]
CostSize = Annotated[
    str | None,
    typer.Option("--size", help="Old spelling of: vireid cost --size.", hidden=True),
]


def request_of(
    mode: ModeName | None,
    shots: ShotsName | None,
    protocol: ProtocolName | None,
    trials: int | None,
    direction: DirectionName | None,
    trial: str | None,
    far: FarName | None = None,
) -> Request:
    """The protocol's settings; what is not given stays as papers on the dataset have it.

    ``--trial all`` sets no trial: each run is evaluated on its own.

    Raises:
        UsageError: A trial that is neither a number from 1 to 10 nor ``all``.
    """
    from vireid_cli.data.ids import parse_id
    from vireid_cli.data.protocols import request

    number = None if trial in (None, ALL_TRIALS) else parse_id(str(trial))
    if trial not in (None, ALL_TRIALS) and not (number is not None and 1 <= number <= 10):
        raise UsageError(f"--trial {trial}: expected a number from 1 to 10, or {ALL_TRIALS}.")
    return request.request_of(
        mode=cast(Any, mode.value if mode else None),
        shots=cast(
            Any, None if shots is None else shots.value if shots is ShotsName.both else int(shots.value)
        ),
        protocol=cast(Any, protocol.value if protocol else None),
        trials=trials,
        direction=cast(Any, direction.value if direction else None),
        trial=number,
        far=cast(Any, far.value if far else None),
    )


def evaluate_options(
    request: Request,
    rerank: Sequence[RerankName],
    flip: FlipName,
    breakdown: bool,
    allow_overlap: bool,
    dataset: str | None,
) -> EvaluateOptions:
    """The engine's options; imported late, so that help stays fast."""
    from vireid_cli.engine.evaluate.result import EvaluateOptions

    return EvaluateOptions(
        request=request,
        dataset=dataset,
        allow_overlap=allow_overlap,
        rerank=cast(Any, tuple(dict.fromkeys(name.value for name in rerank))),
        flip=cast(Any, flip.value),
        breakdown=breakdown,
    )
