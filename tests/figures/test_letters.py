"""Names in figures with escapes for missing letters; import without a backend."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from vireid_cli.figures import saving, style
from vireid_cli.figures.report.page import embedded_json, escape_value, escape_values

NAME = "$\\frac{1}$ \x1b[31m 照\udcd5\x07 \u202e--> é ✓.jpg"
DRAWN = r"$\frac{1}$ \x1b[31m \u7167\xd5\x07 \u202e--> é ✓.jpg"


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_a_figure_with_any_name_is_drawn(tmp_path: Path, format: str) -> None:
    figure, axes = style.page(4.0, 1.0)
    style.write(axes, 0.1, 0.1, NAME)
    axes.set_title(f"{NAME}\nsecond")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph emits a warning
        path = saving.save(figure, tmp_path / "a", format)
    assert axes.texts[0].get_text() == DRAWN
    assert axes.get_title() == f"{DRAWN}\nsecond" or axes.get_title(loc="center") == f"{DRAWN}\nsecond"
    if format == "svg":
        from xml.etree import ElementTree

        content = path.read_text(encoding="utf-8")
        ElementTree.fromstring(content)
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", content)


def test_names_are_shortened_to_one_line() -> None:
    assert style.shortened("a\nb", 20) == r"a\nb"
    assert style.without_middle("a\x1bb", 2.0) == r"a\x1bb"


def test_page_shows_printable_names() -> None:
    assert escape_values({"a\x1b": ["\u202e", 1, None, ("\udcd5",)]}) == {
        r"a\x1b": [r"\u202e", 1, None, [r"\xd5"]]
    }
    assert escape_value("a\x1b\nb") == "a\\x1b\nb"
    embedded_json({"a": "\udcd5</script>\u2028"}).encode("ascii")


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_import_ignores_the_backend_of_a_notebook(tmp_path: Path, backend: str) -> None:
    code = (
        "import os, sys\n"
        "from vireid_cli.figures import saving, style\n"
        "figure, axes = style.page(1.0, 1.0)\n"
        "saving.save(figure, __import__('pathlib').Path(sys.argv[1]))\n"
        f"assert os.environ['MPLBACKEND'] == {backend!r}\n"
    )
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").is_file()


def test_only_figures_import_matplotlib() -> None:
    """Another importer would do so with the backend of the environment."""
    import vireid_cli

    root = Path(vireid_cli.__file__).parent
    for path in root.rglob("*.py"):
        if "figures" not in path.relative_to(root).parts:
            lines = path.read_text(encoding="utf-8").splitlines()
            assert not [line for line in lines if re.match(r"(from|import) matplotlib", line)], path


def test_pixels_of_plain_text_are_unchanged() -> None:
    assert style.drawable("Rank-1 μ ± σ → ✗ −1 %") == "Rank-1 μ ± σ → ✗ −1 %"
    assert np.all([style.drawable(c) == c for c in "äßñçøÅŁğπΔ≤…·×"])
