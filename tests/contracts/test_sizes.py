"""Sizes and shapes are written as they are typed, ``96x48``: in pages, recipes, messages and docstrings.

``×`` remains for products (8 identities × 4 images, 33,000 × 512), factors (5×) and kernels (3×3).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "examples/*.ipynb", "recipes/**/*.yaml")
    for path in ROOT.glob(pattern)
)
SIZE = re.compile(r"\b[0-9]+(?:×[0-9]+)+\b")


def sizes_with_a_cross(text: str) -> list[str]:
    """Sizes of two digits or more that nobody can type."""
    return [size for size in SIZE.findall(text) if any(int(part) >= 10 for part in size.split("×"))]


def test_kernels_and_products_are_no_sizes() -> None:
    assert sizes_with_a_cross("3×3, 1×1, 15.4× faster, 33,000 × 512, 7 × (8 + 8)") == []
    assert sizes_with_a_cross("at 96×48, 2048×18×9 and 6×12") == ["96×48", "2048×18×9", "6×12"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_and_recipes(path: Path) -> None:
    assert sizes_with_a_cross(path.read_text(encoding="utf-8")) == []


def joined(node: ast.JoinedStr) -> str:
    """A formatted string with 10 in place of each value."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "10" for part in node.values)


def strings_of_the_package() -> Iterator[tuple[Path, int, str]]:
    """Strings, formatted strings and docstrings of each file."""
    for path in sorted((ROOT / "vireid_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.lineno, node.value
            elif isinstance(node, ast.JoinedStr):
                yield path, node.lineno, joined(node)


def test_messages_and_docstrings() -> None:
    wrong = [f"{path}:{line}" for path, line, text in strings_of_the_package() if sizes_with_a_cross(text)]
    assert not wrong, "write 96x48, or size_name((height, width)) of vireid_cli/counts.py"
