"""SYSU-MM01: all infrared images query a gallery of drawn visible ones, over ten draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.data.gallery_draws import Folders, draw_seeded, folders_of, sorted_rows
from vireid_cli.data.permutation import (
    TRIALS,
    Permutation,
    draw_official,
    find_permutation,
    official_orders,
    read_permutation,
)
from vireid_cli.data.plan import EvaluationPlan, Fingerprint, check_trials, complete_fingerprint
from vireid_cli.data.protocols.request import Draw, Mode, Request
from vireid_cli.data.store import Store
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.types import Modality, RecordTable

RULE: CameraRule = "sysu"
MERGED = True
DRAWS = True
"""The galleries are drawn."""

MULTI_SHOT = 10

SYSU_QUERY_CAMERAS = (3, 6)
SYSU_GALLERY_CAMERAS: dict[Mode, tuple[int, ...]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
SYSU_VAL_QUERY_CAMERAS = (3,)
SYSU_VAL_GALLERY_CAMERAS = (4, 5)
"""Cameras 3, 4 and 5 are the only ones with images of the 99 validation ids."""


def plans(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan each mode at each number of shots; by default all and indoor, single-shot, seeded.

    Raises:
        UsageError: Settings contradict each other or belong to another dataset.
        DataError: Cameras have no images, or the permutation is absent or does not fit the files.
    """
    check(request)
    draw = request.draw or "seeded"
    permutation = None
    if draw == "official":
        permutation = read_permutation(store.info.permutation or find_permutation(store.info.root))
    usual: tuple[Mode, ...] = ("all",) if request.split == "val" else ("all", "indoor")
    return [
        sysu_plan(
            store.records,
            mode=mode,
            shots=shots,
            draw=draw,
            trials=TRIALS if request.trials is None else request.trials,
            split=request.split,
            permutation=permutation,
            notes=store.ignored_file_notes,
        )
        for shots in request.shots or (1,)
        for mode in request.modes or usual
    ]


def check(request: Request) -> None:
    """Refuse unknown settings.

    Raises:
        UsageError: A setting is unknown.
    """
    request.refuse_others("SYSU-MM01", "modes", "shots", "draw", "trials", "split")


def published(fingerprint: Mapping[str, Any]) -> str | None:
    """Return ``all-single`` or similar for ten trials on the test identities with either draw, else None."""
    if fingerprint.get("trials") != TRIALS or fingerprint.get("split") != "test":
        return None
    return f"{fingerprint.get('mode')}-{'single' if fingerprint.get('shots') == 1 else 'multi'}"


def sysu_plan(
    table: RecordTable,
    *,
    mode: Mode,
    shots: int,
    draw: Draw,
    trials: int = TRIALS,
    split: str = "test",
    permutation: Permutation | None = None,
    notes: Sequence[str] = (),
) -> EvaluationPlan:
    """Plan an evaluation on SYSU-MM01: queries are all infrared images, galleries are drawn.

    ``seeded`` is the draw of most Python code: one ``random`` stream per trial, seeded with the trial's
    number from 0; for each id, then each camera of the mode, one ``choice`` among the sorted files. It has no
    agreed multi-shot form; this package uses ``sample`` of min(10, n). ``official`` uses the first 1 or 10
    numbers of the trial's row in ``rand_perm_cam.mat``. The official code refuses an id with fewer than 10
    images in a camera; this function draws all of them and adds a remark to the fingerprint.

    Args:
        table: All records of the dataset.
        mode: ``all`` for cameras 1, 2, 4, 5; ``indoor`` for 1, 2.
        shots: Number of images drawn for each id and camera, 1 or 10.
        draw: ``seeded`` or ``official``.
        trials: Number of trials; at most 10 for the official draw.
        split: ``test``, or ``val`` for infrared camera 3 against visible 4 and 5, with mode ``all`` only.
        permutation: Permutation for the official draw.
        notes: Remarks of the source for the fingerprint, such as ignored stray files.

    Raises:
        UsageError: Settings contradict each other.
        DataError: Cameras have no images, or the permutation does not fit the files.
    """
    if shots not in (1, MULTI_SHOT):
        raise UsageError(f"shots is {shots}; SYSU-MM01 knows 1 (single-shot) and 10 (multi-shot).")
    check_trials(trials, TRIALS if draw == "official" else None)
    q_cameras, g_cameras = _sysu_cameras(mode, split)
    rows = np.flatnonzero(table.splits == split)
    query = sorted_rows(table, rows[np.isin(table.camids[rows], q_cameras)])
    folders = folders_of(table, rows[np.isin(table.camids[rows], g_cameras)])
    _require_cameras(table, query, folders, split, q_cameras, g_cameras)
    galleries = _sysu_galleries(folders, g_cameras, shots, draw, trials, permutation)
    short = sum(len(files) < shots for files in folders.values())
    name = f"{mode}-{'single' if shots == 1 else 'multi'}-{draw}"
    return EvaluationPlan(
        name if split == "test" else f"{split}-{name}",
        (query,) * trials,
        galleries,
        "sysu",
        True,
        _sysu_fingerprint(mode, shots, draw, trials, split, short, notes),
    )


def _sysu_galleries(
    folders: Folders,
    cameras: tuple[int, ...],
    shots: int,
    draw: Draw,
    trials: int,
    permutation: Permutation | None,
) -> tuple[np.ndarray, ...]:
    """Draw the gallery of each trial."""
    if draw == "seeded":
        return tuple(draw_seeded(folders, cameras, trial, shots) for trial in range(trials))
    if draw != "official":
        raise UsageError(f"gallery draw is '{draw}'; SYSU-MM01 knows seeded and official.")
    if permutation is None:
        raise UsageError(
            "the official gallery draw needs rand_perm_cam.mat, which is missing.",
            "It belongs to the dataset's official evaluation code; the seeded draw needs no file.",
        )
    orders = official_orders(folders, permutation)
    return tuple(draw_official(folders, orders, trial, shots) for trial in range(trials))


def _sysu_fingerprint(
    mode: Mode, shots: int, draw: Draw, trials: int, split: str, short: int, notes: Sequence[str]
) -> Fingerprint:
    """Fingerprint of the plan; ``short`` is the number of folders with fewer images than ``shots``."""
    remarks = list(notes)
    if short:
        remarks.append(
            f"{short} (id, camera) folders hold fewer than {counted(shots, 'image')}: all of them are taken"
        )
    if draw == "seeded" and shots > 1:
        remarks.append("multi-shot has no agreed seeded form; ours: random.sample of min(10, n)")
    return complete_fingerprint(
        {
            "dataset": "sysu",
            "split": split,
            "mode": mode,
            "shots": shots,
            "trials": trials,
            "direction": "i2v",
            "gallery_draw": draw,
            # ten trials of the file's own draw; the official code stops where an id has too few images
            "official": draw == "official" and split == "test" and trials == TRIALS and not short,
        },
        "sysu",
        merged=True,
        notes=remarks,
    )


def _sysu_cameras(mode: Mode, split: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the query cameras and the gallery cameras."""
    if mode not in SYSU_GALLERY_CAMERAS:
        raise UsageError(f"mode is '{mode}'; SYSU-MM01 knows all and indoor.")
    if split != "val":
        return SYSU_QUERY_CAMERAS, SYSU_GALLERY_CAMERAS[mode]
    if mode == "indoor":
        raise UsageError(
            "the validation ids of SYSU-MM01 have no indoor visible image.", "Use --mode all (cameras 4, 5)."
        )
    return SYSU_VAL_QUERY_CAMERAS, SYSU_VAL_GALLERY_CAMERAS


def _require_cameras(
    table: RecordTable,
    query: np.ndarray,
    folders: Folders,
    split: str,
    q_cameras: tuple[int, ...],
    g_cameras: tuple[int, ...],
) -> None:
    """Refuse data without any image of a required camera: the metrics would not be comparable."""
    present = set(np.unique(table.camids[query]).tolist()) | {camid for _, camid in folders}
    missing = [camid for camid in (*q_cameras, *g_cameras) if camid not in present]
    if missing:
        raise DataError(
            f"split '{split}' has no images of camera {', '.join(map(str, missing))} "
            f"(queries: cameras {q_cameras}, gallery: cameras {g_cameras}).",
            "Each camera has a folder cam1..cam6 under SYSU-MM01, and exp/test_id.txt names the ids.",
        )
    if (table.modalities[query] != Modality.INFRARED.code).any():
        raise DataError(f"images of cameras {q_cameras} must be infrared, but some records are visible.")
