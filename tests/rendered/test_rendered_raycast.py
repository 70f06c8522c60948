"""Ray–solid intersection against plain loops in float64 and sphere tracing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vireid_cli.rendered.primitives import Primitives, Sculptor
from vireid_cli.rendered.raycast import Grid, bounding_boxes, cast
from vireid_cli.rendered.shade import surface_normal

CPU = torch.device("cpu")


def grid(count: int, side: int = 48, reach: float = 0.16) -> Grid:
    step = 2 * reach / side
    edge = np.full(count, -reach)
    full = np.full(count, side)
    return Grid(edge, edge.copy(), np.full(count, step), full, full.copy(), side, side)


def rays(g: Grid) -> np.ndarray:
    x = g.left[0] + (np.arange(g.width) + 0.5) * g.step[0]
    y = g.top[0] + (np.arange(g.height) + 0.5) * g.step[0]
    u, v = np.meshgrid(x, y)
    return np.stack([u, v, np.ones_like(u)], axis=-1)


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q


def one_ellipsoid(
    rng: np.random.Generator, **cut: Any
) -> tuple[Primitives, np.ndarray, np.ndarray, np.ndarray]:
    centre = np.array([[rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(3, 5)]])
    radii = rng.uniform(0.08, 0.35, 3)
    frame = rotation(rng)[None]
    sculptor = Sculptor(1)
    sculptor.ellipsoid(centre, tuple(radii), frame, (0, 0), **cut)
    return sculptor.finish(), centre[0], radii, frame[0]


def round_cone_distance(p: np.ndarray, a: np.ndarray, b: np.ndarray, r0: float, r1: float) -> np.ndarray:
    """Return the signed distance to a ball swept from (a, r0) to (b, r1): the minimum over 4000 balls."""
    share = np.linspace(0, 1, 4001)
    centres = a + share[:, None] * (b - a)
    radii = r0 + share * (r1 - r0)
    return np.min(np.linalg.norm(p[None] - centres, axis=1) - radii)


def march(d: np.ndarray, a: np.ndarray, b: np.ndarray, r0: float, r1: float) -> float:
    """Return the depth of the first hit along d by sphere tracing; infinite without a hit."""
    unit, t = d / np.linalg.norm(d), 0.0
    for _ in range(200):
        step = float(round_cone_distance(unit * t, a, b, r0, r1))
        if step < 1e-7:
            return float(t * unit[2])
        t += step
        if t > 12:
            break
    return np.inf


@pytest.mark.parametrize("seed", range(4))
def test_ellipsoid_depth_is_the_closed_form(seed: int) -> None:
    solids, centre, radii, frame = one_ellipsoid(np.random.default_rng(seed))
    g = grid(1)
    depth = cast(solids, g, CPU).depth[0].numpy()
    for y in range(0, g.height, 3):
        for x in range(0, g.width, 3):
            # In the ball's own space the ray is o + t w and the ball has radius one.
            o, w = -(frame @ centre) / radii, (frame @ rays(g)[y, x]) / radii
            a, b, c = w @ w, o @ w, o @ o - 1
            inside = b * b - a * c
            if abs(inside) < 1e-3:
                continue  # grazing: rounding decides
            want = (-b - np.sqrt(inside)) / a if inside > 0 else np.inf
            assert depth[y, x] == pytest.approx(want, rel=2**-16, abs=2e-5)


@pytest.mark.parametrize(("seed", "radii"), [(0, (0.12, 0.05)), (1, (0.05, 0.12)), (2, (0.08, 0.08))])
def test_tapered_capsule_is_the_swept_ball(seed: int, radii: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    a = np.array([rng.uniform(-0.2, 0.2), -0.25, rng.uniform(3.2, 3.8)])
    b = np.array([rng.uniform(-0.2, 0.2), 0.25, rng.uniform(3.2, 3.8)])
    sculptor = Sculptor(1)
    frame = sculptor.cone(a[None], b[None], radii, np.array([[1.0, 0.0, 0.0]]), (0, 0))
    for centre, r in ((a, radii[0]), (b, radii[1])):
        sculptor.ellipsoid(centre[None], (r, r, r), frame, (0, 0))
    g = grid(1, side=24)
    depth = cast(sculptor.finish(), g, CPU).depth[0].numpy()
    want = np.array([[march(d, a, b, *radii) for d in row] for row in rays(g)])
    both = np.isfinite(depth) & np.isfinite(want)
    assert both.sum() > 40
    # Outlines may differ by a sample that only grazes.
    assert (np.isfinite(depth) != np.isfinite(want)).sum() <= 2
    assert np.abs(depth[both] - want[both]).max() < 2e-3
    assert np.median(np.abs(depth[both] - want[both])) < 1e-4


def test_nearest_solid_wins_in_any_order() -> None:
    frame = np.eye(3)[None]
    depths = {}
    for order in ((3.0, 4.0), (4.0, 3.0)):
        sculptor = Sculptor(1)
        for z in order:
            sculptor.ellipsoid(np.array([[0.0, 0.0, z]]), (0.2, 0.2, 0.2), frame, (0, 0))
        hits = cast(sculptor.finish(), grid(1, side=49), CPU)
        depths[order] = hits.depth[0, 24, 24].item()
        assert hits.index[0, 24, 24].item() == order.index(3.0)
    assert depths[(3.0, 4.0)] == depths[(4.0, 3.0)] == pytest.approx(2.8, rel=2**-16)


def test_cut_ellipsoid_keeps_only_its_part() -> None:
    sculptor = Sculptor(1)
    sculptor.ellipsoid(np.array([[0.0, 0.0, 3.0]]), (0.3, 0.3, 0.3), np.eye(3)[None], (0, 0), low=0.0)
    depth = cast(sculptor.finish(), grid(1), CPU).depth[0]
    # The axial direction is the camera's y, which points down.
    assert torch.isinf(depth[:22]).all()
    assert torch.isfinite(depth[25:36, 20:28]).all()


@pytest.mark.parametrize("seed", range(3))
def test_boxes_contain_all_hits_and_are_tight(seed: int) -> None:
    solids, *_ = one_ellipsoid(np.random.default_rng(seed))
    g = grid(1, side=400, reach=0.25)
    left, top, right, bottom = bounding_boxes(solids)[0, 0]
    met = np.isfinite(cast(solids, g, CPU).depth[0].numpy())
    u, v = rays(g)[..., 0][met], rays(g)[..., 1][met]
    step = g.step[0]
    assert left - 1e-9 <= u.min() <= left + 2.5 * step
    assert right - 2.5 * step <= u.max() <= right + 1e-9
    assert top - 1e-9 <= v.min() <= top + 2.5 * step
    assert bottom - 2.5 * step <= v.max() <= bottom + 1e-9


def test_images_in_a_batch_do_not_interact() -> None:
    rng = np.random.default_rng(5)
    singles = [one_ellipsoid(rng)[0] for _ in range(3)]
    joined = Primitives(
        *(np.concatenate([getattr(s, name) for s in singles]) for name in Primitives.__slots__)
    )
    together = cast(joined, grid(3), CPU).depth
    for i, single in enumerate(singles):
        assert torch.equal(together[i], cast(single, grid(1), CPU).depth[0])


def test_normals_are_unit_and_point_outwards() -> None:
    rng = np.random.default_rng(0)
    # A cone of radius k0 − k1 s around the axis, depth ratio 0.7, and points on it.
    k0, k1, ratio = 0.12, 0.15, 0.7
    s, angle = rng.uniform(0, 0.4, 500), rng.uniform(-np.pi, np.pi, 500)
    r = k0 - k1 * s
    q = np.stack([r * np.sin(angle), s, ratio * r * np.cos(angle)])
    diagonal = [torch.full((500,), v) for v in (1.0, -(k1**2), 1 / ratio**2)]
    components = surface_normal(
        [torch.from_numpy(x).float() for x in q], diagonal, torch.full((500,), k0 * k1)
    )
    normal = torch.stack(components).double().numpy()
    assert np.abs(np.linalg.norm(normal, axis=0) - 1).max() < 1e-5
    # Outwards: away from the axis. Perpendicular to the surface: both tangents have zero product with it.
    assert (normal[0] * q[0] + normal[2] * q[2] > 0).all()
    around = np.stack([r * np.cos(angle), 0 * s, -ratio * r * np.sin(angle)])
    along = np.stack([-k1 * np.sin(angle), np.ones(500), -ratio * k1 * np.cos(angle)])
    assert np.abs((normal * around).sum(axis=0)).max() < 1e-6
    assert np.abs((normal * along).sum(axis=0)).max() < 1e-5
