"""Write an occluded copy of a dataset: same paths, some images with an occluder in front of the person.

The bytes of an image depend only on the parameters, the seed and its relative path. Processes share the
images of a machine, and ``part`` divides the images between machines. Each machine writes a journal. After
its last image it reads the journals of the others, so that the last one completes the tree by writing the
manifest. (Rounding may differ by single grey levels between processor models.)
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli import reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import open_to_append, write_bytes, write_sealed, write_text
from vireid_cli.lock import serialized
from vireid_cli.occlusion.compose import Composer
from vireid_cli.occlusion.image import UNFINISHED, Decode, OcclusionWork, write_image
from vireid_cli.occlusion.library import Library
from vireid_cli.occlusion.mark import (
    LOCK,
    MANIFEST,
    MARK,
    OcclusionOptions,
    file_digest,
    parameters,
    read_manifest_lines,
    start_tree,
)
from vireid_cli.occlusion.policy import pool_of, scene_of
from vireid_cli.occlusion.workers import process_map
from vireid_cli.processors import cores
from vireid_cli.types import IMAGE_ENDINGS, Progress, Record, RecordTable

BATCH = 32
"""Number of images between two writes of the journal."""


@dataclass(frozen=True, slots=True)
class OccludedTree:
    """Result of ``build_occluded``.

    Attributes:
        root: Root of the tree.
        images: Number of images in the tree.
        occluded: Number of images with an occluder, by role.
        written: Number of images written by this call.
        seconds: Wall time of this call.
        content_hash: Hash of the manifest; empty while parts are missing.
        unreadable: Paths of images that the decoder rejected; the tree has unchanged copies.
    """

    root: Path
    images: int
    occluded: dict[str, int]
    written: int
    seconds: float
    content_hash: str
    unreadable: tuple[str, ...]


def check_part(part: tuple[int, int]) -> None:
    """Validate (i, n). Raises ``UsageError`` unless 1 ≤ i ≤ n."""
    if not 1 <= part[0] <= part[1]:
        raise UsageError(f"--part {part[0]}/{part[1]}: expected I/N with 1 ≤ I ≤ N, such as 2/4.")


def refuse_nested(source: Path, root: Path) -> None:
    """Refuse a tree inside its original, or around it. Raises ``UsageError``.

    A tree inside would be copied into itself and make its images part of the original.
    """
    original, tree = source.resolve(), root.resolve()
    if tree.is_relative_to(original) or original.is_relative_to(tree):
        place = "inside" if tree.is_relative_to(original) else "around"
        raise UsageError(
            f"--root {root} is {place} the original dataset at {source}.",
            "Choose a folder outside of it with --root.",
        )


def build_occluded(
    records: RecordTable,
    source: Path,
    root: Path,
    library: Library,
    options: OcclusionOptions,
    decode: Decode,
    *,
    part: tuple[int, int] = (1, 1),
    workers: int | None = None,
    progress: Progress | None = None,
) -> OccludedTree:
    """Write the tree, or one part of it. Undamaged images from an earlier call are kept.

    Args:
        records: Images of the original dataset.
        source: Root of the original dataset.
        root: Root of the tree.
        library: Occluders.
        options: Policy, seed and file format.
        decode: Function of encoded bytes and modality that returns (h, w, 3) uint8 RGB, or raises
            ``ValueError``.
        part: (i, n): write images i, i + n, i + 2n … of the sorted paths, counted from 1.
        workers: Number of processes; None for one per processor.
        progress: Called with (images done, images of this part).

    Raises:
        UsageError: The folder has other content or is nested with ``source``, the part is invalid, or a pool
            has no occluder for a scene.
        DataError: Writing failed.
    """
    started = time.perf_counter()
    check_part(part)
    refuse_nested(source, root)
    work = OcclusionWork(source, root, options, Composer(library, options.policy), decode)
    _check_pools(work.composer, records, options)
    settings = parameters(options, library, _base(records, source))
    start_tree(root, settings)
    lists = _copy_lists(records, source, root)
    known = _finished(root, {})
    rows = np.argsort(records.paths, kind="stable")
    selected = rows[part[0] - 1 :: part[1]]
    missing = [int(i) for i in selected if str(records.paths[i]) not in known]
    journal = root / f".journal-{part[0]}-of-{part[1]}.jsonl"
    lines = _run(work, records, missing, len(selected), journal, workers, progress)
    known |= {line["path"]: line for line in lines}
    if len(known) < len(records):
        known = _finished(root, known)  # other parts may have ended since the start of this one
    content = ""
    if len(known) == len(records):
        with serialized(root / LOCK):
            content = _finish(root, settings, lists, known)
    roles = Counter(line["role"] for line in known.values() if line["occluded"])
    bad = tuple(sorted(path for path, line in known.items() if line.get("unreadable")))
    seconds = time.perf_counter() - started
    return OccludedTree(root, len(known), dict(roles), len(lines), seconds, content, bad)


def _check_pools(composer: Composer, records: RecordTable, options: OcclusionOptions) -> None:
    """Raise ``UsageError`` if the library has no occluder for a scene and split of the dataset."""
    cameras = {(pool_of(str(s)), int(c)) for s, c in zip(records.splits, records.camids, strict=True)}
    for pool, camid in sorted(cameras):
        scene = scene_of(options.dataset, camid)
        if not composer.available(pool, scene):
            raise UsageError(
                f"The library '{composer.library.name}' has no {scene} occluder in its {pool} pool.",
                "Import more images (every fifth belongs to the test pool), or use the built-in library.",
            )


def _base(records: RecordTable, source: Path) -> dict[str, Any]:
    """Identify the original dataset by its number of images and a hash of paths, splits and file sizes."""
    total = hashlib.sha256()
    for i in np.argsort(records.paths, kind="stable"):
        path = source / str(records.paths[i])
        size = path.stat().st_size if path.is_file() else -1
        total.update(f"{records.paths[i]}\t{records.splits[i]}\t{size}\n".encode())
    return {"images": len(records), "sha256": total.hexdigest()}


def _copy_lists(records: RecordTable, source: Path, root: Path) -> dict[str, str]:
    """Copy the files of the dataset that are not images, such as lists. Returns hashes, keyed by path."""
    tops = {str(path).split("/")[0] for path in records.paths.tolist()}
    digests = {}
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(name.startswith(".") for name in relative.parts)
        image = path.suffix.lower() in IMAGE_ENDINGS and relative.parts[0] in tops
        named = relative.as_posix().encode("utf-8", "replace") == os.fsencode(relative.as_posix())
        if hidden or image or not named or not path.is_file() or path.name in (MARK, MANIFEST, "Thumbs.db"):
            continue
        target, content = root / relative, reading.read_bytes(path)
        digests[relative.as_posix()] = hashlib.sha256(content).hexdigest()
        if file_digest(target) != digests[relative.as_posix()]:
            write_bytes(target, content)  # atomic, because another part may copy the same file
    return digests


def _finished(root: Path, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add to ``known`` the lines of journals and manifest with a file that matches the hash, keyed by path.

    The manifest comes last: the process that completes the tree writes it before it deletes the journals.
    """
    lines: dict[str, dict[str, Any]] = {}
    for path in [*sorted(root.glob(".journal-*.jsonl")), root / MANIFEST]:
        try:
            lines |= {line["path"]: line for line in read_manifest_lines(path)}
        except DataError:
            if path.exists():
                raise
    new = {path: line for path, line in lines.items() if path not in known}
    return known | {path: line for path, line in new.items() if file_digest(root / path) == line["sha256"]}


def _run(
    work: OcclusionWork,
    records: RecordTable,
    missing: list[int],
    total: int,
    journal: Path,
    workers: int | None,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Write the missing images in several processes, and the journal after each batch."""
    done = total - len(missing)
    if progress:
        progress(done, total)
    lines: list[dict[str, Any]] = []
    if not missing:
        return lines
    batches = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
    processes = min(workers or cores(), len(batches))
    previous = cv2.getNumThreads()
    jobs = [[records.row(i) for i in rows] for rows in batches]
    results = process_map(partial(write_batch, work), jobs, processes)
    try:
        with open_to_append(journal) as stream, closing(results):
            stream.write("\n")  # ends a line that a killed process left incomplete
            for batch in results:
                stream.writelines(_text(line) for line in batch)
                stream.flush()
                lines += batch
                if progress:
                    progress(done + len(lines), total)
    except OSError as error:
        raise DataError(
            f"can't write to {work.root}: {error.strerror or error}",
            "Completed images are kept; run the same command again.",
        ) from error
    finally:
        cv2.setNumThreads(previous)
    return lines


def write_batch(work: OcclusionWork, records: list[Record]) -> list[dict[str, Any]]:
    """Write a batch of images and return their manifest lines."""
    cv2.setNumThreads(1)  # one process per processor: additional threads would compete
    return [write_image(work, record) for record in records]


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n"


def _finish(
    root: Path, settings: dict[str, Any], lists: dict[str, str], known: dict[str, dict[str, Any]]
) -> str:
    """Delete unfinished files, write manifest and mark, delete the journals. Returns the content hash."""
    for folder in {(root / path).parent for path in known}:
        for unfinished in folder.glob(f".*{UNFINISHED}"):  # of a killed worker process
            unfinished.unlink(missing_ok=True)
    text = "".join(_text(known[path]) for path in sorted(known))
    content = hashlib.sha256(text.encode()).hexdigest()
    roles: dict[str, dict[str, int]] = {}
    for line in known.values():
        row = roles.setdefault(f"{line['role']} {line['modality']}", {"images": 0, "occluded": 0})
        row["images"] += 1
        row["occluded"] += line["occluded"]
    write_text(root / MANIFEST, text)
    write_sealed(
        root / MARK,
        {
            **settings,
            "complete": True,
            "content_hash": content,
            "images": dict(sorted(roles.items())),
            "lists": lists,
        },
    )
    for journal in root.glob(".journal-*.jsonl"):
        journal.unlink(missing_ok=True)
    return content
