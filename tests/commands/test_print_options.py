"""Options of figures for print, as a person types them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from vireid_cli.commands.visualize.print_options import parse_width
from vireid_cli.errors import UsageError


@pytest.fixture
def image(place: Path, sysu_tree: Path) -> Path:
    """A visible image of the small dataset."""
    return sysu_tree / "SYSU-MM01" / "cam1" / "0001" / "0001.jpg"


def test_a_folder_gets_a_file_of_the_figures_name(vireid: Command, place: Path, image: Path) -> None:
    code, out, err = vireid("visualize", "sheet", "--images", 3, "--out", f"{place / 'new' / 'figures'}/")
    assert code == 0, err
    assert out.splitlines()[0] == f"wrote {place / 'new' / 'figures' / 'sheet-sysu.png'}"
    code, out, _ = vireid(
        "visualize", "sheet", "--images", 3, "--out", place / "new", "--format", "pdf", "--width", "180mm"
    )
    assert out.splitlines()[0] == f"wrote {place / 'new' / 'sheet-sysu.pdf'}"
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", (place / "new" / "sheet-sysu.pdf").read_bytes())
    assert box
    assert float(box[1]) == pytest.approx(180 / 25.4 * 72, abs=0.01)


def test_the_options_of_one_call_are_not_those_of_the_next(vireid: Command, place: Path) -> None:
    sizes = []
    for options in (["--no-title", "--width", "100mm"], []):
        vireid("visualize", "sheet", "--images", 3, "--out", "a.svg", *options)
        text = Path("a.svg").read_text()
        sizes.append(re.findall(r'width="([\d.]+)pt"', text)[0])
        assert (">SYSU" in text) is (not options)
    assert sizes[0] != sizes[1]


def test_small_text_is_noted(vireid: Command, place: Path) -> None:
    code, _, err = vireid("visualize", "sheet", "--images", 12, "--out", "a.pdf", "--width", "30mm")
    assert code == 0
    assert "the smallest text of the figure has" in err


@pytest.mark.parametrize(
    ("text", "inches"), [("85mm", 85 / 25.4), ("8.5 cm", 8.5 / 2.54), ("3.35in", 3.35), ("241pt", 241 / 72)]
)
def test_widths(text: str, inches: float) -> None:
    np.testing.assert_allclose(parse_width(text), inches)


@pytest.mark.parametrize("text", ["85", "mm", "-3mm", "1e3mm", "0.1mm", "5000mm", ""])
def test_wrong_widths_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--width"):
        parse_width(text)


def test_labels_are_options_of_figures_of_runs(vireid: Command, place: Path) -> None:
    code, _, err = vireid("visualize", "sheet", "--labels", "a")
    assert (code, "No such option" in err) == (2, True)
    code, _, err = vireid("visualize", "report", "--width", "85mm")
    assert (code, "No such option" in err) == (2, True)
