"""A function fits on a screen, and a file of the package has 300 lines at most (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION, FILE = 60, 300

LONGER: dict[str, int] = {}
"""Lines of files and functions beyond the limits. The list only becomes shorter."""


def measured() -> Iterator[tuple[str, int, int]]:
    """Name, number of lines and limit of each function, and of each file of the package."""
    folders = ("vireid_cli", "tests", "tools", "examples")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        if name.startswith("vireid_cli/"):
            yield name, len(text.splitlines()), FILE
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
                yield f"{name}:{node.name}", node.end_lineno - node.lineno + 1, FUNCTION


def test_functions_and_files_are_short() -> None:
    lines = {(name, length): limit for name, length, limit in measured()}
    too_long = {name: length for (name, length), limit in lines.items() if length > LONGER.get(name, limit)}
    assert not too_long, f"a function has at most {FUNCTION} lines, a file {FILE}: divide it"
    still = {name for (name, length), limit in lines.items() if length > limit}
    assert set(LONGER) == still, "delete the entries of LONGER that fit the limits now"
