"""``vireid evaluate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vireid_cli.commands.options import DataDir, Device, Precision, RunName, RunsDir, make_engine
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.data.protocols.request import Mode
    from vireid_cli.engine.evaluate import EvaluateOptions


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


class DrawName(StrEnum):
    """How the gallery is drawn."""

    seeded = "seeded"
    official = "official"


def evaluate(
    run: RunName = None,
    mode: Annotated[ModeName, typer.Option(help="Gallery: all cameras, or indoor ones.")] = ModeName.both,
    shots: Annotated[
        ShotsName, typer.Option(help="Gallery images an identity and camera.")
    ] = ShotsName.single,
    protocol: Annotated[
        DrawName, typer.Option(help="Gallery draw: random.seed(trial), or rand_perm_cam.mat.")
    ] = DrawName.seeded,
    trials: Annotated[int, typer.Option(min=1, max=10, help="Galleries drawn.")] = 10,
    features: Annotated[
        Path | None, typer.Option(help="Evaluate somebody else's embeddings: an .npz (needs --dataset).")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Whose rules apply to --features.")] = None,
    allow_overlap: Annotated[
        bool,
        typer.Option("--allow-overlap", help="Evaluate on identities that were trained on; it is said so."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of tables.")] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Evaluate a run under the protocols asked for: CMC, mAP and mINP over ten trials.

    Example: vireid evaluate --mode indoor --shots both
    """
    from vireid_cli.commands import console

    if (features is None) != (dataset is None):
        raise UsageError("--features and --dataset go together: a file, and whose rules apply to it.")
    engine = make_engine(device, precision, data, runs)
    if features is not None and dataset is not None:
        if run is not None:
            raise UsageError("Name a run or --features, not both.")
        found = [engine.evaluate_features(features, dataset)]
    else:
        found = engine.evaluate(run, _options(mode, shots, protocol, trials, allow_overlap))
    if json:
        console.print_json([e.content for e in found] if len(found) > 1 else found[0].content)
        return
    console.print_evaluations(e.content for e in found)
    console.print_paths(e.folder for e in found if e.folder)
    if features is None:
        console.print_next("vireid visualize ranking", "vireid export onnx")


def _options(
    mode: ModeName, shots: ShotsName, protocol: DrawName, trials: int, allow_overlap: bool
) -> EvaluateOptions:
    """The engine's options; imported late, so that help stays fast."""
    from vireid_cli.data.protocols.request import Request
    from vireid_cli.engine.evaluate import EvaluateOptions

    request = Request(
        modes=("all", "indoor") if mode is ModeName.both else (cast("Mode", mode.value),),
        shots=(1, 10) if shots is ShotsName.both else (1 if shots is ShotsName.single else 10,),
        draw=protocol.value,
        trials=trials,
    )
    return EvaluateOptions(request, allow_overlap)
