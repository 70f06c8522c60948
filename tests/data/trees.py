"""Small trees in the layouts of RegDB, LLCM, the face datasets and a folder, made of noise."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np

REGDB_PEOPLE = tuple(range(1, 13))
LLCM_TRAIN, LLCM_TEST = (1, 2, 3, 4), (7, 8, 9)


def write_image(path: Path, pid: int, size: tuple[int, int] = (32, 16)) -> None:
    """One image: a person's pattern plus noise of the path's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pattern = cv2.resize(np.random.default_rng(pid).integers(0, 226, (4, 2, 3), dtype=np.uint8), size[::-1])
    noise = np.random.default_rng(list(path.name.encode())).integers(0, 30, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pattern + noise)


def regdb_halves(trial: int) -> dict[str, set[int]]:
    """Who is trained on and who is tested on in a trial."""
    order = np.random.default_rng(trial).permutation(REGDB_PEOPLE).tolist()
    return {"train": set(order[:6]), "test": set(order[6:])}


def write_regdb(root: Path, images: int = 2) -> Path:
    """Twelve people, and lists of ten trials with labels other than the folders' numbers."""
    names: dict[str, list[str]] = {"visible": [], "thermal": []}
    for (word, listed), pid, image in itertools.product(names.items(), REGDB_PEOPLE, range(images)):
        name = f"{word.title()}/{pid}/male_back_{word[0]}_{image:05d}_{pid}.bmp"
        write_image(root / name, pid)
        listed.append(name)
    (root / "idx").mkdir()
    for trial in range(1, 11):
        for (split, pids), (word, listed) in itertools.product(regdb_halves(trial).items(), names.items()):
            rows = [name for name in listed if int(name.split("/")[1]) in pids]
            text = "".join(f"{name} {i // images}\n" for i, name in enumerate(rows))
            (root / "idx" / f"{split}_{word}_{trial}.txt").write_text(text)
    return root


def write_llcm(root: Path) -> Path:
    """Four people to train on, three to test; visible cameras 1, 2, 3, infrared ones 1 and 2."""
    (root / "idx").mkdir(parents=True)
    for word, cameras in (("vis", (1, 2, 3)), ("nir", (1, 2))):
        lines = []
        for pid, camid in itertools.product(LLCM_TRAIN, cameras):
            name = f"{word}/{pid:04d}/{pid:04d}_c{camid:02d}_s1_f{camid}_{word}.jpg"
            write_image(root / name, pid)
            lines.append(f"{name} {LLCM_TRAIN.index(pid)}\n")
        (root / "idx" / f"train_{word}.txt").write_text("".join(lines))
        for pid, camid, frame in itertools.product(LLCM_TEST, cameras, (1, 2)):
            folder = root / f"test_{word}" / f"cam{camid}" / f"{pid:04d}"
            write_image(folder / f"{pid:04d}_c{camid:02d}_s1_f{frame}_{word}.jpg", pid)
    (root / "idx" / "test_id.txt").write_text(",".join(map(str, LLCM_TEST)))
    return root


def write_oulu(root: Path, people: int = 6, frames: int = 11) -> Path:
    """Two expressions under two lights."""
    every = itertools.product(("NI", "VL"), ("Strong", "Dark"), range(1, people + 1), ("Anger", "Happiness"))
    for side, light, pid, expression in every:
        for frame in range(frames):
            path = root / side / light / f"P{pid:03d}" / expression / f"{frame:03d}.jpeg"
            write_image(path, pid, (8, 8))
    return root


def write_buaa(root: Path, people: int = 6) -> Path:
    """Three images a person and modality."""
    for side, pid, image in itertools.product(("VIS", "NIR"), range(1, people + 1), range(3)):
        write_image(root / side / str(pid) / f"{image}.bmp", pid, (8, 8))
    return root


def write_folder(root: Path) -> Path:
    """Three people to train on, two to test, both modalities on both sides."""
    for side, modality in itertools.product(("train", "query", "gallery"), ("visible", "infrared")):
        for pid, image in itertools.product((1, 2, 3) if side == "train" else (4, 5), range(2)):
            write_image(root / side / modality / str(pid) / f"c{image + 3}_{image}.png", pid)
    return root
