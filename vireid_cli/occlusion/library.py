"""The occluder library: RGBA cut-outs as PNG files, and their records in ``library.json``.

Occluders are split 80/20 into a training and a test pool by source image, so that no training occluder
occurs in a test image. The library's hash covers records and pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vireid_cli import documents, reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import read_json, write_bytes, write_sealed
from vireid_cli.lock import serialized
from vireid_cli.occlusion.categories import CATEGORIES, SIZE_RANGE

Pool = Literal["train", "test"]
INDEX = "library.json"
LOCK = ".library.lock"
VERSION = 1

TEST_EVERY = 5
"""Every fifth source image belongs to the test pool: a split of 80/20."""

_PLACEMENTS = {"bottom", "left", "right", "top", "float"}


@dataclass(frozen=True, slots=True)
class Occluder:
    """One cut-out.

    Attributes:
        name: Unique name; the file is ``<name>.png``.
        source: Image that contained the occluder.
        category: A key of ``CATEGORIES``.
        scene: ``indoor``, ``outdoor`` or ``both``.
        placements: Allowed placements, one or more of bottom, left, right, top, float.
        size: ``S``, ``M`` or ``L``.
        pool: ``train`` or ``test``.
        sha256: Hash of the PNG file.
    """

    name: str
    source: str
    category: str
    scene: str
    placements: tuple[str, ...]
    size: str
    pool: Pool = "train"
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """Occluders with their pixels, sorted by name.

    Attributes:
        name: Name of the library.
        occluders: Records.
        cutouts: Pixels, (h, w, 4) uint8 RGBA each, not premultiplied.
        sha256: Hash over all records and pixels.
        sealed: Whether the index has a hash. Earlier versions wrote none; damage to their indices is not
            detectable.
    """

    name: str
    occluders: tuple[Occluder, ...]
    cutouts: tuple[np.ndarray, ...]
    sha256: str
    sealed: bool = True


def record_of(name: str, source: str, category: str) -> Occluder:
    """Return a record with scene, placements and size of its category.

    Raises:
        UsageError: The category is unknown.
    """
    if category not in CATEGORIES:
        raise UsageError(f"unknown category '{category}'.", f"Available: {', '.join(CATEGORIES)}")
    kind = CATEGORIES[category]
    return Occluder(name, source, category, kind.scene, kind.placements, kind.size)


def pools(sources: Iterable[tuple[str, str]]) -> dict[str, Pool]:
    """Assign a pool to each source image: every fifth by category and hash belongs to the test pool.

    Args:
        sources: (source, category) of each occluder. A source with several categories belongs to the first
            one in alphabetical order.
    """
    first: dict[str, str] = {}
    for source, category in sources:
        first[source] = min(category, first.get(source, category))
    order = sorted(first, key=lambda s: (first[s], hashlib.sha256(s.encode()).hexdigest()))
    pool_of: dict[str, Pool] = {
        s: "test" if i % TEST_EVERY == TEST_EVERY - 1 else "train" for i, s in enumerate(order)
    }
    if len(order) > 1 and "test" not in pool_of.values():
        pool_of[order[-1]] = "test"
    return pool_of


def write_library(folder: Path, name: str, occluders: list[tuple[Occluder, np.ndarray]]) -> Library:
    """Write cut-outs and index. The index comes last and marks the library as complete.

    Processes that write into one folder do so one after the other. The index of an equal library stays in
    place, so that others can read it meanwhile.

    Args:
        folder: Folder of the library.
        name: Name of the library.
        occluders: Records and (h, w, 4) uint8 RGBA pixels. This function computes pools and hashes.

    Raises:
        UsageError: There is no occluder, or two occluders have the same name.
        DataError: Writing failed.
    """
    if not occluders:
        raise UsageError("The images contain no usable occluder.", "Relax the rules or add images.")
    if len({record.name for record, _ in occluders}) < len(occluders):
        raise UsageError("Two occluders have the same name: rename one.")
    pool_of = pools((record.source, record.category) for record, _ in occluders)
    rows, images = [], {}
    for record, cutout in sorted(occluders, key=lambda pair: pair[0].name):
        png = cv2.imencode(".png", cv2.cvtColor(cutout, cv2.COLOR_RGBA2BGRA))[1].tobytes()
        digest = hashlib.sha256(png).hexdigest()
        rows.append(asdict(record) | {"pool": pool_of[record.source], "sha256": digest})
        images[folder / f"{record.name}.png"] = png
    content = {"format": "vireid-occluders", "version": VERSION, "name": name, "occluders": rows}
    with serialized(folder / LOCK):
        if not _has_index(folder, content):
            (folder / INDEX).unlink(missing_ok=True)
        for path, png in images.items():
            write_bytes(path, png)
        write_sealed(folder / INDEX, content)
        return read_library(folder)


def _has_index(folder: Path, content: dict[str, Any]) -> bool:
    """Whether the folder has an index with this content."""
    try:
        present = read_json(folder / INDEX)
    except DataError:
        return False
    return bool(present == documents.sealed(content))


class _Row(BaseModel):
    """Schema of a record in the index."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    source: str
    category: str
    scene: str
    placements: Annotated[list[str], Field(min_length=1)]
    size: str
    pool: Literal["train", "test"]
    sha256: str


class _Index(BaseModel):
    """Schema of the index of a library."""

    model_config = ConfigDict(strict=True, extra="allow")

    version: int
    name: str
    occluders: Annotated[list[_Row], Field(min_length=1)]


def read_library(folder: Path) -> Library:
    """Load a library and compare every cut-out with its hash.

    Raises:
        UsageError: The folder has no library.
        DataError: The library is damaged, or of another version.
    """
    if not (folder / INDEX).is_file():
        raise UsageError(f"{folder} has no occluder library ({INDEX}).", "Build it: vireid prepare occluders")
    content = read_json(folder / INDEX)
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise DataError(
            f"{folder / INDEX} is not of version {VERSION}.",
            "Build the library again: vireid prepare occluders",
        )
    again = "Build the library again."
    documents.check_form(content, _Index, str(folder / INDEX), hint=again)
    documents.check_seal(content, str(folder / INDEX), hint=again)
    total = hashlib.sha256()
    occluders, cutouts = [], []
    for row in content["occluders"]:
        record = _record(folder, row)
        cutouts.append(_pixels(folder / f"{record.name}.png", record.sha256))
        occluders.append(record)
        total.update(f"{sorted(row.items())}\n".encode())
    sealed = documents.SEAL in content
    return Library(content["name"], tuple(occluders), tuple(cutouts), total.hexdigest(), sealed)


def _record(folder: Path, row: dict[str, Any]) -> Occluder:
    """Convert a row of the index to a record. Raises ``DataError`` for an unknown value."""
    try:
        record = Occluder(**{**row, "placements": tuple(row["placements"])})
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{folder / INDEX}: a record is invalid: {error}", "Build the library again."
        ) from error
    valid = (
        record.category in CATEGORIES
        and record.size in SIZE_RANGE
        and record.scene in ("indoor", "outdoor", "both")
        and record.placements
        and set(record.placements) <= _PLACEMENTS
    )
    if not valid:
        raise DataError(
            f"{folder / INDEX}: '{record.name}' has an unknown category, scene, placement or size.",
            "Build the library again.",
        )
    return record


def _pixels(path: Path, sha256: str) -> np.ndarray:
    """Load a cut-out, (h, w, 4) RGBA, and compare its file with the hash."""
    data = reading.read_bytes(path, limit=16 * reading.MIB, hint="Build the library again.")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} does not match its hash in {INDEX}.", "Build the library again.")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))
