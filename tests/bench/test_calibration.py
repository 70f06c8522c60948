"""The calibration table: measures equal hand-made truths, and the default renderer is inside the ranges."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vireid_cli import files
from vireid_cli.bench.calibration import CalibrationRow, calibrate
from vireid_cli.bench.calibration.pixels import HEIGHT, WIDTH, image_paths, mean_spectrum, patch_levels, slope
from vireid_cli.bench.calibration.table import material_rows, rendered_people
from vireid_cli.bench.measure import measure
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError
from vireid_cli.rendered import RenderOptions, write_tree
from vireid_cli.rendered.manifest import MANIFEST
from vireid_cli.rendered.population import draw_person


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calibration") / "SYSU-MM01"
    write_tree(root, RenderOptions(ids=40, images=2), workers=2)
    return root


@pytest.fixture(scope="module")
def rows(tree: Path) -> dict[str, CalibrationRow]:
    return {row.name: row for row in calibrate(tree)}


def test_levels_and_spectra_of_the_default_renderer_are_inside(rows: dict[str, CalibrationRow]) -> None:
    kinds = ("level", "background", "slope", "cameras 1 and 2")
    held = [row for name, row in rows.items() if any(kind in name for kind in kinds)]
    outside = [(row.name, row.values) for row in held if not row.inside and "0.05 to 0.3" not in row.name]
    assert len(held) >= 13
    assert not outside


def test_infrared_cameras_agree_and_do_not_follow_the_visible_ones(rows: dict[str, CalibrationRow]) -> None:
    for part in ("torso", "legs"):
        assert rows[f"{part} luminance, infrared cameras 3 and 6"].values[0] > 0.7
        assert min(rows[f"{part} luminance, visible and visible camera"].values) > 0.6
        assert abs(rows[f"{part} luminance, mean over visible and infrared"].values[0]) < 0.4


def test_materials_are_inside_the_ranges_of_the_spectral_library() -> None:
    held = list(material_rows(draw_person(0, pid) for pid in range(1, 601)))
    assert len(held) == 10
    assert not [(row.name, row.values) for row in held if not row.inside]


def test_slope_of_a_known_spectrum() -> None:
    f = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH)[None])
    f[0, 0] = 1.0
    for exponent in (1.0, 1.4, 2.0):
        assert slope(f**-exponent, 0.05, 0.2) == pytest.approx(exponent, abs=0.02)
    rng = np.random.default_rng(0)
    noise = [np.fft.ifft2(np.fft.fft2(rng.standard_normal(f.shape)) * f**-1.3).real for _ in range(60)]
    assert slope(mean_spectrum(noise), 0.05, 0.2) == pytest.approx(1.3, abs=0.05)


def test_patches_are_torso_legs_and_background() -> None:
    grey = np.zeros((100, 50))
    grey[28:42, 19:31], grey[60:75, 19:31], grey[28:42, [1, 2, -3, -2]] = 10.0, 20.0, 30.0
    assert patch_levels(grey) == (10.0, 20.0, 30.0)


def test_table_of_a_tree_without_a_manifest_has_no_materials(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cam1"):
        image_paths(tmp_path)
    assert all(row.inside is None for row in material_rows([]))
    path = tmp_path / "cam1" / "0001" / "0001.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"none")
    for camid in range(2, 7):
        (tmp_path / f"cam{camid}" / "0001").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"cam{camid}" / "0001" / "0001.jpg"), np.zeros((40, 20, 3), np.uint8))
    with pytest.raises(DataError, match="not a readable image"):
        calibrate(tmp_path)


def test_materials_follow_the_dials_and_the_version_of_the_tree(tmp_path: Path) -> None:
    root = tmp_path / "SYSU-MM01"
    options = RenderOptions(ids=6, images=1, size=(32, 16), gap=0.0)
    write_tree(root, options, workers=1)
    assert [p.materials for p in rendered_people(root)] == [
        options.dials.dress(draw_person(0, pid)).materials for pid in range(1, 7)
    ]
    content = json.loads((root / MANIFEST).read_text())
    files.write_sealed(root / MANIFEST, content | {"version": 1})
    assert list(rendered_people(root)) == []


def test_subject_names_the_tree_and_its_version(tree: Path) -> None:
    result = measure("calibration", Session.choose("cpu", data_dir=tree.parent), root=tree)
    assert result["version"] == 2
    assert result["rendered"]
    assert 0 < result["inside"] <= result["ranges"]
    assert all(row["inside"] in (True, False, None) for row in result["rows"])
