"""Mark and manifest of an occluded tree, and their verification.

``vireid-occluded.json``, the mark, has ``complete: false`` from the start, and the content hash once the tree
is complete. ``vireid-occlusion.jsonl``, the manifest, has one line per image, sorted by path. Neither
contains times, so that equal trees have equal files.
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
from vireid_cli.files import write_sealed
from vireid_cli.lock import serialized
from vireid_cli.occlusion.library import Library
from vireid_cli.occlusion.policy import Policy
from vireid_cli.tree_marks import Occluded, OccludedSource
from vireid_cli.types import Progress

MARK = "vireid-occluded.json"
MANIFEST = "vireid-occlusion.jsonl"
LOCK = ".vireid-occluded.lock"
"""Lock of a tree, held while a process starts or completes it."""

VERSION = 2
"""Increased when the same parameters produce different images."""


@dataclass(frozen=True, slots=True)
class OcclusionOptions:
    """Parameters of an occluded tree.

    Attributes:
        dataset: Name of the original dataset.
        preset: Name of the policy.
        policy: Probabilities of occlusion by role, and range of ε.
        seed: Seed of all random choices.
        quality: Quality of JPEG files, 0 to 100.
        trial: Number of the original's split that defines the roles; 0 if the dataset has a single split.
        decoder: Settings that decode the original's files, also used for the tree's; None for the defaults.
    """

    dataset: str
    preset: str
    policy: Policy
    seed: int = 0
    quality: int = 95
    trial: int = 0
    decoder: dict[str, Any] | None = None


def parameters(options: OcclusionOptions, library: Library, base: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the mark that is known before any image is written."""
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


def start_tree(root: Path, expected: dict[str, Any]) -> bool:
    """Write the mark of an unfinished tree. Returns True if the same tree is already complete.

    Several processes may start the same tree at once: one of them writes the mark.

    Args:
        root: Root of the tree.
        expected: The parameters, as returned by ``parameters``.

    Raises:
        UsageError: The folder contains a tree with other parameters, or other files.
        DataError: The folder is not writable.
    """
    with serialized(root / LOCK):
        return _start(root, expected)


def _start(root: Path, expected: dict[str, Any]) -> bool:
    if (root / MARK).is_file():
        mark = read_mark(root)
        differences = [
            f"{key}: {mark.get(key)}, not {value}"
            for key, value in expected.items()
            if mark.get(key) != value
        ]
        if differences:
            raise UsageError(
                f"{root} has an occluded tree with other parameters ({'; '.join(differences)}).",
                "Choose another folder with --root, use the parameters of this tree, or delete it first.",
            )
        return bool(mark.get("complete"))
    unfinished = f".{MARK}."  # a killed process can leave a temporary file of the mark
    if any(path.name != LOCK and not path.name.startswith(unfinished) for path in root.iterdir()):
        raise UsageError(
            f"{root} has files that vireid did not write.",
            "Choose an empty folder with --root.",
        )
    write_sealed(root / MARK, {**expected, "complete": False})
    return False


def read_mark(root: Path) -> dict[str, Any]:
    """Load and validate the mark of an occluded tree.

    Raises:
        DataError: The mark is unreadable or invalid.
    """
    path, hint = root / MARK, "Choose another folder with --root, or delete this one and repeat the command."
    content = documents.read_json(path, hint=hint)
    whole = isinstance(content, dict) and content.get("complete") is True
    documents.check_form(content, OccludedSource if whole else Occluded, str(path), hint=hint)
    documents.check_seal(content, str(path), hint=hint)
    mark: dict[str, Any] = content
    return mark


def read_manifest_lines(path: Path) -> list[dict[str, Any]]:
    """Load the lines of a manifest or journal. Skips invalid lines, such as a truncated last line."""
    lines = []
    for text in reading.read_text(path, surrogates=True).split("\n"):
        try:
            lines.append(json.loads(text))
        except (ValueError, RecursionError):
            continue
    return [line for line in lines if isinstance(line, dict) and isinstance(line.get("path"), str)]


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, or an empty string if the file is unreadable."""
    try:
        return hashlib.sha256(reading.read_bytes(path)).hexdigest()
    except DataError:
        return ""


def verify_occluded(root: Path, *, workers: int | None = None, progress: Progress | None = None) -> list[str]:
    """Return the differences between the files of an occluded tree and their hashes; empty if all match.

    Args:
        root: Root of the tree.
        workers: Number of threads; None selects it automatically.
        progress: Called with (files checked, total).

    Raises:
        UsageError: The folder is not an occluded tree.
        DataError: The manifest is unreadable.
    """
    if not (root / MARK).is_file():
        raise UsageError(f"{root} has no {MARK}: it is not an occluded tree.", "Check the path of --root.")
    mark = read_mark(root)
    if not mark["complete"]:
        return ["the tree is incomplete: run the same command again to finish it"]
    if file_digest(root / MANIFEST) != mark["content_hash"]:
        return [f"{MANIFEST} does not match its hash in {MARK}"]
    try:
        expected = {line["path"]: line["sha256"] for line in read_manifest_lines(root / MANIFEST)}
    except (OSError, KeyError) as error:
        raise DataError(f"{root / MANIFEST} can't be read: {error}") from error
    expected |= mark.get("lists", {})
    differences = []
    with ThreadPoolExecutor(workers) as pool:
        for i, (path, digest) in enumerate(
            zip(expected, pool.map(lambda p: file_digest(root / p), expected), strict=True)
        ):
            if digest != expected[path]:
                differences.append(f"{path}: " + ("does not match its hash" if digest else "unreadable"))
            if progress and (i % 256 == 255 or i + 1 == len(expected)):
                progress(i + 1, len(expected))
    return differences
