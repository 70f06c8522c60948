"""The verb ``export``: a run's network as ONNX, as a program of PyTorch, or for OpenVINO.

Each export is verified against PyTorch before its files replace earlier ones. Quantised files are measured on
identities that the network should generalise to, and refused if they lose too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vireid_cli.counts import size_name
from vireid_cli.engine.export_accuracy import (
    CALIBRATION,
    CheckSplit,
    EmbedBatch,
    accuracy_change,
    calibration_batches,
    check_plan,
    refuse_loss,
)
from vireid_cli.engine.export_subject import ExportSubject, export_subject
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.exporters import onnx, onnx_int8, openvino, torch_program
from vireid_cli.exporters.openvino import FLOAT16_LIMIT, OpenvinoPrecision
from vireid_cli.exporters.program import Layout, description, programs_of
from vireid_cli.exporters.snippet import onnx_snippet, openvino_snippet, torch_snippet
from vireid_cli.exporters.verify import Runner, verified_difference
from vireid_cli.files import refuse_unwritable
from vireid_cli.folders import publish, staging
from vireid_cli.results.export import AccuracyChange, ExportRecord, hashes_of, write_record
from vireid_cli.results.run import RunFolder


@dataclass(frozen=True)
class ExportResult:
    """An export.

    Attributes:
        run: The exported run.
        files: The written files.
        record: File with their names and hashes; see ``results.export``.
        content: Content of the record.
        snippet: Lines of Python that run the first file without vireid.
    """

    run: RunFolder
    files: tuple[Path, ...]
    record: Path
    content: ExportRecord
    snippet: str = field(repr=False)


@dataclass(frozen=True)
class Quantisation:
    """Options of a quantised export.

    Attributes:
        images: Number of calibration images of the training split.
        check_on: Identities that measure the file: ``val``, or ``test`` for datasets without them.
    """

    images: int = CALIBRATION
    check_on: CheckSplit = "val"


def export_run(
    run: RunFolder,
    session: Session,
    *,
    layout: Layout = "single",
    preprocessing: bool = False,
    quantise: Quantisation | None = None,
    out: Path | None = None,
) -> ExportResult:
    """Export a run's network to ONNX, on the CPU for any device of the session.

    Args:
        run: The run.
        session: Reporter, and the folder of the run's dataset with the images for verification.
        layout: ``single``: one file, with the modality of each image as input; ``split``: one file per
            modality; ``joint``: one file with an input per modality.
        preprocessing: The files take uint8 images of any size and resize them.
        quantise: Write 8-bit integers, for the layout ``single`` without preprocessing; None: float32.
        out: Folder of the files; None: ``exports`` in the run folder.

    Raises:
        UsageError: ``out`` is a file, the run has no checkpoint, or options exclude each other.
        MissingExtra: The packages of the extra ``export`` are not installed.
        VireidError: The exported network differs from PyTorch by more than 1e-4, or loses more than 0.5
            points of Rank-1 or mAP by quantisation.
    """
    folder = _folder(run, out)
    if quantise is not None and (layout != "single" or preprocessing):
        raise UsageError(
            "A quantised file has the layout single, without preprocessing.",
            "Remove --quantize, or --split, --layout and --with-preprocessing.",
        )
    onnx.require_packages()
    subject = _start(run, session)
    if quantise is not None:
        return _export_int8(subject, folder, quantise)
    rule = subject.resize if preprocessing else None
    identifier = subject.identifier(layout=layout, size=size_name(subject.size), any_size=preprocessing)
    marked = {**subject.metadata, "export": identifier}
    export = onnx.export_onnx(
        subject.trained.network,
        folder,
        subject.samples,
        layout=layout,
        preprocessing=rule,
        metadata=marked,
    )
    record = ExportRecord(
        identifier=identifier,
        layout=layout,
        any_size=preprocessing,
        files=hashes_of(export.files),
        metadata=subject.origin,
        largest_difference=export.largest_difference,
        images=export.images,
        opset=export.opset,
        nodes=export.nodes,
    )
    snippet = onnx_snippet(export.files[-1], layout, subject.size, subject.resize, preprocessing)
    return _finish(subject, export.files, record, snippet)


def _export_int8(subject: ExportSubject, folder: Path, options: Quantisation) -> ExportResult:
    """Export to ONNX in 8-bit integers."""
    identifier = subject.identifier(precision="int8", images=options.images, check_on=options.check_on)
    plan = check_plan(subject, options.check_on)
    with staging(folder, "onnx") as new:
        metadata = {**subject.metadata, "export": identifier, "precision": "int8"}
        source = onnx.export_onnx(
            subject.trained.network, new, subject.samples, layout="single", metadata=metadata
        )
        path = new / "model-int8.onnx"
        subject.session.reporter.info(f"calibrating on {options.images} training images")
        onnx_int8.quantise(source.files[-1], path, calibration_batches(subject, options.images))
        run = onnx.runner(path)
        difference = _difference(subject, run, path.name, "onnxruntime")
        change = accuracy_change(subject, _embedder(run), plan, options.check_on)
        refuse_loss(change, path.name)
        (published,) = publish([path], folder)
    record = _record(subject, identifier, [published], difference, change).model_copy(
        update={"format": "onnx", "precision": "int8", "opset": source.opset}
    )
    snippet = onnx_snippet(published, "single", subject.size, subject.resize, False)
    return _finish(subject, (published,), record, snippet)


def export_torch_run(
    run: RunFolder,
    session: Session,
    *,
    layout: Layout = "single",
    preprocessing: bool = False,
    compiled: bool = False,
    out: Path | None = None,
) -> ExportResult:
    """Export a run's network as a program of PyTorch, ``.pt2``; arguments and errors as ``export_run``.

    Args:
        compiled: Write a package that is compiled for this processor, instead of a portable program.
    """
    folder = _folder(run, out)
    subject = _start(run, session)
    identifier = subject.identifier(layout=layout, any_size=preprocessing, compiled=compiled)
    export = torch_program.export_torch(
        subject.trained.network,
        folder,
        subject.samples,
        layout=layout,
        preprocessing=subject.resize if preprocessing else None,
        compiled=compiled,
        metadata={**subject.metadata, "export": identifier},
    )
    record = _record(subject, identifier, export.files, export.largest_difference, None).model_copy(
        update={"format": "aoti" if compiled else "torch", "layout": layout, "any_size": preprocessing}
    )
    snippet = torch_snippet(
        export.files[0], layout, subject.size, subject.resize, preprocessing, aoti=compiled
    )
    return _finish(subject, export.files, record, snippet)


def export_openvino_run(
    run: RunFolder,
    session: Session,
    *,
    precision: OpenvinoPrecision = "fp16",
    quantisation: Quantisation | None = None,
    out: Path | None = None,
) -> ExportResult:
    """Export a run's network for OpenVINO, one file for both modalities; errors as ``export_run``.

    Args:
        precision: ``fp16``, or ``int8`` with calibration on the training split.
        quantisation: Options of ``int8``; None: the defaults.
    """
    folder = _folder(run, out)
    onnx.require_packages()
    openvino.require_packages(precision)
    subject = _start(run, session)
    options = quantisation or Quantisation()
    plan = check_plan(subject, options.check_on) if precision == "int8" else None
    identifier = subject.identifier(precision=precision, images=options.images, check_on=options.check_on)
    with staging(folder, "openvino") as new, torch.no_grad():
        program = programs_of(subject.trained.network, subject.samples, "single")[0]
        metadata = {**subject.metadata, "export": identifier, "precision": precision, **description(program)}
        source = onnx.export_onnx(
            subject.trained.network, new, subject.samples, layout="single", metadata=metadata
        )
        calibration = calibration_batches(subject, options.images) if plan else []
        path = new / f"model-{precision}.xml"
        parts = openvino.convert(source.files[-1], path, precision, metadata, calibration)
        exact, _ = openvino.open_openvino(path, precise=True)
        limit = FLOAT16_LIMIT if precision == "fp16" else float("inf")
        difference = _difference(subject, exact, path.name, "OpenVINO", limit)
        change = None
        if plan is not None:
            change = accuracy_change(
                subject, _embedder(openvino.open_openvino(path)[0]), plan, options.check_on
            )
            refuse_loss(change, path.name)
        files = publish(parts, folder)
    record = _record(subject, identifier, files, difference, change).model_copy(
        update={"format": "openvino", "precision": precision}
    )
    return _finish(subject, files, record, openvino_snippet(files[-1], subject.size, subject.resize))


def _folder(run: RunFolder, out: Path | None) -> Path:
    """Return the folder of the files; raises ``UsageError`` if it is a file, ``DataError`` if unwritable."""
    folder = out or run.exports
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file, not a folder.")
    refuse_unwritable(folder)
    return folder


def _start(run: RunFolder, session: Session) -> ExportSubject:
    """Load the run, and report the start of the export."""
    subject = export_subject(run, session)
    session.reporter.info(f"exporting {run.folder} at {size_name(subject.size)}")
    return subject


def _difference(
    subject: ExportSubject, run: Runner, name: str, runtime: str, limit: float = float("inf")
) -> float:
    """Largest difference of a file of the layout ``single`` from PyTorch, on the sample images."""
    program = programs_of(subject.trained.network, subject.samples, "single")[0]
    with torch.no_grad():
        return verified_difference(program, lambda: run, name, runtime, limit)


def _embedder(run: Runner) -> EmbedBatch:
    """Function of images and codes, of a file of the layout ``single``."""
    return lambda images, codes: np.asarray(run([images, codes])[0])


def _record(
    subject: ExportSubject,
    identifier: str,
    files: Sequence[Path],
    difference: float,
    change: AccuracyChange | None,
) -> ExportRecord:
    """Create the record of files of the layout ``single``."""
    return ExportRecord(
        identifier=identifier,
        layout="single",
        files=hashes_of(files),
        metadata=subject.origin,
        largest_difference=difference,
        images=sum(len(images) for images in subject.samples.values()),
        accuracy=change,
    )


def _finish(
    subject: ExportSubject, files: tuple[Path, ...], record: ExportRecord, snippet: str
) -> ExportResult:
    """Write the record, and return the result."""
    return ExportResult(subject.run, files, write_record(files[0].parent, record), record, snippet)
