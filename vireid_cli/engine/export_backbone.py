"""The verb ``export backbone``: a run's trunk as starting weights of other recipes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from vireid_cli.backbones.rescale import rescale_features
from vireid_cli.backbones.spec import STAGES
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.backbones.weights import IDENTITIES_KEY, TRAINED_ON
from vireid_cli.engine.embed import TrainedNetwork, load_trained, warn_if_unfinished
from vireid_cli.engine.export_subject import LICENCE, cpu_session
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.files import refuse_unwritable
from vireid_cli.results.run import RunFolder
from vireid_cli.tensor_files.sealed import save_sealed
from vireid_cli.types import Modality

SCALES = (1e-3, 1e3)
"""Smallest and largest factor on the features; beyond them weights lose precision in float16."""


def export_backbone(
    run: RunFolder,
    session: Session,
    *,
    modality: Modality,
    out: Path | None = None,
    half: bool = False,
    feature_scale: float = 1.0,
) -> Path:
    """Write a run's trunk under torchvision's keys, for ``backbone.weights`` of another recipe.

    The file's metadata record the training data, steps, commit and hashes of the training identities. A run
    that starts from the file inherits these identities: evaluating on them is refused.

    Args:
        run: The run; its recipe selects the checkpoint.
        session: Folders and reporter.
        modality: Selects the copy of those stages that each modality has for itself.
        out: File, ``.safetensors``; None: ``exports/backbone.safetensors`` in the run folder.
        half: Write float16 instead of float32; a tensor with values beyond 65,504 stays in float32.
        feature_scale: Factor on the features of the last stage, in ``SCALES``; see ``rescale_features``.

    Raises:
        UsageError: The factor is not in ``SCALES``; the run has no checkpoint or no complete ResNet trunk.
    """
    path = out or run.exports / "backbone.safetensors"
    if path.suffix != ".safetensors":
        raise UsageError(f"--out {path}: the file name must end in .safetensors.")
    if not SCALES[0] <= feature_scale <= SCALES[1]:
        raise UsageError(f"--feature-scale {feature_scale:g}: must be from {SCALES[0]:g} to {SCALES[1]:g}.")
    refuse_unwritable(path.parent)
    trained = load_trained(run, cpu_session(session), fold=False)
    warn_if_unfinished(run, trained, session)
    trunks = [module for module in trained.network.modules() if isinstance(module, TwoStream)]
    if not trunks or trunks[0].stages != STAGES:
        raise UsageError(
            f"{run.folder}: {trained.recipe.method.name} has no complete ResNet trunk to export."
        )
    state = {key: value.contiguous() for key, value in trunks[0].plain_state(modality).items()}
    state = rescale_features(state, feature_scale)
    if half:
        state = {key: to_half(value) for key, value in state.items()}
    return save_sealed(path, state, _record(run, trained, modality, half, feature_scale))


def to_half(value: Tensor) -> Tensor:
    """Convert to float16, unless a value exceeds its range; variances of a batch norm may."""
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if bool(half.isfinite().all()) else value


def _record(
    run: RunFolder, trained: TrainedNetwork, modality: Modality, half: bool, feature_scale: float
) -> dict[str, str]:
    """Metadata of a file of weights: network, training, data, and hashes of the training identities."""
    backbone, environment = trained.recipe.backbone, trained.environment
    data = environment["data"]
    rendered = f", {data['rendered']}" if "rendered" in data else ""
    record = {
        "network": backbone.name,
        "width": str(backbone.width),
        "last_stride": str(backbone.last_stride),
        "precision": "float16" if half else "float32",
        "feature_scale": f"{feature_scale:g}",
        "run": run.name,
        "modality": modality.value,
        "method": trained.recipe.method.name,
        "recipe": trained.recipe.name,
        "steps": str(trained.state.global_step),
        "start": environment["weights"],
        TRAINED_ON: f"{data['dataset']}{rendered}, {data.get('images', 'unrecorded')} images",
        "identities": str(environment["num_identities"]),
        "commit": str(environment.get("commit", "")),
        "vireid": str(environment.get("vireid", "")),
        IDENTITIES_KEY: " ".join(sorted(trained.tokens)),
    }
    # The licence of weights of a real dataset is that dataset's matter.
    return record | ({"licence": LICENCE} if rendered else {})
