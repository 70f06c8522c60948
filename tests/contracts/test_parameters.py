"""A parameter of a test that its body ignores runs one case several times: none is left."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def ignored(source: str) -> list[str]:
    """Parameters that ``parametrize`` gives a test and its body never reads, as ``test: parameter``."""
    return [
        f"{node.name}: {name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        for name in sorted(given(node) - read(node))
    ]


def given(test: ast.FunctionDef) -> set[str]:
    """Literal names of a test's ``parametrize``; those passed to fixtures (``indirect``) do not count."""
    names: set[str] = set()
    for call in test.decorator_list:
        if not (isinstance(call, ast.Call) and ast.unparse(call.func).endswith("parametrize")):
            continue
        if any(word.arg == "indirect" for word in call.keywords):
            continue
        for part in ast.walk(call.args[0]):
            if isinstance(part, ast.Constant):
                names |= {name.strip() for name in str(part.value).split(",")}
    return names


def read(test: ast.FunctionDef) -> set[str]:
    """Names that the body of a test reads."""
    return {part.id for line in test.body for part in ast.walk(line) if isinstance(part, ast.Name)}


def test_every_parameter_of_a_test_is_used() -> None:
    idle = {str(path): ignored(path.read_text()) for path in TESTS.rglob("test_*.py")}
    assert {path: names for path, names in idle.items() if names} == {}


def test_an_ignored_parameter_is_seen() -> None:
    marks = '@pytest.mark.parametrize(("a", "b"), [(1, 2)])\n@pytest.mark.parametrize("c, d", [(1, 2)])\n'
    assert ignored(marks + "def test_it(a, b, c, d):\n    assert a + d\n") == ["test_it: b", "test_it: c"]
