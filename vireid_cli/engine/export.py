"""The verb ``export``: a run's network as ONNX, verified against PyTorch, and its trunk as weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vireid_cli.backbones.spec import STAGES
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.backbones.weights import IDENTITIES_KEY, TRAINED_ON
from vireid_cli.counts import size_name
from vireid_cli.data.identity import store_title
from vireid_cli.data.store import Store
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.embed import TrainedNetwork, load_trained, to_images, warn_if_unfinished
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.exporters.onnx import OnnxExport, export_onnx, require_packages
from vireid_cli.files import refuse_unwritable
from vireid_cli.results.export import ExportRecord, hashes_of, write_record
from vireid_cli.results.run import RunFolder
from vireid_cli.tensor_files.sealed import content_hash, save_sealed
from vireid_cli.types import Modality, Size

LICENCE = "Apache-2.0"
"""Licence of weights that were trained on rendered people."""

SAMPLES = 8
"""Number of images per modality that verify an export."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An export to ONNX.

    Attributes:
        run: The exported run.
        onnx: The written files.
        record: File with their names and hashes; see ``results.export``.
    """

    run: RunFolder
    onnx: OnnxExport
    record: Path


def export_run(
    run: RunFolder,
    session: Session,
    *,
    layout: Literal["split", "joint"] = "split",
    out: Path | None = None,
) -> ExportResult:
    """Export a run's network to ONNX, on the CPU in fp32 for any device of the session.

    Args:
        run: The run.
        session: Reporter, and the folder of the run's dataset with the images for verification.
        layout: ``split``: one file per modality; ``joint``: one file with both paths.
        out: Folder of the files; None: ``exports`` in the run folder.

    Raises:
        UsageError: ``out`` is a file, or the run has no checkpoint.
        MissingExtra: The packages of the extra ``export`` are not installed.
        VireidError: The exported network differs from PyTorch by more than 1e-4.
    """
    folder = out or run.exports
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file, not a folder.")
    refuse_unwritable(folder)
    require_packages()
    trained = load_trained(run, _on_cpu(session))
    warn_if_unfinished(run, trained, session)
    size = trained.recipe.data.image_size
    data = trained.recipe.data
    store = ensure_prepared(data.dataset, session, size, data.resize)
    samples = {
        modality: sample_images(store, size, modality, SAMPLES, trained.recipe.data.trial)
        for modality in Modality
    }
    session.reporter.info(f"exporting {run.folder} at {size_name(size)}")
    metadata = {
        "recipe": trained.recipe.name,
        "method": trained.recipe.method.name,
        "dataset": store_title(store),
        "epochs": str(trained.epochs),
        "weights": str(trained.environment["weights"]),
        "commit": str(trained.environment.get("commit", "")),
    }
    about = {**metadata, "layout": layout, "size": size_name(size)}
    identifier = content_hash(trained.network.state_dict(), about)[:32]
    marked = {**metadata, "export": identifier}
    export = export_onnx(trained.network, folder, samples, layout=layout, metadata=marked)
    record = ExportRecord(
        identifier=identifier,
        layout=layout,
        files=hashes_of(export.files),
        metadata=metadata,
        largest_difference=export.largest_difference,
        images=export.images,
        opset=export.opset,
        nodes=export.nodes,
    )
    return ExportResult(run, export, write_record(folder, record))


def export_backbone(
    run: RunFolder, session: Session, *, modality: Modality, out: Path | None = None, half: bool = False
) -> Path:
    """Write a run's trunk under torchvision's keys, for ``backbone.weights`` of another recipe.

    The file's metadata record the training data, steps, commit and hashes of the training identities. A run
    that starts from the file inherits these identities: evaluating on them is refused.

    Args:
        run: The run; its recipe selects the checkpoint.
        session: Folders and reporter.
        modality: Selects the copy of those stages that each modality has for itself.
        out: File, ``.safetensors``; None: ``exports/backbone.safetensors`` in the run folder.
        half: Write float16 instead of float32.

    Raises:
        UsageError: The run has no checkpoint or no complete ResNet trunk.
        VireidError: A weight exceeds the range of float16.
    """
    path = out or run.exports / "backbone.safetensors"
    if path.suffix != ".safetensors":
        raise UsageError(f"--out {path}: the file name must end in .safetensors.")
    refuse_unwritable(path.parent)
    trained = load_trained(run, _on_cpu(session), fold=False)
    warn_if_unfinished(run, trained, session)
    trunks = [module for module in trained.network.modules() if isinstance(module, TwoStream)]
    if not trunks or trunks[0].stages != STAGES:
        raise UsageError(
            f"{run.folder}: {trained.recipe.method.name} has no complete ResNet trunk to export."
        )
    state = {key: value.contiguous() for key, value in trunks[0].plain_state(modality).items()}
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        if name := checkpoints.not_finite(state):
            raise VireidError(f"{run.folder}: '{name}' exceeds the range of float16.", "Remove --half.")
    return save_sealed(path, state, _record(run, trained, modality, half))


def _record(run: RunFolder, trained: TrainedNetwork, modality: Modality, half: bool) -> dict[str, str]:
    """Metadata of a file of weights: network, training, data, and hashes of the training identities."""
    backbone, environment = trained.recipe.backbone, trained.environment
    data = environment["data"]
    rendered = f", {data['rendered']}" if "rendered" in data else ""
    record = {
        "network": backbone.name,
        "width": str(backbone.width),
        "precision": "float16" if half else "float32",
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


def _on_cpu(session: Session) -> Session:
    """Return the session on the CPU in fp32, for exports."""
    return replace(session, runtime=Runtime(torch.device("cpu"), "fp32"))


def sample_images(store: Store, size: Size, modality: Modality, count: int, trial: int = 1) -> Tensor:
    """Return test images of one modality, evenly spread over the table: (count, 3, H, W) in [0, 1]."""
    table = store.records_in_trial(trial)
    rows = np.flatnonzero((table.modalities == modality.code) & table.tested)
    samples = rows[np.linspace(0, len(rows) - 1, num=min(count, len(rows)), dtype=np.int64)]
    return to_images(store.batch(size, samples), torch.device("cpu")).contiguous()
