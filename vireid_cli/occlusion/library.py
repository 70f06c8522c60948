"""The library: tight RGBA cut-outs as PNG, and ``library.json`` that says what each is.

Occluders are split 80/20 into a training and a test pool by the image that they were cut from, otherwise
an occluder would itself tell identities across splits. The library's hash covers records and pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vireid_cli import documents, reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import read_json, write_bytes, write_json
from vireid_cli.occlusion.categories import CATEGORIES, SIZE_RANGE

Pool = Literal["train", "test"]
INDEX = "library.json"
VERSION = 1
SEAL = "sha256"
"""Key of the hash over the rest of the index."""

TEST_EVERY = 5
"""Every fifth source image goes to the test pool: 80/20."""

_PLACEMENTS = {"bottom", "left", "right", "top", "float"}


@dataclass(frozen=True, slots=True)
class Occluder:
    """One cut-out.

    Attributes:
        name: Its own; its file is ``<name>.png``.
        source: Image that it was cut from.
        category: A key of ``CATEGORIES``.
        scene: ``indoor``, ``outdoor`` or ``both``.
        placements: Some of bottom, left, right, top, float.
        size: ``S``, ``M`` or ``L``.
        pool: ``train`` or ``test``.
        sha256: Of its PNG file.
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
    """Occluders in the order of their names, with their pixels.

    Attributes:
        name: For people.
        occluders: The records.
        cutouts: (h, w, 4) uint8 RGBA each, not premultiplied.
        sha256: Hash over all records and pixels.
        sealed: Whether damage to the index can be noticed; earlier versions wrote it without a hash.
    """

    name: str
    occluders: tuple[Occluder, ...]
    cutouts: tuple[np.ndarray, ...]
    sha256: str
    sealed: bool = True


def record_of(name: str, source: str, category: str) -> Occluder:
    """A record with its category's scene, placement and size.

    Raises:
        UsageError: The category is unknown.
    """
    if category not in CATEGORIES:
        raise UsageError(f"There is no category '{category}'.", f"There are: {', '.join(CATEGORIES)}")
    kind = CATEGORIES[category]
    return Occluder(name, source, category, kind.scene, kind.placements, kind.size)


def pools(sources: Iterable[tuple[str, str]]) -> dict[str, Pool]:
    """Pool of each source image: every fifth, in the order of category and hash, is for testing.

    Args:
        sources: (source, category) of each occluder; a source with several categories counts by its first
            in alphabetical order.
    """
    first: dict[str, str] = {}
    for source, category in sources:
        first[source] = min(category, first.get(source, category))
    order = sorted(first, key=lambda s: (first[s], hashlib.sha256(s.encode()).hexdigest()))
    found: dict[str, Pool] = {
        s: "test" if i % TEST_EVERY == TEST_EVERY - 1 else "train" for i, s in enumerate(order)
    }
    if len(order) > 1 and "test" not in found.values():
        found[order[-1]] = "test"
    return found


def write_library(folder: Path, name: str, things: list[tuple[Occluder, np.ndarray]]) -> Library:
    """Write cut-outs and index; the index, which marks the rest as whole, comes last.

    Args:
        folder: Where to.
        name: Of the library.
        things: Records and their (h, w, 4) uint8 RGBA pixels; pools and hashes are filled in here.

    Raises:
        UsageError: No occluder, or two of one name.
        DataError: It can't be written.
    """
    if not things:
        raise UsageError(
            "No occluder was found: nothing is written.", "Loosen the rules or give more images."
        )
    if len({thing.name for thing, _ in things}) < len(things):
        raise UsageError("Two occluders have one name.")
    pool_of = pools((thing.source, thing.category) for thing, _ in things)
    rows = []
    (folder / INDEX).unlink(missing_ok=True)
    for thing, cutout in sorted(things, key=lambda pair: pair[0].name):
        png = cv2.imencode(".png", cv2.cvtColor(cutout, cv2.COLOR_RGBA2BGRA))[1].tobytes()
        write_bytes(folder / f"{thing.name}.png", png)
        row = asdict(thing) | {"pool": pool_of[thing.source], "sha256": hashlib.sha256(png).hexdigest()}
        rows.append(row)
    content = {"format": "vireid-occluders", "version": VERSION, "name": name, "occluders": rows}
    write_json(folder / INDEX, {**content, SEAL: _seal(content)})
    return read_library(folder)


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 over the index, whatever the order of its keys."""
    plain = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class _Row(BaseModel):
    """A record of the index."""

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
    """The index of a library."""

    model_config = ConfigDict(strict=True, extra="allow")

    version: int
    name: str
    occluders: Annotated[list[_Row], Field(min_length=1)]


def read_library(folder: Path) -> Library:
    """Read a library and check every cut-out against its hash.

    Raises:
        UsageError: There is none.
        DataError: It is damaged or of another form.
    """
    if not (folder / INDEX).is_file():
        raise UsageError(f"{folder} holds no occluder library ({INDEX}).", "vireid prepare occluders")
    content = read_json(folder / INDEX)
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise DataError(f"{folder / INDEX} is not of version {VERSION}.", "vireid prepare occluders")
    if SEAL in content and content[SEAL] != _seal(content):
        raise DataError(
            f"{folder / INDEX} was changed since it was written: its hash is another.",
            "Build the library again.",
        )
    documents.check_form(content, _Index, str(folder / INDEX), hint="Build the library again.")
    total = hashlib.sha256()
    occluders, cutouts = [], []
    for row in content["occluders"]:
        thing = _record(folder, row)
        cutouts.append(_pixels(folder / f"{thing.name}.png", thing.sha256))
        occluders.append(thing)
        total.update(f"{sorted(row.items())}\n".encode())
    sealed = SEAL in content
    return Library(content["name"], tuple(occluders), tuple(cutouts), total.hexdigest(), sealed)


def _record(folder: Path, row: dict[str, Any]) -> Occluder:
    try:
        thing = Occluder(**{**row, "placements": tuple(row["placements"])})
    except (TypeError, KeyError) as error:
        raise DataError(f"{folder / INDEX}: a record is not of the form expected: {error}") from error
    whole = (
        thing.category in CATEGORIES
        and thing.size in SIZE_RANGE
        and thing.scene in ("indoor", "outdoor", "both")
        and thing.placements
        and set(thing.placements) <= _PLACEMENTS
    )
    if not whole:
        raise DataError(
            f"{folder / INDEX}: '{thing.name}' has an unknown category, scene, placement or size."
        )
    return thing


def _pixels(path: Path, sha256: str) -> np.ndarray:
    """(h, w, 4) RGBA of a cut-out whose file has this hash."""
    data = reading.read_bytes(path, limit=16 * reading.MIB, hint="Build the library again.")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} is not the cut-out that {INDEX} describes.", "Build the library again.")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))
