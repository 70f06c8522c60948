"""The layout of SYSU-MM01: ``cam1..cam6/<4-digit id>/<4-digit frame>.jpg``, ``exp/`` and gallery draws.

Numbers of people beyond 9,999 have five digits.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from scipy.io import savemat

from vireid_cli.rendered.cameras import CAMERAS
from vireid_cli.rendered.draws import Purpose, stream
from vireid_cli.rendered.layouts import Layout
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Plan, plan_population

Array = np.ndarray


def place(plan: Plan, camid: int, pid: int, frame: int) -> str:
    """Return the path of an image under the root."""
    return f"cam{camid}/{pid:04d}/{frame:04d}.jpg"


def lists(options: RenderOptions, plan: Plan) -> dict[str, bytes]:
    """Return the split files and the gallery draws, in the formats of SYSU-MM01."""
    ids = {
        "train": plan.train,
        "val": plan.val,
        "test": plan.test,
        "available": tuple(sorted(plan.cameras)),
    }
    content = {"rand_perm_cam.mat": _mat({"rand_perm_cam": _draw_permutations(options, plan)})}
    for name, pids in ids.items():
        content[f"exp/{name}_id.txt"] = (",".join(str(pid) for pid in pids) + "\n").encode()
        content[f"exp/{name}_id.mat"] = _mat({"id": np.array([pids], dtype=np.float64)})
    return content


def _draw_permutations(options: RenderOptions, plan: Plan) -> Array:
    """Draw galleries in the official form: cell {camera}{id} is 10 × n, its rows permutations of 1..n."""
    cameras = np.empty((len(CAMERAS), 1), dtype=object)
    for row, camid in enumerate(CAMERAS):
        people = options.ids + options.more_test_ids
        cell = np.empty((people, 1), dtype=object)
        for pid in range(1, people + 1):
            rng = stream(options.seed, Purpose.PERMUTATION, pid, camid)
            count = CAMERAS[camid].frames(options.images) if camid in plan.cameras[pid] else 0
            draws = [rng.permutation(count) + 1 for _ in range(10)] if count else np.empty((0, 0))
            cell[pid - 1, 0] = np.array(draws, dtype=np.float64)
        cameras[row, 0] = cell
    return cameras


def _mat(variables: dict[str, Array]) -> bytes:
    """Encode a MATLAB 5 file; its header has no date and no platform, so that its bytes are reproducible."""
    buffer = io.BytesIO()
    write: Any = savemat  # its stubs know paths only
    write(buffer, variables, do_compression=True)
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file, written by vireid".ljust(116)
    return bytes(data)


LAYOUT = Layout("SYSU-MM01", "SYSU-MM01", 3, CAMERAS, plan_population, place, lists)
