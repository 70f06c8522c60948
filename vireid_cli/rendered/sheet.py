"""A contact sheet: what the benchmark looks like, people in rows, cameras in columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.rendered.cameras import CAMERAS
from vireid_cli.rendered.manifest import RenderOptions, read_manifest
from vireid_cli.rendered.population import draw_person, plan_population
from vireid_cli.rendered.render import Renderer
from vireid_cli.rendered.shots import Shot
from vireid_cli.rendered.tree import image_path

Array = np.ndarray
_CELL = (176, 96)
"""Height and width of an image's place on the sheet in pixels."""
_LABEL = 18
_MARGIN = 44


def contact_sheet(source: Path | RenderOptions, out: Path, images: int = 40, *, device: str = "cpu") -> Path:
    """Draw the first people that every camera saw, and return the picture's path.

    Args:
        source: A rendered tree, or options: then only what the sheet shows is rendered.
        out: A PNG file.
        images: How many images; the last row may be short.
        device: Where images are rendered.

    Raises:
        DataError: ``source`` is no rendered tree, or an image can't be read.
    """
    people = -(-images // len(CAMERAS))
    cells = (
        _rendered(source, people, device) if isinstance(source, RenderOptions) else _stored(source, people)
    )
    rows: dict[int, list[Array]] = {}
    for count, (pid, image) in enumerate(cells):
        if count >= images:
            break
        rows.setdefault(pid, []).append(_fit(image))
    half = -(-len(rows) // 2)
    blocks = [_block(dict(list(rows.items())[k : k + half]), half) for k in (0, half)]
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), np.concatenate(blocks, axis=1)[..., ::-1]):
        raise DataError(f"{out} can't be written.")
    return out


def _everywhere(options: RenderOptions, people: int) -> list[int]:
    """The first people that all six cameras saw."""
    plan = plan_population(options.ids, options.seed)
    return [pid for pid in sorted(plan.cameras) if len(plan.cameras[pid]) == len(CAMERAS)][:people]


def _rendered(options: RenderOptions, people: int, device: str) -> Iterator[tuple[int, Array]]:
    """(pid, image) rendered for the sheet."""
    renderer = Renderer(options.size, device)
    for pid in _everywhere(options, people):
        person = draw_person(options.seed, pid)
        shots = [Shot(person, camera, 1, options.seed) for camera in CAMERAS.values()]
        for image in renderer.render(shots):
            yield pid, image


def _stored(root: Path, people: int) -> Iterator[tuple[int, Array]]:
    """(pid, image) read from a tree."""
    manifest = read_manifest(root)
    if manifest is None:
        raise DataError(f"{root} is not a rendered benchmark.")
    known = manifest["parameters"]
    options = RenderOptions(known["ids"], known["images"], known["seed"], tuple(known["size"]))
    for pid in _everywhere(options, people):
        for camid in CAMERAS:
            path = image_path(root, camid, pid, 1)
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise DataError(f"{path} can't be read.", "Run the rendering again: it fills the gap.")
            yield pid, image[..., ::-1]


def _fit(image: Array) -> Array:
    """Scale an image into a cell, on white."""
    height, width = _CELL
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    cell = np.full((height, width, 3), 255, dtype=np.uint8)
    y, x = (height - size[1]) // 2, (width - size[0]) // 2
    cell[y : y + size[1], x : x + size[0]] = small
    return cell


def _block(rows: dict[int, list[Array]], height: int) -> Array:
    """One half of the sheet: a line of camera names, then a row a person."""
    cell_height, cell_width = _CELL
    gap = 3
    sheet = np.full(
        (_LABEL + height * (cell_height + gap), _MARGIN + len(CAMERAS) * (cell_width + gap), 3), 255, np.uint8
    )
    for column, camera in enumerate(CAMERAS.values()):
        name = f"cam{camera.camid} {camera.modality.value[:3]}."
        _write(sheet, name, _MARGIN + column * (cell_width + gap) + 12, 13)
    for line, (pid, images) in enumerate(rows.items()):
        top = _LABEL + line * (cell_height + gap)
        _write(sheet, f"{pid:04d}", 4, top + cell_height // 2)
        for column, image in enumerate(images):
            left = _MARGIN + column * (cell_width + gap)
            sheet[top : top + cell_height, left : left + cell_width] = image
    return sheet


def _write(sheet: Array, text: str, x: int, y: int) -> None:
    """Put a label, in place."""
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
