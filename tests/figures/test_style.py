"""Saving figures: sizes, bytes, formats, errors; colours distinct with colour blindness."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import IO

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vireid_cli.errors import UsageError, VireidError
from vireid_cli.figures import saving, style
from vireid_cli.figures.pixels import as_bytes, checked_pixels
from vireid_cli.types import Modality

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
DEFICIENCIES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, deficiency: str) -> np.ndarray:
    """Compute the CIE Lab value of a colour as perceived with a colour vision deficiency."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def drawing() -> matplotlib.figure.Figure:
    with style.styled():
        figure, axes = style.page(3.0, 2.0)
        style.place(axes, np.linspace(0, 1, 300).reshape(10, 10, 3), (0.5, 0.5, 1.0, 1.0))
        style.frames(axes, [(0.5, 0.5, 1.0, 1.0)], [style.RIGHT])
        style.write(axes, 1.8, 0.5, "✓ right")
    return figure


def png_size(path: Path) -> tuple[int, int]:
    return struct.unpack(">II", path.read_bytes()[16:24])


def pixels(path: Path) -> np.ndarray:
    return matplotlib.image.imread(path)[..., :3]


@pytest.mark.parametrize("deficiency", list(DEFICIENCIES))
@pytest.mark.parametrize(
    "pair",
    [(style.RIGHT, style.WRONG), tuple(style.MODALITY_COLOUR[m] for m in Modality)],
    ids=["match", "side"],
)
def test_meaningful_colours_are_distinct_with_colour_blindness(
    pair: tuple[str, str], deficiency: str
) -> None:
    # a difference of 2.3 is just visible, 20 is clearly another colour
    assert np.linalg.norm(lab(pair[0], deficiency) - lab(pair[1], deficiency)) > 20


def test_24_identity_colours_differ_and_then_repeat() -> None:
    table = np.array(style.colours(30))
    distances = np.linalg.norm(table[:24, None] - table[None, :24], axis=2) + np.eye(24)
    assert distances.min() > 0.08
    np.testing.assert_array_equal(table[24:], table[:6])
    assert ((table >= 0) & (table <= 1)).all()


@pytest.mark.parametrize("dpi", [72, 150])
def test_a_png_is_inches_times_dpi(tmp_path: Path, dpi: int) -> None:
    assert png_size(saving.save(drawing(), tmp_path / "a.png", dpi=dpi)) == (3 * dpi, 2 * dpi)


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_same_figure_same_bytes(tmp_path: Path, name: str) -> None:
    first = saving.save(drawing(), tmp_path / "1" / name).read_bytes()
    assert saving.save(drawing(), tmp_path / "2" / name).read_bytes() == first
    assert b"atplotlib" not in first  # no version, so an upgrade keeps the bytes
    assert b"dc:date" not in first


def test_matplotlibrc_is_ignored_and_restored(tmp_path: Path) -> None:
    plain = saving.save(drawing(), tmp_path / "a.svg").read_bytes()
    with matplotlib.rc_context({"font.size": 30.0, "font.family": "monospace", "axes.facecolor": "red"}):
        assert saving.save(drawing(), tmp_path / "b.svg").read_bytes() == plain
        assert matplotlib.rcParams["font.size"] == 30.0


@pytest.mark.parametrize(
    ("path", "format", "written"),
    [
        ("a", None, "a.png"),
        ("a.svg", None, "a.svg"),
        ("run.v1", "svg", "run.v1.svg"),
        ("a.PNG", "png", "a.PNG"),
    ],
)
def test_format_and_ending(tmp_path: Path, path: str, format: str | None, written: str) -> None:
    saved = saving.save(drawing(), tmp_path / path, format)
    assert saved == tmp_path / written
    start = saved.read_bytes()[:5]
    assert start == (b"<?xml" if written.endswith("svg") else b"\x89PNG\r")
    assert [p.name for p in tmp_path.iterdir()] == [written]


@pytest.mark.parametrize(("path", "format"), [("a.png", "svg"), ("a", "gif"), ("a.svg", "jpeg")])
def test_contradicting_or_unknown_formats_raise(tmp_path: Path, path: str, format: str) -> None:
    with pytest.raises(UsageError, match=format):
        saving.save(drawing(), tmp_path / path, format)
    assert not list(tmp_path.iterdir())


def test_unknown_suffix_raises(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gif"):
        saving.save(drawing(), tmp_path / "a.gif")


@pytest.mark.parametrize("dpi", [0, 19, 1201])
def test_dpi_out_of_range_raises(tmp_path: Path, dpi: int) -> None:
    with pytest.raises(UsageError, match=f"{dpi}"):
        saving.save(drawing(), tmp_path / "a.png", dpi=dpi)


def test_too_large_png_raises(tmp_path: Path) -> None:
    figure = style.blank(3.0, 100.0)
    with pytest.raises(UsageError, match=r"70,000 pixels.*\n.*--dpi 650 or less"):
        saving.save(figure, tmp_path / "a.png", dpi=700)
    assert not list(tmp_path.iterdir())
    assert saving.save(figure, tmp_path / "a.svg", dpi=700).exists()


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = saving.save(drawing(), tmp_path / "a.png")
    before = target.read_bytes()

    def half(self: object, file: IO[bytes], *_: object, **__: object) -> None:
        file.write(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(saving.Image.Image, "save", half)
    with pytest.raises(VireidError, match=r"a\.png"):
        saving.save(drawing(), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_png_has_the_pixels_of_matplotlibs_own_without_its_alpha(tmp_path: Path) -> None:
    saved = saving.Image.open(saving.save(drawing(), tmp_path / "a.png", dpi=80))
    with style.styled():
        drawing().savefig(tmp_path / "b.png", dpi=80)
    assert (saved.mode, round(saved.info["dpi"][0])) == ("RGB", 80)
    np.testing.assert_array_equal(np.asarray(saved) / np.float32(255), pixels(tmp_path / "b.png"))


def test_bytes_and_shares_are_the_same_image(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(as_bytes(levels / np.float32(255)), levels)
    files = []
    images: tuple[np.ndarray, ...] = (levels, levels / 255, levels / np.float32(255))
    for i, image in enumerate(images):
        with style.styled():
            figure, axes = style.page(1.0, 1.0)
            style.place(axes, image, (0.1, 0.1, 0.5, 0.5))
        files.append(saving.save(figure, tmp_path / f"{i}.png").read_bytes())
    assert len(set(files)) == 1


def test_a_frame_surrounds_its_image_without_a_gap(tmp_path: Path) -> None:
    with style.styled():
        figure, axes = style.page(2.0, 2.0)
        box = (0.503, 0.501, 1.0, 1.0)
        style.place(axes, np.zeros((7, 5, 3)), box)
        style.frames(axes, [box], [style.RIGHT], width=0.1)
    row = pixels(saving.save(figure, tmp_path / "a.png", dpi=100))[100]
    green, black, white = (
        np.abs(row - to_rgb(c)).max(axis=1) < 0.02 for c in (style.RIGHT, "black", "white")
    )
    assert green[42:49].all()
    assert black[52:149].all()
    assert green[152:159].all()
    assert white[:39].all()
    assert not white[42:159].any()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 1)),
        np.zeros((4, 4, 3), np.int64),
        np.full((4, 4, 3), 1.1),
        np.full((4, 4, 3), -0.1),
        np.full((4, 4, 3), np.nan),
        np.zeros((0, 4, 3)),
    ],
)
def test_invalid_pixels_raise(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="the query"):
        checked_pixels("the query", images)


def test_importing_the_figures_is_light() -> None:
    files = (Path(style.__file__).parent).glob("*.py")
    imports = "; ".join(f"import vireid_cli.figures.{path.stem}" for path in files if path.stem != "__init__")
    heavy = "{'torch', 'sklearn', 'scipy', 'matplotlib.pyplot'}"
    code = f"import sys; {imports}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "vireid_cli.figures.tsne" in code
    assert done.stdout.strip() == "[]"
