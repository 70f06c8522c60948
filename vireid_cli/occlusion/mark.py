"""The mark of an occluded tree, its manifest, and the check of both.

``vireid-occluded.json`` is written at the start with ``complete: false`` and last of all again with the
content hash. ``vireid-occlusion.jsonl`` has one line an image, in the order of paths. Neither holds times.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid_cli import documents, reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_json
from vireid_cli.occlusion.library import Library
from vireid_cli.occlusion.policy import Policy
from vireid_cli.tree_marks import Occluded, OccludedSource
from vireid_cli.types import Progress

MARK = "vireid-occluded.json"
MANIFEST = "vireid-occlusion.jsonl"
VERSION = 2
"""Raised whenever the same parameters give other images."""


@dataclass(frozen=True, slots=True)
class OcclusionOptions:
    """What to make.

    Attributes:
        dataset: Name of the base.
        preset: Name of the policy.
        policy: Which images, and how much.
        seed: Everything that is drawn depends on it.
        quality: Of JPEG files.
        trial: Which of the base's splits decides on roles; 0 where it has one split for all.
        decoder: How the base's files became pixels, which the tree's must as well; None: nothing unusual.
    """

    dataset: str
    preset: str
    policy: Policy
    seed: int = 0
    quality: int = 95
    trial: int = 0
    decoder: dict[str, Any] | None = None


def parameters(options: OcclusionOptions, library: Library, base: dict[str, Any]) -> dict[str, Any]:
    """The mark without what is known only at the end."""
    return {
        "format": "vireid-occluded",
        "version": VERSION,
        "from": options.dataset,
        "preset": options.preset,
        "policy": options.policy.as_parameters(),
        "seed": options.seed,
        "quality": options.quality,
        "trial": options.trial,
        "decoder": options.decoder,
        "library": {"name": library.name, "sha256": library.sha256, "occluders": len(library.occluders)},
        "base": base,
    }


def begin(root: Path, wanted: dict[str, Any]) -> bool:
    """Write the mark as unfinished; True where this very tree is finished already.

    Raises:
        UsageError: The folder holds another tree, or files that nobody here wrote.
    """
    if (root / MARK).is_file():
        there = read_mark(root)
        differ = [f"{k}: there {there.get(k)}, wanted {v}" for k, v in wanted.items() if there.get(k) != v]
        if differ:
            raise UsageError(
                f"{root} holds an occluded tree of other parameters ({'; '.join(differ)}).",
                "Choose another folder with --root, repeat the parameters of this one, or delete it first.",
            )
        return bool(there.get("complete"))
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(
            f"{root} is not empty and was not written by vireid: nothing is written into it.",
            "Choose another folder with --root.",
        )
    write_json(root / MARK, {**wanted, "complete": False})
    return False


def read_mark(root: Path) -> dict[str, Any]:
    """Content of the mark of an occluded tree.

    Raises:
        DataError: It can't be read or is of another form.
    """
    path, hint = root / MARK, "Choose another folder with --root, or delete this one and make it again."
    content = documents.read_json(path, hint=hint)
    whole = isinstance(content, dict) and content.get("complete") is True
    documents.check_form(content, OccludedSource if whole else Occluded, str(path), hint=hint)
    found: dict[str, Any] = content
    return found


def read_manifest_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a manifest or journal; a last line that a kill cut short is left out."""
    found = []
    for line in reading.read_text(path, surrogates=True).split("\n"):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [line for line in found if isinstance(line, dict) and isinstance(line.get("path"), str)]


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex; empty where it can't be read."""
    try:
        return hashlib.sha256(reading.read_bytes(path)).hexdigest()
    except DataError:
        return ""


def verify_occluded(root: Path, *, workers: int | None = None, progress: Progress | None = None) -> list[str]:
    """What in an occluded tree differs from what was written; nothing: the list is empty.

    Raises:
        UsageError: It is no occluded tree.
        DataError: Its manifest can't be read.
    """
    if not (root / MARK).is_file():
        raise UsageError(f"{root} holds no {MARK}: it is not an occluded tree.")
    mark = read_mark(root)
    if not mark["complete"]:
        return ["the tree is not complete: run the same command again to finish it"]
    if file_digest(root / MANIFEST) != mark["content_hash"]:
        return [f"{MANIFEST} is not the manifest that {MARK} describes"]
    try:
        expected = {line["path"]: line["sha256"] for line in read_manifest_lines(root / MANIFEST)}
    except (OSError, KeyError) as error:
        raise DataError(f"{root / MANIFEST} can't be read: {error}") from error
    expected |= mark.get("lists", {})
    found = []
    with ThreadPoolExecutor(workers) as pool:
        for i, (path, there) in enumerate(
            zip(expected, pool.map(lambda p: file_digest(root / p), expected), strict=True)
        ):
            if there != expected[path]:
                found.append(f"{path}: " + ("changed since it was written" if there else "can't be read"))
            if progress and (i % 256 == 255 or i + 1 == len(expected)):
                progress(i + 1, len(expected))
    return found
