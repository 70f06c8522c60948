"""Write the benchmark as a folder in a dataset's layout, and mark it as rendered.

``layout_<name>.py`` defines the images and lists. ``vireid-rendered.json`` is written last; the tree is
incomplete as long as its ``complete`` is false.

An image's bytes depend on the parameters, the seed and its (pid, camid, frame) only. The parameters determine
the batches, and workers share no state, so that neither the number of workers nor an interruption affects the
result. (Single images may differ by rounding between kinds of processors, or between a CPU and a GPU: the
manifest names the device. Of 768 images, an H100 and a CPU rendered 736 identically, and the others differed
by at most 6 grey levels.)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
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
"""Images per batch."""


@dataclass(frozen=True, slots=True)
class RenderedTree:
    """Result of ``write_tree``.

    Attributes:
        root: Root folder of the dataset.
        counts: Number of images by split (``train``, ``val``, ``test``) and camera number.
        images: Total number of images.
        rendered: Images rendered by this call; the others existed already.
        seconds: Wall time of this call.
        content_hash: sha256 over the sorted relative paths and their files' hashes.
        repaired: Number of damaged or missing files of a complete tree that this call rewrote.
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
    """One batch: images of one camera, as (pid, frame), and their paths under the root."""

    camera: Camera
    images: tuple[tuple[int, int], ...]
    places: tuple[str, ...]

    def paths(self, root: Path) -> list[Path]:
        """Return the paths of the batch's images."""
        return [root / place for place in self.places]


def write_tree(
    root: Path,
    options: RenderOptions,
    *,
    device: str = "cpu",
    workers: int | None = None,
    progress: Progress | None = None,
) -> RenderedTree:
    """Render the benchmark into ``root``; complete images that exist already are kept.

    Each file of a complete tree is compared with its hash; differing and missing files are rendered again.

    Args:
        root: Root folder of the dataset; created if missing.
        options: Parameters of the benchmark.
        device: ``cpu`` or a CUDA device.
        workers: Number of threads; None uses one per processor core.
        progress: Called with (images done, total images), from the calling thread.

    Raises:
        UsageError: The folder has a tree with other parameters, files that were not rendered, or a damaged
            tree that another kind of device rendered.
        DataError: No space, no permission, or another process renders into the folder.
    """
    started = time.perf_counter()
    root = Path(root)
    layout = load_layout(options.layout)
    plan = layout.plan(options.ids, options.seed, options.more_test_ids)
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
        _check_device(root, str(manifest["device"]), kind)
    with _convert_os_errors(root), locked(root, root.with_name(f".{root.name}.lock")):
        root.mkdir(parents=True, exist_ok=True)
        write_manifest(root, options, kind, plan)
        for path in damaged:
            (root / path).unlink(missing_ok=True)
        for name, content in lists.items():
            write_bytes(root / name, content)
        missing = [job for job in jobs if not all(_is_complete(path) for path in job.paths(root))]
        rendered = _render_all(root, options, jobs, missing, device, workers, progress)
        files = {*lists, *(place for job in jobs for place in job.places)}
        content_hash = write_manifest(root, options, kind, plan, files)
    seconds = time.perf_counter() - started
    return RenderedTree(root, counts, total, rendered, seconds, content_hash, len(damaged))


def _check_device(root: Path, recorded: str, device: str) -> None:
    """Raise if another kind of device rendered the tree: repaired images would differ in grey levels."""
    if recorded != device:
        raise UsageError(
            f"{root} is damaged and was rendered on the device '{recorded}'; "
            f"'{device}' renders slightly different grey levels.",
            f"Repair it with --device {recorded}, or delete the folder and render all images again.",
        )


@contextmanager
def _convert_os_errors(root: Path) -> Iterator[None]:
    """Convert errors of the operating system while writing the tree to ``DataError``."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the benchmark can't be written to {root}: {error.strerror or error}",
            "Free some space or choose another folder, and run this command again: finished images are kept.",
        ) from error


def _plan_jobs(options: RenderOptions, layout: Layout, plan: Plan) -> Iterator[_Job]:
    """Yield all batches, camera by camera; they depend on the options only."""
    for camid, camera in layout.cameras.items():
        images = [
            (pid, frame)
            for pid in sorted(plan.cameras)
            if camid in plan.cameras[pid]
            for frame in range(1, camera.frames(options.images) + 1)
        ]
        for first in range(0, len(images), BATCH):
            part = tuple(images[first : first + BATCH])
            yield _Job(camera, part, tuple(layout.place(plan, camid, *image) for image in part))


def _is_complete(path: Path) -> bool:
    """Whether a JPEG file has its first and last marker, or a BMP file the length in its header.

    Files are renamed into place after writing, but not synchronised one by one (there are thousands), so
    that a power cut may leave an empty or short file.
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
    """Render the missing batches with threads and return the number of written images."""
    total = sum(len(job.images) for job in jobs)
    done = total - sum(len(job.images) for job in missing)
    written = 0
    if progress is not None:
        progress(done, total)
    stop = threading.Event()
    renderer = Renderer(options.size, device)
    threads = max(1, workers if workers is not None else cores())
    previous, previous_cv = torch.get_num_threads(), cv2.getNumThreads()
    cv2.setNumThreads(1)  # the workers are the threads
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        # Plates come first: otherwise all workers but one wait at each new camera for its plate.
        list(pool.map(renderer.prepare, {job.camera.camid: job.camera for job in missing}.values(),
                      repeat(options.seed)))  # fmt: skip
        waiting, pending = iter(missing), set[Future[int]]()
        while True:
            # Few batches wait at a time: their number may be tens of thousands.
            for job in islice(waiting, 2 * threads - len(pending)):
                pending.add(pool.submit(_render_job, root, options, job, renderer, stop))
            if not pending:
                break
            ended, pending = wait(pending, return_when=FIRST_COMPLETED)
            written += sum(future.result() for future in ended)
            if progress is not None:
                progress(done + written, total)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(previous)
        cv2.setNumThreads(previous_cv)
    return written


def _render_job(
    root: Path, options: RenderOptions, job: _Job, renderer: Renderer, stop: threading.Event
) -> int:
    """Render one batch, write its files and return its number of images; 0 after a stop."""
    if stop.is_set():
        return 0
    dials, seed = options.dials, options.seed
    people: dict[int, Person] = {pid: dials.dress(draw_person(seed, pid)) for pid in dict(job.images)}
    shots = [Shot(people[pid], job.camera, frame, seed, dials) for pid, frame in job.images]
    for path, image in zip(job.paths(root), renderer.render(shots), strict=True):
        if not _is_complete(path):
            _write_image(path, image, job.camera.jpeg)
    return len(job.images)


def _write_image(path: Path, image: Array, quality: int) -> None:
    """Encode an (h, w, 3) RGB image by the path's suffix and write it atomically; ``quality`` is for JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    encoded = cv2.imencode(path.suffix, image[..., ::-1], options)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fixed temporary name per image: the next run overwrites the remains of a killed one.
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.write_bytes(encoded.tobytes())
    os.replace(temporary, path)


def verify_tree(root: Path) -> list[str]:
    """Return one message per damaged file of a rendered tree; empty if the tree is intact.

    Raises:
        UsageError: The folder has no manifest.
    """
    manifest = read_manifest(root)
    if manifest is None:
        raise UsageError(f"{root} has no {MANIFEST}: it is not a rendered benchmark.")
    if not manifest["complete"]:
        return ["the tree is not complete: rendering was interrupted; render it again to finish"]
    return find_damage(root, manifest).lines()
