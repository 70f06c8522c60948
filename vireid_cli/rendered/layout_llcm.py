"""The layout of LLCM: nine places at night, each with a visible and, except the third, an infrared camera.

``vis/<id>/…_vis.jpg``, ``nir/<id>/…_nir.jpg`` for training people, ``test_vis/cam1..cam9/<id>/*.jpg`` and
``test_nir/cam1,2,4..9/<id>/*.jpg`` for the others, ``idx/{train,test}_{vis,nir}.txt``, ``idx/test_id.txt``.
Two thirds of the people are for training (LLCM: 713 of 1,064). Each person appears at some places only.

Visible light is a fifth of the scene's, with a longer exposure, more noise and the cast of street lamps.
This brightness is our choice, not a measurement of the dataset.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from vireid_cli.rendered.cameras import CAMERAS, Camera, with_spectrum
from vireid_cli.rendered.draws import Purpose, stream
from vireid_cli.rendered.layouts import Layout
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.rendered.population import Plan
from vireid_cli.types import Modality

PLACES = range(1, 10)
WITHOUT_INFRARED = 3
SEEN_AT = (4, 7)
"""Minimum and maximum number of places at which one person appears."""

WORDS = {Modality.VISIBLE: "vis", Modality.INFRARED: "nir"}
DIM = 0.2
"""Share of the scene's light that remains at night."""

# Place → camera that it resembles, position in the scene (metres), colour cast of its lamps.
_PLACES: dict[int, tuple[int, tuple[float, float], tuple[float, float, float]]] = {
    1: (4, (0.0, 0.0), (1.18, 1.0, 0.70)),
    2: (5, (0.0, 0.0), (1.05, 1.0, 0.86)),
    3: (6, (0.0, 0.0), (1.22, 1.0, 0.62)),
    4: (4, (2.2, 1.0), (1.10, 1.0, 0.80)),
    5: (1, (0.0, 0.0), (1.04, 1.0, 0.92)),
    6: (5, (-2.0, 0.8), (1.20, 1.0, 0.66)),
    7: (2, (0.6, 0.3), (0.96, 1.0, 1.04)),
    8: (6, (0.4, 1.2), (1.08, 1.0, 0.84)),
    9: (4, (-2.4, 0.5), (0.98, 1.0, 1.00)),
}


def _visible(place: int) -> Camera:
    """Return the visible camera of a place, at night."""
    like, shift, gains = _PLACES[place]
    day = with_spectrum(CAMERAS[like], "visible")
    return replace(
        day,
        camid=40 + place,
        shift=shift,
        sky=day.sky * DIM,
        ground=day.ground * DIM,
        key=day.key * DIM,
        shadow=day.shadow * 0.6,
        gains=gains,
        exposure=day.exposure * 1.6,
        black=0.02,
        blur=day.blur * 1.3,
        noise=(0.045, 0.030),
        richness=1.0,
    )


def _infrared(place: int) -> Camera:
    """Return the infrared camera of a place."""
    like, shift, _ = _PLACES[place]
    return replace(with_spectrum(CAMERAS[like], "near_infrared"), camid=60 + place, shift=shift, richness=1.0)


_CAMERAS: dict[int, Camera] = {
    **{40 + place: _visible(place) for place in PLACES},
    **{60 + place: _infrared(place) for place in PLACES if place != WITHOUT_INFRARED},
}


def plan(ids: int, seed: int, more_test_ids: int = 0) -> Plan:
    """Plan two thirds of ``ids`` people for training; all cameras of 4 to 7 places see each person."""
    order = stream(seed, Purpose.SPLIT, 0).permutation(ids) + 1
    trained = round(ids * 713 / 1064)
    cameras: dict[int, tuple[int, ...]] = {}
    for pid in range(1, ids + more_test_ids + 1):
        rng = stream(seed, Purpose.PRESENCE, pid, 1)
        count = int(rng.integers(SEEN_AT[0], SEEN_AT[1] + 1))
        places = sorted(rng.permutation(len(PLACES))[:count] + 1)
        cameras[pid] = tuple(
            camid for base in (40, 60) for place in places if (camid := base + int(place)) in _CAMERAS
        )
    train, test = (tuple(sorted(int(pid) for pid in part)) for part in (order[:trained], order[trained:]))
    more = tuple(range(ids + 1, ids + more_test_ids + 1))
    return Plan(train=train, val=(), test=test + more, cameras=cameras)


def place(plan: Plan, camid: int, pid: int, frame: int) -> str:
    """Return the path of an image under the root, with a file name like LLCM's."""
    word, number = WORDS[_CAMERAS[camid].modality], camid % 20
    name = f"{pid:04d}_c{number:02d}_s{pid * 10 + number}_f{frame * 10}_{word}.jpg"
    if _is_tested(plan, pid):
        return f"test_{word}/cam{number}/{pid:04d}/{name}"
    return f"{word}/{pid:04d}/{name}"


def _is_tested(plan: Plan, pid: int) -> bool:
    """Whether a person belongs to the test; a binary search, because ``place`` asks for every image."""
    index = bisect_left(plan.test, pid)
    return index < len(plan.test) and plan.test[index] == pid


def lists(options: RenderOptions, plan: Plan) -> dict[str, bytes]:
    """Return the four image lists, with a label at the end of each line, and the list of test people."""
    content = {"idx/test_id.txt": (",".join(map(str, plan.test)) + "\n").encode()}
    for split, pids in (("train", plan.train), ("test", plan.test)):
        for modality, word in WORDS.items():
            lines = [
                f"{place(plan, camid, pid, frame)} {label}\n"
                for label, pid in enumerate(pids)
                for camid in plan.cameras[pid]
                if _CAMERAS[camid].modality is modality
                for frame in range(1, options.images + 1)
            ]
            content[f"idx/{split}_{word}.txt"] = "".join(lines).encode()
    return content


LAYOUT = Layout("LLCM", "LLCM", 2, _CAMERAS, plan, place, lists)
