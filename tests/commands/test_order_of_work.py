"""Options are refused before data, networks or devices are touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from vireid_cli.engine import occlusion
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError

WRONG = [
    ("prepare occluded --part 0/0", "--part 0/0"),
    ("prepare occluded --part 3/2", "--part 3/2"),
    ("prepare occluded --part 1", "--part 1"),
    ("prepare occluded --part ١/٢", "--part"),
    (f"prepare occluded --part {'1' * 5000}/2", "expected I/N"),
    ("prepare sysu --size 1x1", "--size 1x1"),
    (f"prepare sysu --size {'1' * 5000}x144", "HEIGHTxWIDTH"),
    ("prepare sysu --depth nonsense", "nonsense"),
    ("prepare synthetic --size 5000x1", "--size 5000x1"),
    ("prepare occluders --images . --detector nothing", "--detector nothing"),
    ("prepare occluders --images . --coco missing.json", "--coco missing.json"),
    ("prepare occluders --images missing --detector maskrcnn", "--images missing"),
    ("prepare occluders --images . --detector maskrcnn --refine sam", "SAM's checkpoint"),
    ("prepare occluders --images . --detector maskrcnn --refine sam --sam-weights no.pth", "no.pth"),
    ("evaluate --trial 0", "--trial 0"),
    ("evaluate --trial 1²", "--trial 1²"),
    (f"evaluate --trial {'1' * 5000}", "--trial 1"),
    ("bench spectra --shape axbxc", "--shape axbxc"),
    (f"bench spectra --shape 1x1x{'1' * 5000}", "CHANNELSxHEIGHTxWIDTH"),
    ("visualize sweep nowhere --where margin", "--where margin"),
    ("visualize sweep nowhere --metric ,", "--metric names no metric"),
    ("visualize occlusion --format bmp", "bmp"),
    ("visualize spectrum --dpi 1", "1"),
    ("train --recipe quickstart --set train.epochs=010", "write 10"),
    ("train --recipe quickstart --trial all", "trial"),
    ("train --recipe quickstart --trial 1:30", "write 90"),
    (f"visualize tsne --seed {2**31}", "'--seed'"),
    (f"visualize tsne --images {10**20}", "'--images'"),
    (f"visualize report --seed {10**20}", "'--seed'"),
    (f"prepare folder --split 0.5 --seed {10**20}", "'--seed'"),
    (f"evaluate --trials {10**20}", "'--trials'"),
    ("train --recipe quickstart --processes 10000", "limit"),
    ("evaluate --processes 10000", "limit"),
    ("compare main --processes 10000", "limit"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=lambda text: text[:50])
def test_wrong_options_are_named_though_there_is_no_data(
    line: str, message: str, vireid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIREID_DATA", str(tmp_path / "nowhere"))
    result = vireid(*line.split())
    assert result.code == 2
    assert message in result.err
    assert "nowhere:" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", ["--trial 3", "--library missing", "--root cam"])
def test_no_library_is_drawn_for_a_tree_that_is_refused(
    options: str, vireid: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the library was drawn")

    (place / "cam").write_text("a file")
    monkeypatch.setattr(occlusion, "build_builtin", refuse)
    assert vireid("prepare", "occluded", *options.split()).code in (1, 2)


def test_a_part_is_checked_before_anything_else(tmp_path: Path) -> None:
    session: Any = Session
    with pytest.raises(UsageError, match="0/0"):
        occlusion.occlude("sysu", session, part=(0, 0))
