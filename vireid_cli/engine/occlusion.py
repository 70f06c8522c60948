"""Verbs of the package ``occlusion``: create a library, write an occluded dataset, verify it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vireid_cli.data import records_file
from vireid_cli.data.decode import Decoder
from vireid_cli.data.identity import decoder_of, is_prepared
from vireid_cli.data.locate import locate
from vireid_cli.data.provenance import occluding_command
from vireid_cli.data.sources import load_source
from vireid_cli.data.store import open_store
from vireid_cli.dataset_names import source_names
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.files import data_option, refuse_unwritable
from vireid_cli.occlusion.build import OccludedTree, build_occluded, check_part, refuse_nested
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
"""Folder of the library in the data directory."""


def ensure_library(folder: Path | None, session: Session) -> Library:
    """Read the library in ``folder``, or the built-in library, which is drawn first if it is missing.

    Raises:
        UsageError: ``folder`` has no library.
        DataError: The library is damaged.
    """
    default = session.data_dir / LIBRARY
    if folder is None and not (default / INDEX).is_file():
        session.reporter.info(f"drawing the built-in occluders in {default} first")
        return build_builtin(default, progress=session.reporter.progress("drawing"))
    library = read_library(folder or default)
    if not library.sealed:
        session.reporter.warn(
            f"{(folder or default) / INDEX} has no hash (an old format): damage to it can't be detected"
        )
    return library


@dataclass(frozen=True, slots=True)
class NewLibrary:
    """A new library of occluders.

    Attributes:
        library: The library.
        folder: Its folder.
        skipped: Number of skipped instances by reason.
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
) -> NewLibrary:
    """Draw the built-in library, or extract one from photographs.

    Args:
        folder: Folder of the library; None: ``occluders`` in the data directory.
        session: Device, reporter and folders.
        categories: Categories of the built-in library; empty: all.
        coco: Annotation file of the photographs.
        images: Folder of photographs.
        detector: ``maskrcnn``, or the path of a YOLOv8-seg network in an ONNX file.
        weights: Weights of Mask R-CNN.
        refine: Refinement of the masks: ``none``, ``grabcut`` or ``sam``.
        sam_weights: Checkpoint of SAM.
        sam_kind: Size of SAM.

    Raises:
        UsageError: Options contradict each other, a file is missing, or no occluder passes the rules.
        DataError: The folder is not writable; raised before any work.
    """
    folder = folder or session.data_dir / LIBRARY
    unknown = sorted(set(categories) - set(DESIGNS))
    if unknown:
        raise UsageError(f"There is no category '{unknown[0]}'.", f"Choose: {', '.join(DESIGNS)}")
    if coco is None and images is None and detector is None:
        if refine != "none":
            raise UsageError(f"--refine {refine} applies to masks of photographs.", "Set --images, too.")
        library = build_builtin(folder, categories, progress=session.reporter.progress("drawing"))
        return NewLibrary(library, folder, {})
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
    refiner = _refiner(refine, sam_weights, sam_kind)
    refuse_unwritable(folder)
    return _extract(folder, images, coco, detector, weights, refiner)


def _extract(
    folder: Path,
    images: Path,
    coco: Path | None,
    detector: str | None,
    weights: str,
    refine: Callable[[], MaskRefiner],
) -> NewLibrary:
    """Extract occluders from photographs, by annotations or a detector, and write the library."""
    skipped: Counter[str] = Counter()
    refiner = refine()
    if coco is not None:
        decode = Decoder().decode  # annotations are in the coordinates of images as stored
        instances = read_coco(coco, images, skipped)
    else:
        decode = Decoder(upright=True).decode
        instances = detect_folder(images, _detector(str(detector), weights), decode, skipped)
    occluders = list(extract(instances, refiner, decode, skipped))
    if not occluders:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in skipped.most_common())
        raise UsageError(
            "No occluder passed the rules; the library is not written.",
            f"Skipped, {reasons}" if reasons else "",
        )
    library = write_library(folder, "coco" if coco else "detected", occluders)
    return NewLibrary(library, folder, dict(skipped))


def _detector(name: str, weights: str) -> Detector:
    if name == "maskrcnn":
        return MaskRcnn.load(weights)
    return YoloSeg(_yolo_path(name))


def _yolo_path(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".onnx" or not path.is_file():
        raise UsageError(f"--detector {name}: expected 'maskrcnn' or the path of an .onnx file that exists.")
    return path


def _refiner(name: str, sam_weights: Path | None, sam_kind: str) -> Callable[[], MaskRefiner]:
    """Check the options of a mask refiner, and return a function that loads it."""
    if name != "sam":
        return lambda: grabcut if name == "grabcut" else keep
    if sam_weights is None:
        raise UsageError("--refine sam needs SAM's checkpoint.", "--sam-weights sam_vit_b_01ec64.pth")
    if sam_kind not in SAM_KINDS:
        raise UsageError(f"--sam-kind {sam_kind}: expected one of {', '.join(SAM_KINDS)}.")
    return partial(Sam, sam_weights, sam_kind)


def people_of(base: str, root: Path, trial: int = 1) -> RecordTable:
    """Return a dataset's records, with the splits of ``trial`` if it has several trials."""
    records = records_file.scan(base, root).records
    return records.in_trial(trial) if records.trials else records


def base_of(dataset: str, session: Session) -> tuple[Path, bool]:
    """Return the root of a dataset's images and whether they are rendered.

    The root is that of the prepared store, so that the images are those of training and evaluation. Without a
    store, or if its root no longer exists, it is the usual place in the data directory.

    Raises:
        UsageError: The dataset is unknown or missing.
    """
    if is_prepared(dataset, session.data_dir):
        store = open_store(session.data_dir, dataset)
        if store.info.root.is_dir():
            return store.info.root, store.rendered
    located = locate(dataset, session.data_dir)
    return located.root, located.rendered


def occluded_root(base: str, session: Session, root: Path | None = None) -> tuple[Path, Path]:
    """Return the root of the base dataset and the root of its occluded tree.

    Raises:
        UsageError: The dataset is unknown or missing, or has no occluded form.
    """
    name = f"occ-{base}"
    if name not in source_names():
        bases = [n.removeprefix("occ-") for n in source_names() if n.startswith("occ-")]
        raise UsageError(f"'{base}' has no occluded form.", f"Choose: {', '.join(bases)}")
    source, rendered = base_of(base, session)
    place = session.data_dir / "rendered" if rendered else session.data_dir
    return source, root or place / load_source(name).FOLDER


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
        session: Device, reporter and folders.
        preset_name: Preset of the policy; None: the dataset's default.
        changes: Values of the policy that replace those of the preset.
        seed: Seed of all draws.
        library: Folder of a library; None: the built-in one.
        root: Root of the occluded tree; None: beside the base.
        part: (i, n): write part i of n, for several machines.
        trial: Trial of the splits that decide the images' roles, for datasets with several (RegDB).
        workers: Number of processes; None: one per core.

    Raises:
        UsageError: The dataset, preset or library does not exist, or ``root`` has other content.
        DataError: The layout or the library is unusable, or the folder is not writable.
    """
    check_part(part)
    source, target = occluded_root(base, session, root)
    refuse_nested(source, target)
    session.reporter.info(f"occluding the images in {source}")
    name = preset_name or DEFAULT_PRESETS.get(base, "occ-all")
    policy = replace(preset(name), **(changes or {}))
    refuse_unwritable(target)
    scanned = records_file.scan(base, source)
    records = scanned.records
    if trial != 1 and not 1 <= trial <= records.trials:
        raise UsageError(f"--trial {trial}: {load_source(base).TITLE} has {records.trials or 'no'} trials.")
    decoder = decoder_of(base, session.data_dir, source, records, scanned.report.provenance)
    decoding = decoder.as_json() if decoder.differences else None
    numbered = trial if records.trials else 0
    options = OcclusionOptions(base, name, policy, seed, trial=numbered, decoder=decoding)
    records = records.in_trial(trial) if records.trials else records
    occluders = ensure_library(library, session)
    return build_occluded(
        records,
        source,
        target,
        occluders,
        options,
        decoder.decode,
        part=part,
        workers=workers,
        progress=session.reporter.progress("occluding"),
    )


def verify(base: str, session: Session, root: Path | None = None) -> list[str]:
    """List differences of an occluded tree from its hashes, and how to repair it."""
    target = occluded_root(base, session, root)[1]
    damage = verify_occluded(target, progress=session.reporter.progress("verifying"))
    command = occluding_command(base, target, data_option(session.data_dir))
    return [*damage, f"to repair: {command}, with the original options"] if damage else []
