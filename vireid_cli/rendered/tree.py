"""Write the benchmark as a folder in a dataset's layout, and mark it as rendered.

Images and lists as ``layout_<name>.py`` says, and last of all ``vireid-rendered.json``: while its
``complete`` is false the tree is not whole.

An image's bytes depend on the parameters, the seed and its (pid, camid, frame) only. Images are rendered in
batches whose composition follows from the parameters, by workers that share nothing, so that neither the
number of workers nor an interruption shows in the result. (Between processors of different kinds, or a CPU
and a GPU, single images may differ by rounding: the manifest names the device. Of 768 images an H100 gave
736 as a CPU did, and the others within 6 grey levels.)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import torch

from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_bytes
from vireid_cli.lock import locked
from vireid_cli.processors import cores
from vireid_cli.reading import open_regular
from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.damage import find_damage
from vireid_cli.rendered.layouts import Layout, load_layout
from vireid_cli.rendered.manifest import (
    MANIFEST,
    check_parameters,
    count_images,
    read_manifest,
    write_manifest,
)
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Person, Plan, draw_person
from vireid_cli.rendered.render import Renderer
from vireid_cli.rendered.shots import Shot
from vireid_cli.types import Progress
from vireid_cli.unfinished import TEMPORARY, remove_unfinished

Array = np.ndarray
BATCH = 24
"""Images rendered at once."""


@dataclass(frozen=True, slots=True)
class RenderedTree:
    """What ``write_tree`` made.

    Attributes:
        root: The dataset's folder.
        counts: Images by split (``train``, ``val``, ``test``) and camera number.
        images: Images in all.
        rendered: Images rendered by this call; the others were there already.
        seconds: Wall time of this call.
        content_hash: sha256 over the sorted relative paths and their files' hashes.
        repaired: Files that were damaged or missing in a complete tree, and were written again.
    """

    root: Path
    counts: dict[str, dict[int, int]]
    images: int
    rendered: int
    seconds: float
    content_hash: str
    repaired: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    """One batch: images of one camera, as (pid, frame), and their places under the root."""

    camera: Camera
    images: tuple[tuple[int, int], ...]
    places: tuple[str, ...]

    def paths(self, root: Path) -> list[Path]:
        """Where its images belong."""
        return [root / place for place in self.places]


def write_tree(
    root: Path,
    options: RenderOptions,
    *,
    device: str = "cpu",
    workers: int | None = None,
    progress: Progress | None = None,
) -> RenderedTree:
    """Render the benchmark into ``root``; what is already there and whole is kept.

    In a complete tree each file is compared with its hash; those that differ or are missing are made again.

    Args:
        root: The dataset's folder; made where it is missing.
        options: What to render.
        device: ``cpu`` or a CUDA device.
        workers: Threads, each rendering its own batches; the processor's cores where None.
        progress: Called with (images done, images in all), from the calling thread.

    Raises:
        UsageError: The folder holds a tree of other parameters, or files that were not rendered, or a damaged
            tree that another kind of device rendered.
        DataError: No space, no permission, or another process renders into the folder.
    """
    started = time.perf_counter()
    root = Path(root)
    layout = load_layout(options.layout)
    plan = layout.plan(options.ids, options.seed)
    manifest = check_parameters(root, options, torch.device(device).type)
    lists = layout.lists(options, plan)
    for folder in {root, *((root / name).parent for name in lists)}:
        remove_unfinished(folder)
    jobs = list(_plan_jobs(options, layout, plan))
    counts = count_images(options, plan)
    total, kind = sum(len(job.images) for job in jobs), torch.device(device).type
    damaged: tuple[str, ...] = ()
    if manifest is not None and manifest["complete"]:
        damaged = find_damage(root, manifest).paths
        if not damaged:
            seconds = time.perf_counter() - started
            return RenderedTree(root, counts, total, 0, seconds, str(manifest["content_hash"]))
        _refuse_other_device(root, str(manifest["device"]), kind)
    with _explained(root), locked(root, root.with_name(f".{root.name}.lock")):
        root.mkdir(parents=True, exist_ok=True)
        write_manifest(root, options, kind, plan)
        for path in damaged:
            (root / path).unlink(missing_ok=True)
        for name, content in lists.items():
            write_bytes(root / name, content)
        missing = [job for job in jobs if not all(_is_whole(path) for path in job.paths(root))]
        rendered = _render_all(root, options, jobs, missing, device, workers, progress)
        files = {*lists, *(place for job in jobs for place in job.places)}
        content_hash = write_manifest(root, options, kind, plan, files)
    seconds = time.perf_counter() - started
    return RenderedTree(root, counts, total, rendered, seconds, content_hash, len(damaged))


def _refuse_other_device(root: Path, there: str, here: str) -> None:
    """Refuse to repair a tree with images of another kind of device: single grey levels would differ."""
    if there != here:
        raise UsageError(
            f"{root} is damaged, and was rendered on the device '{there}'; '{here}' gives other grey levels.",
            f"Repair it with --device {there}, or delete the folder and render all of it again.",
        )


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Say in plain words what the system has against writing the tree."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the benchmark can't be written to {root}: {error.strerror or error}",
            "Free some space or choose another folder, and run this again: what is finished is kept.",
        ) from error


def _plan_jobs(options: RenderOptions, layout: Layout, plan: Plan) -> Iterator[_Job]:
    """All batches, camera by camera: they depend on the options alone."""
    for camid, camera in layout.cameras.items():
        images = [
            (pid, frame)
            for pid in sorted(plan.cameras)
            if camid in plan.cameras[pid]
            for frame in range(1, options.images + 1)
        ]
        for first in range(0, len(images), BATCH):
            part = tuple(images[first : first + BATCH])
            yield _Job(camera, part, tuple(layout.place(plan, camid, *image) for image in part))


def _is_whole(path: Path) -> bool:
    """Whether a JPEG file is there from its first marker to its last, or a BMP file as long as it says.

    Files are renamed into place when they are written, but not synchronised one by one (thousands of them),
    so that after a power cut one may be empty or short.
    """
    try:
        with open_regular(path) as file:
            head = file.read(6)
            if head[:2] == b"BM":
                return int.from_bytes(head[2:], "little") == file.seek(0, os.SEEK_END)
            file.seek(-2, os.SEEK_END)
            return head[:2] == b"\xff\xd8" and file.read(2) == b"\xff\xd9"
    except (OSError, DataError):
        return False


def _render_all(
    root: Path,
    options: RenderOptions,
    jobs: list[_Job],
    missing: list[_Job],
    device: str,
    workers: int | None,
    progress: Progress | None,
) -> int:
    """Render the missing batches with threads, and return how many images were written."""
    total = sum(len(job.images) for job in jobs)
    done = total - sum(len(job.images) for job in missing)
    written = 0
    if progress is not None:
        progress(done, total)
    stop = threading.Event()
    renderer = Renderer(options.size, device)
    threads = max(1, workers if workers is not None else cores())
    previous = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        # Camera by camera would hold all but one worker back at a new camera's plate: plates come first.
        list(pool.map(renderer.prepare, {job.camera.camid: job.camera for job in missing}.values(),
                      repeat(options.seed)))  # fmt: skip
        pending: set[Future[int]] = {
            pool.submit(_render_job, root, options, job, renderer, stop) for job in missing
        }
        while pending:
            ended, pending = wait(pending, return_when=FIRST_COMPLETED)
            written += sum(future.result() for future in ended)
            if progress is not None:
                progress(done + written, total)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(previous)
    return written


def _render_job(
    root: Path, options: RenderOptions, job: _Job, renderer: Renderer, stop: threading.Event
) -> int:
    """Render one batch and write its files; returns the number of its images, 0 once stopped."""
    if stop.is_set():
        return 0
    people: dict[int, Person] = {pid: draw_person(options.seed, pid) for pid, _ in job.images}
    shots = [Shot(people[pid], job.camera, frame, options.seed) for pid, frame in job.images]
    for path, image in zip(job.paths(root), renderer.render(shots), strict=True):
        if not _is_whole(path):
            _write_image(path, image, job.camera.jpeg)
    return len(job.images)


def _write_image(path: Path, image: Array, quality: int) -> None:
    """Encode (h, w, 3) RGB by the path's ending and move the file into place; quality is a JPEG's."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    encoded = cv2.imencode(path.suffix, image[..., ::-1], options)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    # one name for each image: what a kill leaves is written over, for its image is missing then
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.write_bytes(encoded.tobytes())
    os.replace(temporary, path)


def verify_tree(root: Path) -> list[str]:
    """What is wrong with a rendered tree, in words; empty where every file is as it was written.

    Raises:
        UsageError: There is no manifest.
    """
    manifest = read_manifest(root)
    if manifest is None:
        raise UsageError(f"{root} holds no {MANIFEST}: it is not a rendered benchmark.")
    if not manifest["complete"]:
        return ["the tree is not complete: rendering was interrupted; run it again to finish"]
    return find_damage(root, manifest).lines()
