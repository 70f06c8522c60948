"""``vireid evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vireid_cli.commands.options import DataDir, Device, Precision, RunsDir, make_engine, parse_size
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.data.protocols.request import Request
    from vireid_cli.engine.engine import Engine
    from vireid_cli.engine.evaluate import EvaluateOptions, Evaluation


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
    typer.Option(help="SYSU-MM01: seeded (default), official; LLCM: llcm-train (default), …"),
]
TrialCount = Annotated[
    int | None, typer.Option(min=1, help="Galleries drawn (SYSU-MM01, LLCM).  [default: 10]")
]
Direction = Annotated[
    DirectionName | None, typer.Option(help="RegDB, LLCM, folder: who queries.  [default: both]")
]
Trial = Annotated[
    int | None, typer.Option(min=1, max=10, help="RegDB: which split; the model's own by default.")
]
Features = Annotated[
    Path | None, typer.Option(help="Evaluate embeddings or distances in an .npz (needs --dataset).")
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Evaluate on this one of the run's kind (occ-sysu) instead of the run's own; with --features or "
        "--explain: whose rules apply."
    ),
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
Explain = Annotated[
    bool, typer.Option("--explain", help="Print the protocol's rules in plain words, and stop.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Evaluate on identities that were trained on; it is said so."),
]
Json = Annotated[bool, typer.Option("--json", help="Print metrics.json instead of tables.")]

Cost = Annotated[
    bool, typer.Option("--cost", help="Instead: parameters, multiply-adds and latency of its network.")
]
CostRecipes = Annotated[
    list[str] | None, typer.Option("--recipe", help="With --cost: of a recipe's network; may be repeated.")
]
CostSize = Annotated[
    str | None,
    typer.Option("--size", help="With --cost: HEIGHTxWIDTH of the image; the recipe's by default."),
]


def evaluate(
    run: Runs = None,
    mode: Mode = None,
    shots: Shots = None,
    protocol: Protocol = None,
    trials: TrialCount = None,
    direction: Direction = None,
    trial: Trial = None,
    features: Features = None,
    dataset: Dataset = None,
    rerank: Rerank = None,
    flip: Flip = FlipName.off,
    against: Against = None,
    breakdown: Breakdown = False,
    explain: Explain = False,
    allow_overlap: AllowOverlap = False,
    cost: Cost = False,
    recipe: CostRecipes = None,
    size: CostSize = None,
    json: Json = False,
    device: Device = "auto",
    precision: Precision = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Evaluate a run as the papers on its dataset do: CMC, mAP and mINP, or Rank-1 and VR@FAR for faces.

    Example: vireid evaluate --mode indoor --shots both
    """
    from vireid_cli.commands import console

    wanted = _options(
        _request(mode, shots, protocol, trials, direction, trial),
        rerank or [],
        flip,
        breakdown,
        allow_overlap,
        None if features or explain or cost else dataset,
    )
    names: list[str | None] = [*run] if run else [None]
    engine = make_engine(device, precision, data, runs)
    if not cost and (recipe or size):
        raise UsageError("--recipe and --size go with --cost; a run is evaluated as it was trained.")
    if cost:
        if features or dataset or against or explain or wanted != type(wanted)():
            raise UsageError("--cost measures a network: leave what belongs to an evaluation out.")
        _cost(engine, names if run else [], recipe or [], size, json)
        return
    if explain:
        lines = engine.explain(dataset, names[0], wanted)
        if json:
            console.print_json(lines)
        else:
            console.print_lines(lines)
        return
    if features is not None:
        if dataset is None:
            raise UsageError("--features needs --dataset: whose rules apply to the file.")
        if run:
            raise UsageError("Name a run or --features, not both.")
        _refuse_settings(wanted.request)
        found = [engine.evaluate_features(features, dataset, wanted, Path(against) if against else None)]
    else:
        found = _evaluate_runs(engine, names, wanted, against)
    if json:
        console.print_json([e.content for e in found] if len(found) > 1 else found[0].content)
        return
    console.print_evaluations(e.content for e in found)
    console.print_paths(e.folder for e in found if e.folder)
    if features is None:
        console.print_next("vireid visualize ranking", "vireid export onnx")


def _cost(
    engine: Engine, runs: Sequence[str | None], recipes: list[str], size: str | None, json: bool
) -> None:
    """Measure and print what the networks of runs or recipes cost; of the newest run where none is named."""
    from vireid_cli.commands import console
    from vireid_cli.commands.cost_table import print_costs

    if runs and recipes:
        raise UsageError("Name runs or --recipe, not both.")
    wanted = parse_size(size) if size else None
    if recipes:
        found = [engine.cost(recipe=name, size=wanted) for name in recipes]
    else:
        found = [engine.cost(name, size=wanted) for name in runs or [None]]
    if json:
        console.print_json(found if len(found) > 1 else found[0])
    else:
        print_costs(found)


def _evaluate_runs(
    engine: Engine, names: Sequence[str | None], options: EvaluateOptions, against: str | None
) -> list[Evaluation]:
    """One run, one against another, or several and their mean."""
    if len(names) == 1:
        if against is None:
            return engine.evaluate(names[0], options)
        return engine.evaluate_against(names[0], against, options)
    if against is not None:
        raise UsageError("--against compares one run with another: name one.")
    if len(set(names)) != len(names):
        raise UsageError("the same run is named twice.")
    by_run, means = engine.evaluate_runs([name for name in names if name is not None], options)
    return [*(evaluation for evaluations in by_run for evaluation in evaluations), *means]


def _refuse_settings(request: Request) -> None:
    """Refuse settings of a draw beside a file that has its queries and gallery."""
    from vireid_cli.data.protocols.request import Request

    if request != Request():
        raise UsageError(
            "--features brings its own queries and gallery: mode, shots, protocol, trials, direction and "
            "trial draw nothing.",
            "Leave them out.",
        )


def _request(
    mode: ModeName | None,
    shots: ShotsName | None,
    protocol: ProtocolName | None,
    trials: int | None,
    direction: DirectionName | None,
    trial: int | None,
) -> Request:
    """The protocol's settings; what is not given stays as papers on the dataset have it."""
    from vireid_cli.data.protocols.request import Request

    given: dict[str, Any] = {"trials": trials, "trial": trial}
    if mode is not None:
        given["modes"] = ("all", "indoor") if mode is ModeName.both else (mode.value,)
    if shots is not None:
        given["shots"] = (1, 10) if shots is ShotsName.both else (int(shots.value),)
    if protocol is not None:
        given["llcm" if protocol.value.startswith("llcm") else "draw"] = protocol.value
    if direction is not None:
        given["directions"] = ("v2i", "i2v") if direction is DirectionName.both else (direction.value,)
    return Request(**given)


def _options(
    request: Request,
    rerank: Sequence[RerankName],
    flip: FlipName,
    breakdown: bool,
    allow_overlap: bool,
    dataset: str | None,
) -> EvaluateOptions:
    """The engine's options; imported late, so that help stays fast."""
    from vireid_cli.engine.evaluate import EvaluateOptions

    return EvaluateOptions(
        request=request,
        dataset=dataset,
        allow_overlap=allow_overlap,
        rerank=cast(Any, tuple(dict.fromkeys(name.value for name in rerank))),
        flip=cast(Any, flip.value),
        breakdown=breakdown,
    )
