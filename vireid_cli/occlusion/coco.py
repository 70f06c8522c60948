"""Instances of a COCO annotation file: polygons, and run lengths plain or compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import read_json
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


def expand_counts(counts: list[int], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of run lengths in column order, zeros first.

    Raises:
        ValueError: The runs do not add up to the image.
    """
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"runs add up to {sum(counts)} pixels, the image has {size[0] * size[1]}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size, order="F")


def read_counts(text: str) -> list[int]:
    """Run lengths of COCO's compressed text.

    Each number is written in base 32, low digits first, in characters from code 48; bit 5 says that more
    follow, bit 4 of the last that it is negative; from the fourth on, a number is the difference to the
    one two before it.

    Raises:
        ValueError: The text ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the compressed run lengths end within a number")
    return counts


def mask_of(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of an annotation's ``segmentation``.

    Raises:
        ValueError: It is none of the three forms.
    """
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        shape = (int(segmentation["size"][0]), int(segmentation["size"][1]))
        if shape != size:
            raise ValueError(f"its mask is {shape[0]}×{shape[1]}, the image {size[0]}×{size[1]}")
        return expand_counts(read_counts(counts) if isinstance(counts, str) else counts, size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("no polygon and no run lengths")
    mask = np.zeros(size, np.uint8)
    for ring in segmentation:
        corners = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
        cv2.fillPoly(mask, [np.floor(corners).astype(np.int32)], 1)
    return mask > 0


def read_coco(path: Path, folder: Path, skipped: Counter[str]) -> Iterator[tuple[Path, str, list[Instance]]]:
    """Image file, source name and instances of each annotated image, in the order of file names.

    Args:
        path: The annotation file.
        folder: Where its images are.
        skipped: Counts what was left out, by reason.

    Raises:
        UsageError: The file or the folder is not there, or no category is one of ours.
        DataError: The file is not of COCO's form.
    """
    if not path.is_file() or not folder.is_dir():
        raise UsageError(f"{path if not path.is_file() else folder} does not exist.", "--coco and --images")
    content = read_json(path)
    try:
        names = {int(c["id"]): str(c["name"]).lower() for c in content["categories"]}
        images = sorted(content["images"], key=lambda image: str(image["file_name"]))
        of_image: dict[int, list[dict[str, Any]]] = {}
        for annotation in content["annotations"]:
            of_image.setdefault(int(annotation["image_id"]), []).append(annotation)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a COCO annotation file: {error!r}") from error
    if not set(names.values()) & set(CATEGORIES):
        raise UsageError(
            f"{path}: none of its categories can be an occluder ({', '.join(sorted(names.values())[:8])}).",
            f"Known: {', '.join(CATEGORIES)}",
        )
    for image in images:
        size = (int(image["height"]), int(image["width"]))
        found = [_instance(a, names, size, skipped) for a in of_image.get(int(image["id"]), [])]
        kept = [instance for instance in found if instance is not None]
        if kept:
            yield folder / str(image["file_name"]), str(image["file_name"]), kept


def _instance(
    annotation: dict[str, Any], names: dict[int, str], size: tuple[int, int], skipped: Counter[str]
) -> Instance | None:
    category = names.get(int(annotation["category_id"]), "")
    if category not in CATEGORIES:
        skipped["another category"] += 1
        return None
    if annotation.get("iscrowd"):
        skipped["a crowd"] += 1
        return None
    try:
        mask = mask_of(annotation.get("segmentation"), size)
    except (ValueError, KeyError, TypeError, IndexError):
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
