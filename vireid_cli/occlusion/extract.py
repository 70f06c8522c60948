"""Cut occluders out of photographs, with the rejection rules of docs/methods.md#occluder-library.

The rules, in the order of the checks: confidence below 0.5 · shorter side of the box under 64 px · box on the
left, right or upper border · refiner's IoU estimate below 0.88 · IoU with the first mask below 0.7 · largest
component under 95 % · mask under 20 % of its box. Holes are filled. The paper does not name the side of the
64 px; the shorter one is our reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.occlusion.coco import Instance, box_of
from vireid_cli.occlusion.detect import CONFIDENCE, Detector
from vireid_cli.occlusion.library import Occluder, record_of
from vireid_cli.occlusion.refine import MaskRefiner
from vireid_cli.reading import read_bytes
from vireid_cli.types import IMAGE_ENDINGS

SHORTEST = 64
BORDER = 1.0
"""Maximum distance in pixels of a box that counts as touching the border of the image."""
ESTIMATE = 0.88
AGREEMENT = 0.7
LARGEST = 0.95
FILLED = 0.2

Annotated = tuple[Path, str, list[Instance]]
Decode = Callable[[bytes], np.ndarray]


def rejection_reason(instance: Instance, size: tuple[int, int]) -> str:
    """Return the reason to reject an instance before refinement, or an empty string.

    Args:
        instance: Instance with its box in pixels.
        size: (height, width) of the image.
    """
    left, top, right, bottom = instance.box
    if instance.score < CONFIDENCE:
        return "low confidence"
    if min(right - left, bottom - top) < SHORTEST:
        return "too small"
    if left <= BORDER or top <= BORDER or right >= size[1] - BORDER:
        return "cut by the border"
    return ""


def clean(mask: np.ndarray, first: np.ndarray, estimate: float) -> tuple[np.ndarray | None, str]:
    """Return the largest component of a refined mask with filled holes, or None and the reason to reject it.

    Args:
        mask: (H, W) bool, refined mask.
        first: (H, W) bool, mask before refinement.
        estimate: IoU that the refiner predicts, in [0, 1].
    """
    if estimate < ESTIMATE:
        return None, "uncertain refinement"
    both, either = int((mask & first).sum()), int((mask | first).sum())
    if either == 0 or both / either < AGREEMENT:
        return None, "refined mask differs"
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < LARGEST * int(mask.sum()):
        return None, "several components"
    outlines, _ = cv2.findContours(
        (labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    whole = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED) > 0
    left, top, right, bottom = box_of(whole)
    if whole.sum() < FILLED * (right - left) * (bottom - top):
        return None, "small share of its box"
    return whole, ""


def cut(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Cut the bounding box of a mask out of an image: (h, w, 4) RGBA, with the mask as alpha."""
    left, top, right, bottom = (int(v) for v in box_of(mask))
    area = (slice(top, bottom), slice(left, right))
    return np.concatenate([image[area], (255 * mask[area].astype(np.uint8))[..., None]], axis=-1)


def detect_folder(
    folder: Path, detector: Detector, decode: Decode, skipped: Counter[str]
) -> Iterator[Annotated]:
    """Yield file, source name and detected instances of each photograph in a folder and its subfolders.

    Args:
        folder: Folder of photographs.
        detector: Function of (H, W, 3) uint8 RGB that returns instances.
        decode: Function of encoded bytes that returns (H, W, 3) uint8 RGB, or raises ``ValueError``.
        skipped: Number of skipped images by reason; updated.
    """
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS):
        try:
            image = decode(read_bytes(path))
        except (DataError, ValueError):
            skipped["unreadable image"] += 1
            continue
        source = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        yield path, source.decode("utf-8", "backslashreplace"), detector(image)


def extract(
    images: Iterable[Annotated], refiner: MaskRefiner, decode: Decode, skipped: Counter[str]
) -> Iterator[tuple[Occluder, np.ndarray]]:
    """Yield records and (h, w, 4) RGBA cut-outs of the instances that no rule rejects.

    Args:
        images: Annotated images from ``read_coco`` or ``detect_folder``.
        refiner: Function that refines masks.
        decode: Function of encoded bytes that returns (H, W, 3) uint8 RGB, or raises ``ValueError``.
        skipped: Number of rejected images and instances by reason; updated.
    """
    number: Counter[str] = Counter()
    for path, source, instances in images:
        try:
            image = decode(read_bytes(path))
        except (DataError, ValueError):
            skipped["unreadable image"] += 1
            continue
        for instance in instances:
            reason = "mask size differs from image" if instance.mask.shape != image.shape[:2] else ""
            reason = reason or rejection_reason(instance, (image.shape[0], image.shape[1]))
            mask = None
            if not reason:
                refined, estimate = refiner(image, instance)
                mask, reason = clean(refined, instance.mask, estimate)
            if mask is None:
                skipped[reason] += 1
                continue
            name = f"{instance.category.replace(' ', '-')}-{number[instance.category]:05d}"
            number[instance.category] += 1
            yield record_of(name, source, instance.category), cut(image, mask)
