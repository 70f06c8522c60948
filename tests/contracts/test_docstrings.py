"""Every module, public class, function and method of the package has a docstring; no list is kept by hand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vireid_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
BUILT = ("__init__", "__post_init__")
"""The class's docstring lists their arguments."""


Named = ast.ClassDef | ast.FunctionDef


def bare(body: list[ast.stmt], holder: str = "") -> Iterator[str]:
    """Names in a module's or a class's body that have no docstring, or one that is no sentence."""
    for node in body:
        if not isinstance(node, Named) or node.name in BUILT:
            continue
        if node.name.startswith("_") and not node.name.endswith("__"):
            continue
        if not sentence(node):
            yield f"{holder}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from bare(node.body, f"{holder}{node.name}.")


def sentence(node: ast.Module | Named) -> bool:
    """Whether a docstring begins with two words at least and ends its first paragraph as a sentence does."""
    first = (ast.get_docstring(node) or "").split("\n\n")[0]
    return len(first.split()) > 1 and first.endswith((".", ":", "…", ")"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_everything_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert sentence(tree) or not tree.body
    assert not list(bare(tree.body))
