"""Speed of ``prepare`` and of the sampler, compared with common implementations."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli.bench import reference
from vireid_cli.bench.timing import interleaved, peak_memory
from vireid_cli.data.fill import decode_files
from vireid_cli.data.prepare import prepare as prepare_store
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.engine.cost import IDENTITIES
from vireid_cli.engine.session import Session
from vireid_cli.processors import cores
from vireid_cli.types import Modality, Size

ROWS = (22_258, 11_909)
"""Numbers of visible and infrared training images of SYSU-MM01."""

P, K = 8, 4


def prepare(session: Session, *, images: int, size: Size, repeats: int) -> dict[str, Any]:
    """Compare decoding with resizing, and the whole of ``prepare``, with PIL and Lanczos in one thread.

    ``prepare`` also lists, checks and hashes the files, writes the pixels and waits for the disk. The images
    are synthetic, with a height of 180 to 500 pixels. The growth of peak memory is measured while ``prepare``
    processes four times as many images.

    Args:
        session: Session with the runtime.
        images: Number of image files.
        size: (height, width) of the stored images.
        repeats: Interleaved repetitions.
    """
    with tempfile.TemporaryDirectory() as name:
        data, numbers = Path(name), itertools.count()
        few, many = data / "few", data / "many"
        paths = _photographs(few, images)
        _photographs(many, 4 * images)

        def work(root: Path) -> None:
            """Prepare a folder of images into a new store."""
            prepare_store("folder", root, data / f"store-{next(numbers)}", size)

        work(few)
        before = peak_memory()
        work(many)
        growth = peak_memory() - before
        seconds = interleaved(
            {
                "pil": lambda: reference.pil_decode(paths, size),
                "decode": lambda: decode_files(paths, size),
                "prepare": lambda: work(few),
            },
            repeats,
            session.runtime,
        )
    return {
        "images": images,
        "size": f"{size[0]}x{size[1]}",
        "workers": cores(),
        "pil_images_per_second": images / seconds["pil"],
        "decode_images_per_second": images / seconds["decode"],
        "prepare_images_per_second": images / seconds["prepare"],
        "decode_over_pil": seconds["pil"] / seconds["decode"],
        "prepare_over_pil": seconds["pil"] / seconds["prepare"],
        "peak_memory_growth_mib": growth / 2**20,
        "pixels_of_four_times_as_many_mib": 4 * images * size[0] * size[1] * 3 / 2**20,
    }


def sampler(session: Session, *, repeats: int) -> dict[str, Any]:
    """Compare the index and epoch plan of a training set of SYSU-MM01's size with lists and loops."""
    random = np.random.default_rng(0)
    modalities = np.repeat([modality.code for modality in Modality], ROWS)
    pids = np.concatenate([np.sort(np.arange(rows) % IDENTITIES) for rows in ROWS])
    sides = [pids[modalities == modality.code].tolist() for modality in Modality]
    ready = IdentitySampler(pids, modalities, P, K, 0)
    visible, infrared = (reference.index_lists(side) for side in sides)
    seconds = interleaved(
        {
            "list_index": lambda: [reference.index_lists(side) for side in sides],
            "index": lambda: IdentitySampler(pids, modalities, P, K, 0),
            "loop_plan": lambda: reference.plan_by_loop(visible, infrared, ready.steps, P, K, random),
            "plan": lambda: ready.plan(0),
        },
        repeats,
        session.runtime,
    )
    return {
        "rows": sum(ROWS),
        "identities": IDENTITIES,
        "steps": ready.steps,
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "index_over_lists": seconds["list_index"] / seconds["index"],
        "plan_over_loop": seconds["loop_plan"] / seconds["plan"],
    }


def _photographs(root: Path, images: int) -> list[Path]:
    """Write smooth random images with a little noise as JPEG files of one person; return their paths."""
    random = np.random.default_rng(0)
    folder = root / "train" / "visible" / "1"
    folder.mkdir(parents=True)
    paths = []
    for i in range(images):
        height = int(random.integers(180, 501))
        coarse = random.integers(0, 226, (16, 8, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (round(0.4 * height), height), interpolation=cv2.INTER_CUBIC)
        noise = random.integers(0, 30, smooth.shape, dtype=np.uint8)
        paths.append(folder / f"{i:06d}.jpg")
        cv2.imwrite(str(paths[-1]), cv2.add(smooth, noise), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths
