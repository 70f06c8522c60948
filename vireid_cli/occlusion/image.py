"""One image of an occluded tree: read, occluded, encoded, put in its place, and its line of the manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli.occlusion.compose import Composer, file_stream
from vireid_cli.occlusion.mark import OcclusionOptions
from vireid_cli.occlusion.policy import scene_of
from vireid_cli.reading import read_bytes
from vireid_cli.types import Modality, Record

Decode = Callable[[bytes, Modality], np.ndarray]
UNFINISHED = ".part"
"""Ending of a file that is being written; its name begins with a dot."""


@dataclass(frozen=True, slots=True)
class OcclusionWork:
    """What every worker needs.

    Attributes:
        source: The base's root.
        root: Where to.
        options: Which images and how.
        composer: The library, ready.
        decode: (h, w, 3) uint8 RGB of an encoded image of a modality; ``ValueError`` where it can't be read.
    """

    source: Path
    root: Path
    options: OcclusionOptions
    composer: Composer
    decode: Decode


def make_image(work: OcclusionWork, record: Record) -> dict[str, Any]:
    """Write one image of the tree and return its line of the manifest."""
    options, policy = work.options, work.options.policy
    rng = file_stream(options.seed, options.dataset, record.split, record.path)
    role = policy.role(record.split, record.modality)
    line: dict[str, Any] = {
        "path": record.path,
        "role": role,
        "modality": str(record.modality),
        "occluded": False,
    }
    source, target = work.source / record.path, work.root / record.path
    target.parent.mkdir(parents=True, exist_ok=True)
    data = read_bytes(source)
    if rng.random() < policy.probability(role):
        try:
            pixels = work.decode(data, record.modality)
        except ValueError as error:
            line["unreadable"] = str(error)
        else:
            pool = "test" if record.split == "test" else "train"
            scene = scene_of(options.dataset, record.camid)
            covered, about = work.composer.occlude(pixels, record.modality, scene, pool, rng)  # type: ignore[arg-type]
            data = encode(covered, target.suffix.lower(), options.quality)
            line |= {"occluded": True, **about}
            _put(target, lambda path: path.write_bytes(data))
    if not line["occluded"]:
        _put(target, lambda path: _link(source, path))
    return line | {"sha256": hashlib.sha256(data).hexdigest()}


def encode(pixels: np.ndarray, ending: str, quality: int) -> bytes:
    """Bytes of (h, w, 3) uint8 RGB in the format of a file's ending: JPEG at ``quality``, else lossless."""
    given = [cv2.IMWRITE_JPEG_QUALITY, quality] if ending in (".jpg", ".jpeg") else []
    return cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), given)[1].tobytes()


def _put(target: Path, write: Callable[[Path], object]) -> None:
    """Write beside the target and rename; not synchronised: the journal's hash tells a torn file."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
    temporary.unlink(missing_ok=True)
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system has them, else a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
