"""Instances of a COCO annotation file: polygons, and plain or compressed run lengths."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from vireid_cli import documents
from vireid_cli.counts import size_name
from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.occlusion.categories import CATEGORIES


@dataclass(frozen=True, slots=True)
class Instance:
    """One object in one image.

    Attributes:
        category: A key of ``CATEGORIES``.
        score: Confidence in [0, 1]; 1 for an annotation.
        box: (left, top, right, bottom) in pixels.
        mask: (H, W) bool, at the size of the image.
    """

    category: str
    score: float
    box: tuple[float, float, float, float]
    mask: np.ndarray


def mask_of(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Rasterise an annotation's ``segmentation`` with COCO's code (``pycocotools``).

    Values are validated first: ``pycocotools`` allocates all memory for a vertex that is not a number.

    Args:
        segmentation: Polygons, run lengths, or compressed run lengths.
        size: (height, width) of the image in pixels.

    Returns:
        (H, W) bool mask.

    Raises:
        ValueError: The segmentation has another form, does not fit the image, or is damaged.
        MissingExtra: ``pycocotools`` is not installed.
    """
    rle = _pycocotools()
    if isinstance(segmentation, dict):
        encoded = _run_lengths(rle, segmentation, size)
    else:
        encoded = rle.merge(rle.frPyObjects(_rings(segmentation, size), *size))
    return np.asarray(rle.decode(encoded), dtype=bool)


def _pycocotools() -> ModuleType:
    try:
        return importlib.import_module("pycocotools.mask")
    except ImportError as error:
        raise MissingExtra("pycocotools", "coco", "Importing COCO annotations") from error


def _run_lengths(rle: ModuleType, segmentation: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Validate plain or compressed run lengths, and return them in COCO's compressed form."""
    shape = tuple(segmentation["size"])
    if shape != size:
        raise ValueError(f"mask of {size_name(shape)} for an image of {size_name(size)}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        # pycocotools writes beyond its memory if it decodes counts that do not fit the image
        counts = _decompressed(counts)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError("a run length is negative or no integer")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"runs of {sum(counts)} pixels for an image of {size[0] * size[1]} pixels")
    return dict(rle.frPyObjects({"size": list(size), "counts": counts}, *size))


def _decompressed(text: str) -> list[int]:
    """Decode COCO's compressed run lengths: 5 bits per character, differences from the third run on.

    Raises:
        ValueError: A character is invalid, or the text ends within a number.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 30:
            raise ValueError("damaged compressed run lengths")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("incomplete compressed run lengths")
    return runs


def _rings(segmentation: Any, size: tuple[int, int]) -> list[list[float]]:
    """Validate polygons x, y, x, y, …: finite, at least three corners, near the image."""
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("neither polygons nor run lengths")
    rings = []
    for ring in segmentation:
        corners = np.asarray(ring, dtype=np.float64)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
            raise ValueError("a polygon has fewer than three corners, or an odd number of values")
        points = corners.reshape(-1, 2)
        height, width = size
        near = (points >= (-width, -height)) & (points <= (2 * width, 2 * height))
        if not near.all():  # NaN compares as False
            raise ValueError("a corner of a polygon is far outside of the image")
        rings.append(corners.tolist())
    return rings


Side = Annotated[int, Field(ge=1, le=1 << 15)]
"""Height or width of an image in pixels."""


class _Category(BaseModel):
    id: int
    name: str


class _Image(BaseModel):
    id: int
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    height: Side
    width: Side


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    segmentation: Any = None
    iscrowd: bool = False


class _CocoFile(BaseModel):
    """Schema of the required parts of an annotation file."""

    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def read_coco(path: Path, folder: Path, skipped: Counter[str]) -> Iterator[tuple[Path, str, list[Instance]]]:
    """Yield file, source name and instances of each annotated image, sorted by file name.

    Args:
        path: Annotation file.
        folder: Folder of its images.
        skipped: Number of skipped annotations by reason; updated.

    Raises:
        UsageError: The file or folder does not exist, or has no category of an occluder.
        DataError: The file is not a COCO annotation file.
        MissingExtra: ``pycocotools`` is not installed.
    """
    _pycocotools()  # raises before the file is read
    if not path.is_file() or not folder.is_dir():
        missing = path if not path.is_file() else folder
        raise UsageError(f"{missing} does not exist.", "Check the paths of --coco and --images.")
    hint = "Expected COCO's form: categories, images and annotations."
    content = documents.check_form(documents.read_json(path, hint=hint), _CocoFile, str(path), hint=hint)
    names = {category.id: category.name.lower() for category in content.categories}
    images = sorted(content.images, key=lambda image: image.file_name)
    of_image: dict[int, list[_Annotation]] = {}
    for annotation in content.annotations:
        of_image.setdefault(annotation.image_id, []).append(annotation)
    if not set(names.values()) & set(CATEGORIES):
        raise UsageError(
            f"{path}: no category is a supported occluder ({', '.join(sorted(names.values())[:8])}).",
            f"Supported: {', '.join(CATEGORIES)}",
        )
    for image in images:
        size = (image.height, image.width)
        candidates = [_instance(a, names, size, skipped) for a in of_image.get(image.id, [])]
        instances = [instance for instance in candidates if instance is not None]
        if instances:
            yield folder / image.file_name, image.file_name, instances


def _instance(
    annotation: _Annotation, names: dict[int, str], size: tuple[int, int], skipped: Counter[str]
) -> Instance | None:
    """Convert an annotation, or return None and count the reason in ``skipped``."""
    category = names.get(annotation.category_id, "")
    if category not in CATEGORIES:
        skipped["unsupported category"] += 1
        return None
    if annotation.iscrowd:
        skipped["crowd"] += 1
        return None
    try:
        mask = mask_of(annotation.segmentation, size)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        skipped["unreadable mask"] += 1
        return None
    if not mask.any():
        skipped["empty mask"] += 1
        return None
    return Instance(category, 1.0, box_of(mask), mask)


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Bounding box (left, top, right, bottom) of a mask that is not empty; right and bottom are exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
