"""The verbs of the occlusion room: draw or read a library, write an occluded dataset, verify it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vireid_cli.data.decode import Decoder
from vireid_cli.data.identity import decoder_of
from vireid_cli.data.sources import load_source, source_names
from vireid_cli.data.store import locate
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.files import refuse_unwritable
from vireid_cli.occlusion.build import OccludedTree, build_occluded, check_part
from vireid_cli.occlusion.coco import read_coco
from vireid_cli.occlusion.detect import Detector, MaskRcnn, YoloSeg
from vireid_cli.occlusion.drawing.catalogue import DESIGNS, build_builtin
from vireid_cli.occlusion.extract import detect_folder, extract
from vireid_cli.occlusion.library import INDEX, Library, read_library, write_library
from vireid_cli.occlusion.mark import OcclusionOptions, verify_occluded
from vireid_cli.occlusion.policy import DEFAULT_PRESETS, preset
from vireid_cli.occlusion.refine import MaskRefiner, Sam, grabcut, keep
from vireid_cli.types import RecordTable

SAM_KINDS = ("vit_b", "vit_l", "vit_h")
"""Sizes of SAM."""

LIBRARY = "occluders"
"""Folder of the library under the data directory."""


def ensure_library(folder: Path | None, session: Session) -> Library:
    """The library in ``folder``; without one the built-in library, drawn now where it isn't there yet.

    Raises:
        UsageError: ``folder`` is given and holds none.
        DataError: It is damaged.
    """
    usual = session.data_dir / LIBRARY
    if folder is None and not (usual / INDEX).is_file():
        session.reporter.info(f"drawing the built-in occluders into {usual} first")
        return build_builtin(usual, progress=session.reporter.progress("drawing"))
    library = read_library(folder or usual)
    if not library.sealed:
        session.reporter.warn(
            f"{(folder or usual) / INDEX} was written without a hash: damage to it can't be noticed"
        )
    return library


@dataclass(frozen=True, slots=True)
class MadeLibrary:
    """A library that was made.

    Attributes:
        library: It.
        folder: Where it lies.
        skipped: How many instances were left out, by reason.
    """

    library: Library
    folder: Path
    skipped: dict[str, int]


def make_library(
    folder: Path | None,
    session: Session,
    *,
    categories: Sequence[str] = (),
    coco: Path | None = None,
    images: Path | None = None,
    detector: str | None = None,
    weights: str = "torchvision",
    refine: str = "none",
    sam_weights: Path | None = None,
    sam_kind: str = "vit_b",
) -> MadeLibrary:
    """Draw the built-in library, or cut one out of photographs.

    Args:
        folder: Folder of the library; None: its usual place under the data directory.
        session: Device, listener, folders.
        categories: Of the built-in library; none: all.
        coco: Annotation file.
        images: Folder of photographs.
        detector: ``maskrcnn`` or the path of a YOLOv8-seg network in an ONNX file.
        weights: Of Mask R-CNN.
        refine: ``none``, ``grabcut`` or ``sam``.
        sam_weights: SAM's checkpoint.
        sam_kind: SAM's size.

    Raises:
        UsageError: Options that do not go together, something that is not there, or nothing found.
        DataError: The folder can't be written into; found out before anything is drawn or cut out.
    """
    folder = folder or session.data_dir / LIBRARY
    unknown = sorted(set(categories) - set(DESIGNS))
    if unknown:
        raise UsageError(f"There is no category '{unknown[0]}'.", f"There are: {', '.join(DESIGNS)}")
    if coco is None and images is None and detector is None:
        if refine != "none":
            raise UsageError(f"--refine {refine} sharpens masks of photographs.", "Give --images, too.")
        library = build_builtin(folder, categories, progress=session.reporter.progress("drawing"))
        return MadeLibrary(library, folder, {})
    if images is None or (coco is None) == (detector is None) or categories:
        raise UsageError(
            "Photographs need --images, and either --coco or --detector; "
            "--category is for the built-in library."
        )
    for path, option in ((coco, "--coco"), (sam_weights, "--sam-weights")):
        if path is not None and not path.is_file():
            raise UsageError(f"{option} {path}: there is no such file.")
    if not images.is_dir():
        raise UsageError(f"--images {images}: there is no such folder.")
    if detector not in (None, "maskrcnn"):
        _yolo_path(str(detector))
    if refine == "sam" and sam_weights is None:
        raise UsageError("--refine sam needs SAM's checkpoint.", "--sam-weights sam_vit_b_01ec64.pth")
    if refine == "sam" and sam_kind not in SAM_KINDS:
        raise UsageError(f"--sam-kind {sam_kind}: expected one of {', '.join(SAM_KINDS)}.")
    refuse_unwritable(folder)
    skipped: Counter[str] = Counter()
    refiner = _refiner(refine, sam_weights, sam_kind)
    if coco is not None:
        decode = Decoder().decode  # annotations are in the coordinates of images as stored
        found = read_coco(coco, images, skipped)
    else:
        decode = Decoder(upright=True).decode
        found = detect_folder(images, _detector(str(detector), weights), decode, skipped)
    things = list(extract(found, refiner, decode, skipped))
    if not things:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in skipped.most_common())
        raise UsageError(
            "No occluder passed the rules: nothing is written.", f"Left out, {reasons}" if reasons else ""
        )
    return MadeLibrary(write_library(folder, "coco" if coco else "detected", things), folder, dict(skipped))


def _detector(name: str, weights: str) -> Detector:
    if name == "maskrcnn":
        return MaskRcnn.load(weights)
    return YoloSeg(_yolo_path(name))


def _yolo_path(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".onnx" or not path.is_file():
        raise UsageError(f"--detector {name}: expected 'maskrcnn' or the path of an .onnx file that exists.")
    return path


def _refiner(name: str, sam_weights: Path | None, sam_kind: str) -> MaskRefiner:
    if name == "sam":
        if sam_weights is None:
            raise UsageError("--refine sam needs SAM's checkpoint.", "--sam-weights sam_vit_b_01ec64.pth")
        return Sam(sam_weights, sam_kind)
    return grabcut if name == "grabcut" else keep


def people_of(base: str, root: Path, trial: int = 1) -> RecordTable:
    """A dataset's records, with one trial's splits where it has several."""
    records = load_source(base).scan(root).records
    return records.in_trial(trial) if records.trials else records


def occluded_root(base: str, session: Session, root: Path | None = None) -> tuple[Path, Path]:
    """The base's root, and where its occluded tree goes.

    Raises:
        UsageError: No such dataset, it is not there, or it has no occluded form.
    """
    name = f"occ-{base}"
    if name not in source_names():
        known = [n.removeprefix("occ-") for n in source_names() if n.startswith("occ-")]
        raise UsageError(f"'{base}' has no occluded form.", f"There is one of: {', '.join(known)}")
    located = locate(base, session.data_dir)
    place = session.data_dir / "rendered" if located.rendered else session.data_dir
    return located.root, root or place / load_source(name).FOLDER


def occlude(
    base: str,
    session: Session,
    *,
    preset_name: str | None = None,
    changes: dict[str, Any] | None = None,
    seed: int = 0,
    library: Path | None = None,
    root: Path | None = None,
    part: tuple[int, int] = (1, 1),
    trial: int = 1,
    workers: int | None = None,
) -> OccludedTree:
    """Write the occluded tree of a dataset.

    Args:
        base: Name of the dataset.
        session: Device, listener, folders.
        preset_name: A preset; None: the dataset's usual one.
        changes: Switches of the policy to set instead.
        seed: Of every draw.
        library: Folder of a library; None: the built-in one.
        root: Where to; None: beside the base.
        part: (i, n), where the work is split over machines.
        trial: Whose split decides on roles, for a dataset that is split anew in each (RegDB).
        workers: Processes.

    Raises:
        UsageError: Something named is not there, or the folder holds something else.
        DataError: A layout or a library that can't be used, or a disk that can't be written.
    """
    check_part(part)
    source, target = occluded_root(base, session, root)
    name = preset_name or DEFAULT_PRESETS.get(base, "occ-all")
    policy = replace(preset(name), **(changes or {}))
    refuse_unwritable(target)
    scanned = load_source(base).scan(source)
    records = scanned.records
    if trial != 1 and not 1 <= trial <= records.trials:
        raise UsageError(f"--trial {trial}: {load_source(base).TITLE} has {records.trials or 'no'} trials.")
    decoder = decoder_of(base, session.data_dir, source, records, scanned.report.provenance)
    noted = decoder.as_json() if decoder.differences else None
    options = OcclusionOptions(base, name, policy, seed, trial=trial if records.trials else 0, decoder=noted)
    records = records.in_trial(trial) if records.trials else records
    things = ensure_library(library, session)
    return build_occluded(
        records,
        source,
        target,
        things,
        options,
        decoder.decode,
        part=part,
        workers=workers,
        progress=session.reporter.progress("occluding"),
    )


def verify(base: str, session: Session, root: Path | None = None) -> list[str]:
    """Differences between an occluded tree and what was written, and how to repair it."""
    target = occluded_root(base, session, root)[1]
    found = verify_occluded(target, progress=session.reporter.progress("verifying"))
    command = f"vireid prepare occluded --from {base} --root {shlex.quote(str(target))}"
    return [*found, f"to repair: {command}, with the options of the first time"] if found else []
