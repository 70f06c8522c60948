"""Write one image of an occluded tree, and return its line of the manifest."""

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
from vireid_cli.occlusion.policy import pool_of, scene_of
from vireid_cli.reading import read_bytes
from vireid_cli.types import Modality, Record

Decode = Callable[[bytes, Modality], np.ndarray]
UNFINISHED = ".part"
"""Ending of unfinished files; their names begin with a dot."""

_TRIES = 3
"""Attempts to write a file."""


@dataclass(frozen=True, slots=True)
class OcclusionWork:
    """Shared inputs of all worker processes.

    Attributes:
        source: Root of the original dataset.
        root: Root of the occluded tree.
        options: Policy, seed and file format.
        composer: Composer with the occluder library.
        decode: Function of encoded bytes and modality that returns (h, w, 3) uint8 RGB, or raises
            ``ValueError``.
    """

    source: Path
    root: Path
    options: OcclusionOptions
    composer: Composer
    decode: Decode


def write_image(work: OcclusionWork, record: Record) -> dict[str, Any]:
    """Write one image of the tree, occluded or as a link to the original, and return its manifest line."""
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
            scene = scene_of(options.dataset, record.camid)
            covered, details = work.composer.occlude(
                pixels, record.modality, scene, pool_of(record.split), rng
            )
            data = encode(covered, target.suffix.lower(), options.quality)
            line |= {"occluded": True, **details}
            _replace(target, lambda path: path.write_bytes(data))
    if not line["occluded"]:
        _replace(target, lambda path: _link(source, path))
    return line | {"sha256": hashlib.sha256(data).hexdigest()}


def encode(pixels: np.ndarray, ending: str, quality: int) -> bytes:
    """Encode (h, w, 3) uint8 RGB in the format of a file ending: JPEG at ``quality``, others lossless."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if ending in (".jpg", ".jpeg") else []
    return cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary file beside the target and rename it.

    The file is not synchronised to disk: after a power failure, the hash in the journal detects a torn file.
    A process that completes the tree deletes temporary files, also those of a live process that writes the
    same images; this one then writes its file again.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
    temporary.unlink(missing_ok=True)
    for attempt in range(1, _TRIES + 1):
        try:
            write(temporary)
            temporary.replace(target)
            return
        except FileNotFoundError:
            if attempt == _TRIES:
                raise
        finally:
            temporary.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Create a hard link, or a copy if the file system does not support links."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
