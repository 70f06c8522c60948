"""Marks on garments: tables of the shader, and where a mark is drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from vireid_cli.rendered.cameras import CAMERAS
from vireid_cli.rendered.marks import COLUMNS, FAR, GarmentMark, mark_tables
from vireid_cli.rendered.materials import Dye, Slot
from vireid_cli.rendered.population import draw_person
from vireid_cli.rendered.render import Renderer
from vireid_cli.rendered.shade import draw_marks
from vireid_cli.rendered.shots import Shot

RED = Dye((1.0, 0.0, 0.0), 0.9, 0.5)


def test_tables_have_one_entry_per_garment_and_the_spectrum_of_each_image() -> None:
    band = GarmentMark(Slot.TOP, RED, FAR, 0.1, 0.2)
    cuff = GarmentMark(Slot.SLEEVE, RED, FAR, 0.4)
    tables = mark_tables([(band, cuff), (band, band), ()], ["visible", "near_infrared", "visible"])
    assert list(tables) == [Slot.TOP, Slot.SLEEVE]
    top = tables[Slot.TOP].reshape(2, len(COLUMNS), 3)
    assert top[:, COLUMNS.index("half")].tolist() == [[FAR, FAR, -1.0], [-1.0, FAR, -1.0]]
    assert top[0, -3:, 0].tolist() == [1.0, 0.0, 0.0]
    assert top[0, -3:, 1].tolist() == [0.9, 0.9, 0.9]
    assert mark_tables([(), ()], ["visible", "visible"]) == {}


def test_a_mark_covers_its_strip_on_its_side_with_soft_edges() -> None:
    mark = GarmentMark(Slot.TOP, RED, 0.05, 0.1, 0.2, offset=-0.1, folded=True, side=1)
    x = torch.tensor([0.1, -0.1, 0.0, 0.1, 0.1, 0.15])
    height = torch.tensor([0.15, 0.15, 0.15, 0.25, 0.15, 0.15])
    front = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, 1.0])
    colour = torch.zeros(6)
    rows = torch.tensor(mark_tables([(mark,)], ["visible"])[Slot.TOP], dtype=torch.float32).expand(-1, 6)
    draw_marks([colour], x, height, front, rows)
    assert torch.allclose(colour, torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.5]), atol=1e-4)


def test_a_band_changes_the_image_and_an_absent_slot_does_not() -> None:
    torch.set_num_threads(1)
    renderer = Renderer((96, 48))
    plain = dataclasses.replace(draw_person(0, 3), marks=())
    band = dataclasses.replace(plain, marks=(GarmentMark(Slot.TOP, RED, FAR, 0.1, 0.4),))
    absent = dataclasses.replace(plain, marks=(GarmentMark(Slot.OBJECT, RED, FAR),))
    first, second, third = (
        renderer.render([Shot(person, CAMERAS[1], 1, 0)])[0].astype(int) for person in (plain, band, absent)
    )
    assert (second[..., 0] - first[..., 0]).max() > 40
    assert np.array_equal(first, third)


def test_people_differ_in_marks() -> None:
    people = [draw_person(0, pid) for pid in range(1, 200)]
    kinds = {tuple((m.slot, round(m.half, 3)) for m in person.marks) for person in people}
    assert len(kinds) > 150
    assert np.mean([len(person.marks) > 0 for person in people]) > 0.9
