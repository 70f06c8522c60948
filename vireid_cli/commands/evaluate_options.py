"""Options of ``vireid evaluate``, and their conversion to the engine's options."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.options import expanded, refuse_without_effect
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.data.protocols.request import Request
    from vireid_cli.engine.evaluate.result import EvaluateOptions

ALL_TRIALS = "all"
"""Value of ``--trial`` that selects the runs of all trials."""


class ModeName(StrEnum):
    """Gallery cameras of SYSU-MM01."""

    all = "all"
    indoor = "indoor"
    both = "both"


class ShotsName(StrEnum):
    """Gallery images per identity and camera."""

    single = "1"
    multi = "10"
    both = "both"


class ProtocolName(StrEnum):
    """Rule that draws the gallery."""

    seeded = "seeded"
    official = "official"
    llcm_train = "llcm-train"
    llcm_release = "llcm-release"
    llcm_full = "llcm-full"


class DirectionName(StrEnum):
    """Modality of queries and gallery: visible to infrared, or infrared to visible."""

    v2i = "v2i"
    i2v = "i2v"
    both = "both"


class FarName(StrEnum):
    """Rule that selects the operating point of a false acceptance rate."""

    not_exceeded = "not-exceeded"
    nearest = "nearest"


class RerankName(StrEnum):
    """Re-ranking method."""

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
        metavar="RUN",
        help="Run folders or their names; default: the newest run. Several: also their mean.",
        autocompletion=completion.runs,
    ),
]
Mode = Annotated[
    ModeName | None, typer.Option(help="SYSU-MM01: gallery cameras.", show_default=ModeName.both.value)
]
Shots = Annotated[
    ShotsName | None,
    typer.Option(help="SYSU-MM01: gallery images per identity and camera.", show_default="1"),
]
Protocol = Annotated[
    ProtocolName | None,
    typer.Option(
        metavar="NAME",
        help="SYSU-MM01: seeded (default) or official; LLCM: llcm-release (default), llcm-train, llcm-full.",
    ),
]
TrialCount = Annotated[
    int | None,
    typer.Option(min=1, max=100_000, help="SYSU-MM01, LLCM: number of random galleries.", show_default="10"),
]
Direction = Annotated[
    DirectionName | None,
    typer.Option(help="RegDB, LLCM, folder: modality of queries and gallery.", show_default="both"),
]
Trial = Annotated[
    str | None,
    typer.Option(
        metavar="1..10|all",
        help="RegDB: number of the split; default: of the run. all: the runs of all ten, and their mean.",
    ),
]
Far = Annotated[
    FarName | None,
    typer.Option(
        help="Faces: VR at the largest FAR that does not exceed the target, or at the nearest FAR, as in "
        "public code.",
        show_default="not-exceeded",
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        help="Deprecated: use vireid evaluate-features FILE.",
        hidden=True,
        callback=expanded,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Evaluate on this dataset (occ-sysu) instead of the run's; its protocol must be the same.",
        autocompletion=completion.datasets,
    ),
]
Rerank = Annotated[
    list[RerankName] | None,
    typer.Option(
        metavar="NAME",
        help="Add rows with a re-ranked result: k-reciprocal or gallery-mean; repeatable.",
    ),
]
Flip = Annotated[FlipName, typer.Option(help="Add rows with embeddings averaged over mirror images.")]
Against = Annotated[
    str | None,
    typer.Option(
        help="Another run (or features file): paired difference with p-value.",
        autocompletion=completion.runs,
    ),
]
Breakdown = Annotated[
    bool, typer.Option("--breakdown", help="Add tables by camera pair and identity, and the worst queries.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Deprecated: use vireid explain.", hidden=True)]
AllowOverlap = Annotated[
    bool,
    typer.Option(
        "--allow-overlap", help="Evaluate on training identities of the run; the result records it."
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Print all settings of each result (the whole fingerprint).")
]
Ema = Annotated[bool, typer.Option("--ema", help="Evaluate the average of the weights (train.ema).")]
Json = Annotated[bool, typer.Option("--json", help="Print metrics.json instead of tables.")]

Cost = Annotated[bool, typer.Option("--cost", help="Deprecated: use vireid cost.", hidden=True)]
CostRecipes = Annotated[
    list[str] | None, typer.Option("--recipe", help="Deprecated: use vireid cost --recipe.", hidden=True)
]
CostSize = Annotated[
    str | None,
    typer.Option("--size", help="Deprecated: use vireid cost --size.", hidden=True),
]


def refuse_verbose_json(context: typer.Context, as_json: bool) -> None:
    """Refuse ``--verbose`` beside ``--json``.

    Raises:
        UsageError: The command line has both.
    """
    if as_json:
        refuse_without_effect(context, "--json prints metrics.json with all settings", "verbose")


def request_of(
    mode: ModeName | None,
    shots: ShotsName | None,
    protocol: ProtocolName | None,
    trials: int | None,
    direction: DirectionName | None,
    trial: str | None,
    far: FarName | None = None,
) -> Request:
    """Convert options to the settings of a protocol; None selects the default of the dataset's papers.

    ``--trial all`` sets no trial, because each run is evaluated on its own one.

    Raises:
        UsageError: The trial is neither a number from 1 to 10 nor ``all``.
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
    ema: bool = False,
) -> EvaluateOptions:
    """Convert options of the command line to those of the engine."""
    # imported here, because the import delays --help
    from vireid_cli.engine.evaluate.result import EvaluateOptions

    return EvaluateOptions(
        request=request,
        dataset=dataset,
        allow_overlap=allow_overlap,
        rerank=cast(Any, tuple(dict.fromkeys(name.value for name in rerank))),
        flip=cast(Any, flip.value),
        breakdown=breakdown,
        ema=ema,
    )
