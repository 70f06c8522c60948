"""The layout of RegDB: ten visible and ten thermal images of each person, lists of ten trials.

``Visible/<id>/…bmp``, ``Thermal/<id>/…bmp``, ``idx/{train,test}_{visible,thermal}_{1..10}.txt``. As in
RegDB, the two cameras are at one place, both see every person, and each trial has another half of the people
for training. The number at the end of each line is a label within the trial.
"""

from __future__ import annotations

from dataclasses import replace

from vireid_cli.rendered.cameras import CAMERAS, THERMAL, Camera
from vireid_cli.rendered.draws import Purpose, stream
from vireid_cli.rendered.layouts import Layout
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Plan

TRIALS = 10
FOLDERS = {31: "Visible", 32: "Thermal"}
_CAMERAS: dict[int, Camera] = {31: replace(CAMERAS[5], camid=31), 32: replace(THERMAL, camid=32)}


def plan(ids: int, seed: int, more_test_ids: int = 0) -> Plan:
    """Plan all people for both cameras; the training identities differ from trial to trial."""
    every = tuple(range(1, ids + more_test_ids + 1))
    return Plan(train=every, val=(), test=(), cameras=dict.fromkeys(every, tuple(_CAMERAS)))


def place(plan: Plan, camid: int, pid: int, frame: int) -> str:
    """Return the path of an image under the root, with a file name like RegDB's."""
    serial = pid * 100 + frame
    return f"{FOLDERS[camid]}/{pid}/person_walk_{FOLDERS[camid][0].lower()}_{serial:05d}_{pid}.bmp"


def lists(options: RenderOptions, plan: Plan) -> dict[str, bytes]:
    """Return the lists of ten trials: half of the people for training, the others for testing."""
    content: dict[str, bytes] = {}
    for trial in range(1, TRIALS + 1):
        order = stream(options.seed, Purpose.SPLIT, trial).permutation(options.ids) + 1
        half = options.ids // 2
        for split, pids in (("train", sorted(order[:half])), ("test", sorted(order[half:]))):
            for camid, folder in FOLDERS.items():
                lines = [
                    f"{place(plan, camid, int(pid), frame)} {label}\n"
                    for label, pid in enumerate(pids)
                    for frame in range(1, options.images + 1)
                ]
                content[f"idx/{split}_{folder.lower()}_{trial}.txt"] = "".join(lines).encode()
    return content


LAYOUT = Layout("RegDB", "RegDB", 10, _CAMERAS, plan, place, lists)
