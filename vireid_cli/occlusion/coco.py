"""Instances of a COCO annotation file: polygons, and run lengths plain or compressed."""

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
from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.occlusion.categories import CATEGORIES


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing in one image.

    Attributes:
        category: A key of ``CATEGORIES``.
        score: Confidence in [0, 1]; 1 for an annotation.
        box: (left, top, right, bottom) in pixels.
        mask: (H, W) bool, of the whole image.
    """

    category: str
    score: float
    box: tuple[float, float, float, float]
    mask: np.ndarray


def mask_of(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Rasterise an annotation's ``segmentation`` as COCO's own code does (``pycocotools``).

    Values are checked first: ``pycocotools`` takes all of the memory for a vertex that is no number.

    Args:
        segmentation: Polygons, run lengths, or compressed run lengths.
        size: (height, width) of the image in pixels.

    Returns:
        (H, W) bool mask.

    Raises:
        ValueError: It is none of the three forms, does not fit the image, or is damaged.
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
    """COCO's compressed form of plain or compressed run lengths that cover the image exactly."""
    shape = tuple(segmentation["size"])
    if shape != size:
        raise ValueError(f"its mask is {'×'.join(map(str, shape))}, the image {size[0]}×{size[1]}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        # decoded here: pycocotools writes beyond its memory for counts that do not fit the image
        counts = _decompressed(counts)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError("a run length is not a whole number from 0")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"runs add up to {sum(counts)} pixels, the image has {size[0] * size[1]}")
    return dict(rle.frPyObjects({"size": list(size), "counts": counts}, *size))


def _decompressed(text: str) -> list[int]:
    """Run lengths of COCO's compressed form: 5 bits per character, differences from the third run on.

    Raises:
        ValueError: A character outside the form, or an end within a number.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 30:
            raise ValueError("compressed run lengths that are damaged")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths that end within a number")
    return runs


def _rings(segmentation: Any, size: tuple[int, int]) -> list[list[float]]:
    """Polygons as lists x, y, x, y, …, checked: finite, at least three corners, near the image."""
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("no polygon and no run lengths")
    rings = []
    for ring in segmentation:
        corners = np.asarray(ring, dtype=np.float64)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
            raise ValueError("a polygon has no three corners")
        points = corners.reshape(-1, 2)
        height, width = size
        near = (points >= (-width, -height)) & (points <= (2 * width, 2 * height))
        if not near.all():  # false for NaN, too
            raise ValueError("a corner of a polygon is far outside the image")
        rings.append(corners.tolist())
    return rings


Side = Annotated[int, Field(ge=1, le=1 << 15)]
"""Pixels of a side of an image."""


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
    """The parts of an annotation file that are used."""

    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def read_coco(path: Path, folder: Path, skipped: Counter[str]) -> Iterator[tuple[Path, str, list[Instance]]]:
    """Image file, source name and instances of each annotated image, in the order of file names.

    Args:
        path: The annotation file.
        folder: Where its images are.
        skipped: Counts what was left out, by reason.

    Raises:
        UsageError: The file or the folder is not there, or no category is one of ours.
        DataError: The file is not of COCO's form.
        MissingExtra: ``pycocotools`` is not installed.
    """
    _pycocotools()  # before anything is read
    if not path.is_file() or not folder.is_dir():
        raise UsageError(f"{path if not path.is_file() else folder} does not exist.", "--coco and --images")
    hint = "Expected COCO's form: categories, images and annotations."
    content = documents.read_form(path, _CocoFile, hint=hint)
    names = {category.id: category.name.lower() for category in content.categories}
    images = sorted(content.images, key=lambda image: image.file_name)
    of_image: dict[int, list[_Annotation]] = {}
    for annotation in content.annotations:
        of_image.setdefault(annotation.image_id, []).append(annotation)
    if not set(names.values()) & set(CATEGORIES):
        raise UsageError(
            f"{path}: none of its categories can be an occluder ({', '.join(sorted(names.values())[:8])}).",
            f"Known: {', '.join(CATEGORIES)}",
        )
    for image in images:
        size = (image.height, image.width)
        found = [_instance(a, names, size, skipped) for a in of_image.get(image.id, [])]
        kept = [instance for instance in found if instance is not None]
        if kept:
            yield folder / image.file_name, image.file_name, kept


def _instance(
    annotation: _Annotation, names: dict[int, str], size: tuple[int, int], skipped: Counter[str]
) -> Instance | None:
    category = names.get(annotation.category_id, "")
    if category not in CATEGORIES:
        skipped["another category"] += 1
        return None
    if annotation.iscrowd:
        skipped["a crowd"] += 1
        return None
    try:
        mask = mask_of(annotation.segmentation, size)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        skipped["a mask that can't be read"] += 1
        return None
    if not mask.any():
        skipped["an empty mask"] += 1
        return None
    return Instance(category, 1.0, box_of(mask), mask)


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a mask that is not empty; right and bottom are one past it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
