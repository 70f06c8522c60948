"""Camera rules: the gallery images that the evaluation of a query ignores.

SYSU-MM01 ignores every gallery image from the query's location, regardless of identity (infrared camera 3
and visible camera 2 share a location). LLCM ignores only images of the same person from the same camera
number. RegDB and the face datasets ignore nothing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

CameraRule = Literal["none", "sysu", "llcm"]

SYSU_INFRARED_AT_SAME_PLACE = 3
SYSU_VISIBLE_AT_SAME_PLACE = 2

EXPLANATIONS: dict[CameraRule, str] = {
    "none": "every gallery image counts",
    "sysu": "queries of camera 3 ignore gallery images of camera 2 (same place)",
    "llcm": "gallery images of the query's person under the query's camera number are ignored",
}


def ignored(
    rule: CameraRule,
    q_pids: np.ndarray,
    q_camids: np.ndarray,
    g_pids: np.ndarray,
    g_camids: np.ndarray,
) -> np.ndarray | None:
    """Return a boolean mask, true for ignored gallery images, or None if the rule ignores nothing.

    The four arrays broadcast against each other: pass columns (Q, 1) and rows (G,) for a (Q, G) mask,
    or four arrays of one length for a mask over pairs.

    Raises:
        ValueError: Unknown rule.
    """
    if rule == "none":
        return None
    if rule == "sysu":
        at_place = q_camids == SYSU_INFRARED_AT_SAME_PLACE
        if not at_place.any():
            return None
        return at_place & (g_camids == SYSU_VISIBLE_AT_SAME_PLACE)
    if rule == "llcm":
        return (q_pids == g_pids) & (q_camids == g_camids)
    raise ValueError(f"unknown camera rule {rule!r}; known: {', '.join(EXPLANATIONS)}")


def ignored_cells(
    rule: CameraRule,
    q_pids: np.ndarray,
    q_camids: np.ndarray,
    g_pids: np.ndarray,
    g_camids: np.ndarray,
) -> np.ndarray | None:
    """Return the (Q, G) mask of ``ignored`` for (Q,) queries and (G,) gallery images, or None."""
    if rule == "sysu":
        at_place = q_camids == SYSU_INFRARED_AT_SAME_PLACE
        if not at_place.any():
            return None
        # only two distinct rows: copying them is several times faster than an outer product
        kinds = np.stack([np.zeros(len(g_camids), dtype=bool), g_camids == SYSU_VISIBLE_AT_SAME_PLACE])
        return np.take(kinds, at_place.astype(np.intp), axis=0)
    return ignored(rule, q_pids[:, None], q_camids[:, None], g_pids, g_camids)


def ignore(
    rule: CameraRule,
    q_pids: np.ndarray,
    q_camids: np.ndarray,
    g_pids: np.ndarray,
    g_camids: np.ndarray,
    scores: np.ndarray,
) -> np.ndarray | int:
    """Set the ignored scores of a (Q, G) matrix to −inf, in place.

    Returns:
        Number of ignored scores per query, (Q,), or 0 if the rule ignores nothing.
    """
    if rule == "sysu":
        at_place, same_place = q_camids == SYSU_INFRARED_AT_SAME_PLACE, g_camids == SYSU_VISIBLE_AT_SAME_PLACE
        if not at_place.any():
            return 0
        # only two distinct rows of limits: a minimum is several times faster than writing through a mask
        limits = np.full((2, len(g_camids)), np.inf, scores.dtype)
        limits[1, same_place] = -np.inf
        np.fmin(scores, np.take(limits, at_place.astype(np.intp), axis=0), out=scores)
        return at_place * np.count_nonzero(same_place)
    mask = ignored_cells(rule, q_pids, q_camids, g_pids, g_camids)
    if mask is None:
        return 0
    np.copyto(scores, -np.inf, where=mask)
    return np.count_nonzero(mask, axis=1)
