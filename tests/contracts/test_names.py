"""One word, one thing: no two public classes, types or shared constants of one name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import vireid_cli

ROOT = Path(vireid_cli.__file__).parent
PER_METHOD = {"Options", "Agp", "Anm", "Cnm", "Embed", "NonLocalOptions"}
"""Options of methods: each method's file reads alone and defines its own."""

ONE_DEFINITION = {
    "Progress",
    "IDENTITIES",
    "LUMINANCE",
    "RENDERED",
    "as_tuple",
    "total_loss",
    "cores",
    "leaves",
}
"""Names that once had several definitions."""


def definitions() -> dict[str, list[str]]:
    """Files that define each public class, function or constant at module level."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names: list[str] = []
            if isinstance(node, ast.ClassDef):
                names = [f"class {node.name}", node.name]
            elif isinstance(node, ast.FunctionDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in names:
                places[name].append(str(path.relative_to(ROOT)))
    return places


def test_a_class_name_is_used_once() -> None:
    twice = {
        name.removeprefix("class "): files
        for name, files in definitions().items()
        if name.startswith("class ") and not name.startswith("class _") and len(files) > 1
    }
    shared = {name: files for name, files in twice.items() if name not in PER_METHOD}
    assert not shared, "rename one of each: a name means one thing in the whole package"
    elsewhere = [file for name in twice for file in twice[name] if not file.startswith("methods/")]
    assert not elsewhere


def test_shared_values_have_one_definition() -> None:
    places = definitions()
    assert {name: len(places[name]) for name in ONE_DEFINITION} == dict.fromkeys(ONE_DEFINITION, 1)
