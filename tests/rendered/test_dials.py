"""Dials: the same people and draws at every setting, recorded in the manifest, the title and the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vireid_cli.commands.main import app
from vireid_cli.data.identity import identity_tokens, marks, store_title
from vireid_cli.data.prepare import prepare
from vireid_cli.data.provenance import rendering_command
from vireid_cli.dial_defaults import DIALS
from vireid_cli.documents import SEAL
from vireid_cli.errors import UsageError
from vireid_cli.rendered import RenderOptions, read_manifest, write_tree
from vireid_cli.rendered.cameras import CAMERAS
from vireid_cli.rendered.dials import USUAL, Dials
from vireid_cli.rendered.manifest import MANIFEST
from vireid_cli.rendered.materials import Slot
from vireid_cli.rendered.occluders import draw_occluder
from vireid_cli.rendered.options import ADDED
from vireid_cli.rendered.population import draw_person
from vireid_cli.rendered.render import Renderer
from vireid_cli.rendered.shots import Shot, draw_shots

PEOPLE = range(1, 9)
OPTIONS = {"ids": 4, "images": 1, "seed": 3, "size": (40, 20)}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    torch.set_num_threads(1)
    return Renderer((64, 32))


def shots(dials: Dials, camid: int) -> list[Shot]:
    return [Shot(dials.dress(draw_person(0, pid)), CAMERAS[camid], 1, 0, dials) for pid in PEOPLE]


def images(renderer: Renderer, dials: Dials, camid: int) -> list[np.ndarray]:
    return renderer.render(shots(dials, camid))


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(first, second, strict=True)]


def test_gap_changes_the_infrared_images_only(renderer: Renderer) -> None:
    for camid, same in ((1, True), (4, True), (3, False), (6, False)):
        assert all(equal(images(renderer, USUAL, camid), images(renderer, Dials(gap=0.3), camid))) == same


def test_at_gap_0_reflectance_is_the_luminance_and_in_between_a_blend() -> None:
    for pid in PEOPLE:
        person = draw_person(0, pid)
        tied, half = Dials(gap=0.0).dress(person), Dials(gap=0.5).dress(person)
        for slot in (Slot.TOP, Slot.HAIR, Slot.BAG):
            dye = person.materials[slot].second
            assert tied.materials[slot].second.near_infrared == pytest.approx(dye.luminance)
            middle = 0.5 * (dye.near_infrared + dye.luminance)
            assert half.materials[slot].second.near_infrared == pytest.approx(middle)
            assert tied.materials[slot].second.visible == dye.visible
        assert [m.dye.near_infrared for m in tied.marks] == [m.dye.luminance for m in person.marks]
        assert USUAL.dress(person) is person


def test_noise_keeps_everything_but_the_grain(renderer: Renderer) -> None:
    usual, none, double = (images(renderer, Dials(noise=value), 6) for value in (0.5, 0.0, 1.0))
    for a, b, c in zip(usual, none, double, strict=True):
        first, second = a.astype(float) - b, c.astype(float) - b
        assert abs(first.mean()) < 0.5
        # The same grain, twice as strong.
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95
        assert second.std() / first.std() == pytest.approx(2.0, rel=0.1)


def test_pose_scales_the_variation_around_the_same_draws() -> None:
    usual, none, double = (draw_shots(shots(Dials(pose=value), 4)) for value in (0.5, 0.0, 1.0))
    assert np.ptp(none["yaw"]) == np.ptp(none["phase"]) == np.ptp(none["bend"]) == 0.0
    assert np.allclose(double["bend"], 2 * usual["bend"])
    assert np.allclose(double["phase"], usual["phase"])
    for name in ("x", "z", "pad_top", "exposure", "fold_first"):
        assert np.array_equal(usual[name], none[name])
        assert np.array_equal(usual[name], double[name])


def test_occlusion_adds_objects_one_by_one(renderer: Renderer) -> None:
    base, every = images(renderer, USUAL, 4), images(renderer, Dials(occlusion=1.0), 4)
    thresholds = [draw_occluder(shot).threshold for shot in shots(USUAL, 4)]
    some = images(renderer, Dials(occlusion=0.5), 4)
    for a, b, c, threshold in zip(base, some, every, thresholds, strict=True):
        assert np.array_equal(b, c if threshold < 0.5 else a)
    covered = [1 - ok for ok in equal(base, every)]
    assert sum(covered) >= 6


@pytest.mark.parametrize("name", DIALS)
def test_dials_are_recorded_and_never_mixed(tmp_path: Path, name: str) -> None:
    root, value = tmp_path / "SYSU-MM01", 0.25
    write_tree(root, RenderOptions(**OPTIONS, **{name: value}), workers=1)  # type: ignore[arg-type]
    manifest = read_manifest(root)
    assert manifest is not None
    assert manifest["parameters"] == {**OPTIONS, **ADDED, "size": [40, 20], **DIALS, name: value}
    with pytest.raises(UsageError, match=rf"{name}: 0.25 in the folder"):
        write_tree(root, RenderOptions(**OPTIONS))  # type: ignore[arg-type]
    assert f"--{name} 0.25 --root" in rendering_command("sysu", manifest, root)
    assert write_tree(root, RenderOptions(**OPTIONS, **{name: value})).rendered == 0  # type: ignore[arg-type]


def test_tree_without_dials_has_the_usual_ones(tmp_path: Path) -> None:
    root = tmp_path / "SYSU-MM01"
    write_tree(root, RenderOptions(**OPTIONS), workers=1)  # type: ignore[arg-type]
    content = json.loads((root / MANIFEST).read_text())
    for name in DIALS:
        del content["parameters"][name]
    del content[SEAL]  # earlier versions wrote none
    (root / MANIFEST).write_text(json.dumps(content))
    assert write_tree(root, RenderOptions(**OPTIONS)).rendered == 0  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"gap: 1\.0 in the folder, 0\.5 requested"):
        write_tree(root, RenderOptions(**OPTIONS, gap=0.5))  # type: ignore[arg-type]


def test_store_has_the_dials_in_title_and_fingerprint_and_the_same_people(tmp_path: Path) -> None:
    stores = []
    for gap in (1.0, 0.5):
        root = tmp_path / f"gap-{gap:g}" / "SYSU-MM01"
        write_tree(root, RenderOptions(**OPTIONS, gap=gap), workers=1)  # type: ignore[arg-type]
        stores.append(prepare("sysu", root, tmp_path / f"data-{gap:g}", (32, 16)).store)
        shutil.rmtree(root)
    usual, changed = stores
    assert store_title(usual) == "rendered SYSU-MM01 layout"
    assert store_title(changed) == "rendered SYSU-MM01 layout, gap 0.5"
    assert ", gap 0.5, " in marks(changed)["rendered"]
    assert usual.info.fingerprint != changed.info.fingerprint
    pids = np.arange(1, 5)
    assert identity_tokens(usual, pids) == identity_tokens(changed, pids)


@pytest.mark.parametrize("name", DIALS)
def test_values_outside_0_to_1_are_refused(name: str) -> None:
    for value in (-0.1, 1.1, float("nan")):
        options: dict[str, Any] = {name: value}
        with pytest.raises(UsageError, match=f"{name} is .*from 0 to 1"):
            RenderOptions(**options)
    result = CliRunner().invoke(app, ["prepare", "synthetic", f"--{name}", "1.5"])
    assert result.exit_code == 2


def test_gap_is_refused_for_thermal_images() -> None:
    with pytest.raises(UsageError, match=r"gap 0\.5 has no effect on the layout regdb") as error:
        RenderOptions(layout="regdb", gap=0.5)
    assert "--gap" in error.value.hint
    assert RenderOptions(layout="regdb", gap=1.0, occlusion=0.5).dials.occlusion == 0.5


def test_gap_keeps_the_reflectance_of_objects() -> None:
    """As docs/benchmark.md documents; other materials would need another version of the renderer."""
    dyes = [
        [draw_occluder(shot).material.first for shot in shots(Dials(gap=gap, occlusion=1.0), 3)]
        for gap in (0.0, 1.0)
    ]
    assert dyes[0] == dyes[1]
    assert any(dye.near_infrared != dye.luminance for dye in dyes[0])
