"""``vireid prepare`` of faces ends with a command that trains on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Command


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three people in the layout of BUAA-VisNir."""
    for side in ("VIS", "NIR"):
        for pid in (1, 2, 3):
            (tmp_path / "BUAA" / side / str(pid)).mkdir(parents=True)
            for image in range(2):
                Image.new("RGB", (8, 8), (40 * pid, 0, 0)).save(
                    tmp_path / "BUAA" / side / str(pid) / f"{image}.bmp"
                )
    return tmp_path / "BUAA"


def test_the_next_command_is_a_face_recipe(vireid: Command, people: Path) -> None:
    # The quickstart's batch has more people than Oulu-CASIA trains on.
    prepared = vireid("prepare", "buaa", "--root", people, "--size", "32x32", "--data", people.parent)
    assert prepared.code == 0, prepared.err
    recipe = prepared.out.split("next: vireid train --recipe ")[1].split()[0]
    shown = vireid("recipes", "show", recipe)
    assert "name: face" in shown.out
    assert "dataset: buaa" in shown.out
