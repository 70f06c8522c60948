"""Write an occluded mirror of a dataset: same paths, some images with an occluder before the person.

An image's bytes depend on the parameters, the seed and its relative path only. Images are shared out to
processes, and to machines by ``part``; each writes its journal, and whoever finds every image done puts the
manifest together. (Between processors of different kinds single grey levels may differ by rounding.)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_json, write_text
from vireid_cli.occlusion.compose import Composer
from vireid_cli.occlusion.image import UNFINISHED, Decode, OcclusionWork, make_image
from vireid_cli.occlusion.library import Library
from vireid_cli.occlusion.mark import (
    MANIFEST,
    MARK,
    OcclusionOptions,
    begin,
    file_digest,
    parameters,
    read_manifest_lines,
)
from vireid_cli.occlusion.policy import scene_of
from vireid_cli.occlusion.workers import shared_out
from vireid_cli.processors import cores
from vireid_cli.types import IMAGE_ENDINGS, Progress, Record, RecordTable

BATCH = 32
"""Images between two entries of the journal."""


@dataclass(frozen=True, slots=True)
class OccludedTree:
    """What ``build_occluded`` made.

    Attributes:
        root: The tree.
        images: Images in all.
        occluded: How many have an occluder, by role.
        written: Written by this call; the others were there.
        seconds: Wall time of this call.
        content_hash: Of the manifest; empty while parts are missing.
        unreadable: Paths of images that could not be decoded; they are carried over as they are.
    """

    root: Path
    images: int
    occluded: dict[str, int]
    written: int
    seconds: float
    content_hash: str
    unreadable: tuple[str, ...]


def check_part(part: tuple[int, int]) -> None:
    """Refuse a part that does not exist. Raises ``UsageError``."""
    if not 1 <= part[0] <= part[1]:
        raise UsageError(f"--part {part[0]}/{part[1]}: expected I/N with 1 ≤ I ≤ N, such as 2/4.")


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
    """Write the tree, or one part of it; what is there and whole is kept.

    Args:
        records: The base's images.
        source: The base's root.
        root: Where to.
        library: The occluders.
        options: Which images and how.
        decode: (h, w, 3) uint8 RGB of an encoded image of a modality; ``ValueError`` where it can't be read.
        part: (i, n): the images i, i + n, i + 2n … of the sorted paths, counted from 1.
        workers: Processes; None: one a processor.
        progress: Called with (images done, images of this part).

    Raises:
        UsageError: The folder holds something else, a part that does not exist, or a pool without occluders.
        DataError: It can't be written.
    """
    started = time.perf_counter()
    check_part(part)
    work = OcclusionWork(source, root, options, Composer(library, options.policy), decode)
    _check_pools(work.composer, records, options)
    wanted = parameters(options, library, _base(records, source))
    begin(root, wanted)
    lists = _copy_lists(records, source, root)
    known = _finished(root)
    rows = np.argsort(records.paths, kind="stable")
    mine = rows[part[0] - 1 :: part[1]]
    missing = [int(i) for i in mine if str(records.paths[i]) not in known]
    journal = root / f".journal-{part[0]}-of-{part[1]}.jsonl"
    lines = _run(work, records, missing, len(mine), journal, workers, progress)
    known |= {line["path"]: line for line in lines}
    content = ""
    if len(known) == len(records):
        content = _finish(root, wanted, lists, known)
    roles = Counter(line["role"] for line in known.values() if line["occluded"])
    bad = tuple(sorted(path for path, line in known.items() if line.get("unreadable")))
    seconds = time.perf_counter() - started
    return OccludedTree(root, len(known), dict(roles), len(lines), seconds, content, bad)


def _check_pools(composer: Composer, records: RecordTable, options: OcclusionOptions) -> None:
    """Refuse a library that has nothing for a scene and split that will need it."""
    cameras = {(str(s) == "test", int(c)) for s, c in zip(records.splits, records.camids, strict=True)}
    for test, camid in sorted(cameras):
        scene, pool = scene_of(options.dataset, camid), "test" if test else "train"
        if not composer.available(pool, scene):  # type: ignore[arg-type]
            raise UsageError(
                f"The library '{composer.library.name}' has no {scene} occluder in its {pool} pool",
                "Import more images (each fifth goes to the test pool), or use the built-in library.",
            )


def _base(records: RecordTable, source: Path) -> dict[str, Any]:
    """The base's images by number and by a hash of paths, splits and file sizes."""
    total = hashlib.sha256()
    for i in np.argsort(records.paths, kind="stable"):
        path = source / str(records.paths[i])
        size = path.stat().st_size if path.is_file() else -1
        total.update(f"{records.paths[i]}\t{records.splits[i]}\t{size}\n".encode())
    return {"images": len(records), "sha256": total.hexdigest()}


def _copy_lists(records: RecordTable, source: Path, root: Path) -> dict[str, str]:
    """Carry over whatever is no image: lists, permutation, the mark of a rendered tree; path → hash."""
    tops = {str(path).split("/")[0] for path in records.paths.tolist()}
    found = {}
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(name.startswith(".") for name in relative.parts)
        image = path.suffix.lower() in IMAGE_ENDINGS and relative.parts[0] in tops
        named = relative.as_posix().encode("utf-8", "replace") == os.fsencode(relative.as_posix())
        if hidden or image or not named or not path.is_file() or path.name in (MARK, MANIFEST, "Thumbs.db"):
            continue
        target = root / relative
        if file_digest(target) != file_digest(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        found[relative.as_posix()] = file_digest(target)
    return found


def _finished(root: Path) -> dict[str, dict[str, Any]]:
    """Images that a manifest or journal names and whose file is what it says, by path."""
    known: dict[str, dict[str, Any]] = {}
    for path in [*sorted(root.glob(".journal-*.jsonl")), root / MANIFEST]:
        if path.is_file():
            known |= {line["path"]: line for line in read_manifest_lines(path)}
    return {path: line for path, line in known.items() if file_digest(root / path) == line["sha256"]}


def _run(
    work: OcclusionWork,
    records: RecordTable,
    missing: list[int],
    total: int,
    journal: Path,
    workers: int | None,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Make the missing images, shared out to processes; the journal is written batch by batch."""
    done = total - len(missing)
    if progress:
        progress(done, total)
    lines: list[dict[str, Any]] = []
    if not missing:
        return lines
    batches = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
    crew = min(workers or cores(), len(batches))
    previous = cv2.getNumThreads()
    results = shared_out(partial(_batch, work), [[records.row(i) for i in rows] for rows in batches], crew)
    try:
        with journal.open("a", encoding="utf-8") as stream_, closing(results):
            stream_.write("\n")  # after a line that a kill cut short
            for fresh in results:
                stream_.writelines(_text(line) for line in fresh)
                stream_.flush()
                lines += fresh
                if progress:
                    progress(done + len(lines), total)
    except OSError as error:
        raise DataError(
            f"{work.root} can't be written: {error.strerror or error}", "What is finished is kept."
        ) from error
    finally:
        cv2.setNumThreads(previous)
    return lines


def _batch(work: OcclusionWork, records: list[Record]) -> list[dict[str, Any]]:
    """Make some images; each worker is a processor of its own, so that OpenCV needs no threads."""
    cv2.setNumThreads(1)
    return [make_image(work, record) for record in records]


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n"


def _finish(
    root: Path, wanted: dict[str, Any], lists: dict[str, str], known: dict[str, dict[str, Any]]
) -> str:
    """Drop what a kill left, write the manifest, then the mark, then drop the journals."""
    for folder in {(root / path).parent for path in known}:
        for left in folder.glob(f".*{UNFINISHED}"):  # by a worker that was killed
            left.unlink()
    text = "".join(_text(known[path]) for path in sorted(known))
    content = hashlib.sha256(text.encode()).hexdigest()
    roles: dict[str, dict[str, int]] = {}
    for line in known.values():
        row = roles.setdefault(f"{line['role']} {line['modality']}", {"images": 0, "occluded": 0})
        row["images"] += 1
        row["occluded"] += line["occluded"]
    write_text(root / MANIFEST, text)
    write_json(
        root / MARK,
        {
            **wanted,
            "complete": True,
            "content_hash": content,
            "images": dict(sorted(roles.items())),
            "lists": lists,
        },
    )
    for journal in root.glob(".journal-*.jsonl"):
        journal.unlink()
    return content
