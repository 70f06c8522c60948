"""Cut occluders out of photographs, with the rejection rules of docs/methods.md#occluder-library.

In the order met: confidence below 0.5 · a box side under 64 px · a box on the left, right or upper border ·
refiner's IoU estimate below 0.88 · IoU with the first mask below 0.7 · largest component under 95 % · mask
under 20 % of its box. Holes are filled. A box side is the shorter one (our reading).
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
"""Pixels from the image's border within which a box touches it."""
ESTIMATE = 0.88
AGREEMENT = 0.7
LARGEST = 0.95
FILLED = 0.2

Annotated = tuple[Path, str, list[Instance]]
Decode = Callable[[bytes], np.ndarray]


def objection(instance: Instance, size: tuple[int, int]) -> str:
    """Why an instance is rejected before its mask is refined; empty where it is not."""
    left, top, right, bottom = instance.box
    if instance.score < CONFIDENCE:
        return "low confidence"
    if min(right - left, bottom - top) < SHORTEST:
        return "too small"
    if left <= BORDER or top <= BORDER or right >= size[1] - BORDER:
        return "cut by the border"
    return ""


def clean(mask: np.ndarray, first: np.ndarray, estimate: float) -> tuple[np.ndarray | None, str]:
    """The largest part of a refined mask with its holes filled, or None and why it is rejected.

    Args:
        mask: (H, W) bool, refined.
        first: (H, W) bool, before.
        estimate: IoU that the refiner predicts.
    """
    if estimate < ESTIMATE:
        return None, "the refiner is not sure"
    both, either = int((mask & first).sum()), int((mask | first).sum())
    if either == 0 or both / either < AGREEMENT:
        return None, "the two masks differ"
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < LARGEST * int(mask.sum()):
        return None, "in several pieces"
    outlines, _ = cv2.findContours(
        (labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    whole = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED) > 0
    left, top, right, bottom = box_of(whole)
    if whole.sum() < FILLED * (right - left) * (bottom - top):
        return None, "thin in its box"
    return whole, ""


def cut(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The tight (h, w, 4) RGBA cut-out of a mask."""
    left, top, right, bottom = (int(v) for v in box_of(mask))
    area = (slice(top, bottom), slice(left, right))
    return np.concatenate([image[area], (255 * mask[area].astype(np.uint8))[..., None]], axis=-1)


def detected(folder: Path, detector: Detector, decode: Decode, skipped: Counter[str]) -> Iterator[Annotated]:
    """Image file, source name and instances of each photograph under a folder."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS):
        try:
            image = decode(read_bytes(path))
        except (DataError, ValueError):
            skipped["an image that can't be read"] += 1
            continue
        source = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        yield path, source.decode("utf-8", "backslashreplace"), detector(image)


def extract(
    images: Iterable[Annotated], refiner: MaskRefiner, decode: Decode, skipped: Counter[str]
) -> Iterator[tuple[Occluder, np.ndarray]]:
    """Records and (h, w, 4) RGBA cut-outs of whatever passes the rules.

    Args:
        images: Of ``read_coco`` or ``detected``.
        refiner: Redraws masks.
        decode: (h, w, 3) uint8 RGB of an encoded image; ``ValueError`` where it can't be read.
        skipped: Counts what is left out, by reason.
    """
    number: Counter[str] = Counter()
    for path, source, instances in images:
        try:
            image = decode(read_bytes(path))
        except (DataError, ValueError):
            skipped["an image that can't be read"] += 1
            continue
        for instance in instances:
            reason = "of another size than its image" if instance.mask.shape != image.shape[:2] else ""
            reason = reason or objection(instance, (image.shape[0], image.shape[1]))
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
