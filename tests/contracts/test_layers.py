"""Imports only go down, and what must stay fast does not import torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vireid_cli

ROOT = Path(vireid_cli.__file__).parent
FLOORS = {
    "types": 0, "errors": 0,
    "files": 0.5, "lock": 0.5,  # a landing: they raise errors, and every room above writes through them
    "recipe": 1, "frequency": 1, "losses": 1, "layers": 1, "metrics": 1,
    "data": 2, "rendered": 2, "occlusion": 2, "backbones": 2, "results": 2,
    "methods": 3, "figures": 3, "exporters": 3,
    "engine": 4,
    "commands": 5,
}  # fmt: skip
NO_TORCH = ("recipe", "results", "figures", "commands", "errors", "files", "lock", "types")
NO_SIBLINGS = {
    "methods": "__init__",
    "figures": "style",
    "exporters": "",
    "data/sources": "__init__",
    "engine/drawings": "__init__",
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def modules_imported(path: Path, *, top_level: bool = False) -> set[str]:
    """Absolute names imported by a file; at module level only where asked (``if TYPE_CHECKING`` left out)."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if not top_level else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    """The package or module right below the root."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for name in modules_imported(path):
        parts = name.split(".")
        if parts[0] != "vireid_cli" or len(parts) < 2 or parts[1] not in FLOORS or parts[1] == here:
            continue
        assert FLOORS[parts[1]] < FLOORS[here], f"{here} (floor {FLOORS[here]}) imports {name}"
    assert here in FLOORS, f"{here} stands on no floor"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in NO_TORCH], ids=str)
def test_no_torch_when_loaded(path: Path) -> None:
    heavy = {name.split(".")[0] for name in modules_imported(path, top_level=True)}
    assert not heavy & {"torch", "torchvision", "sklearn", "onnx", "onnxruntime"}
    if room(path) == "commands":
        assert not {
            n for n in modules_imported(path, top_level=True) if n.startswith("vireid_cli.engine.engine")
        }


def test_torchvision_waits_until_a_network_is_built() -> None:
    """It takes longer to import than torch: who draws a curve or prints a table does not wait for it."""
    slow = {
        "torchvision",
        "vireid_cli.backbones.residual",
        "vireid_cli.data.reference",
        "vireid_cli.engine.bench",
    }
    exempt = {"backbones/residual.py", "data/reference.py"}
    importers = {
        str(path.relative_to(ROOT)): found
        for path in FILES
        if (
            found := {
                n for n in modules_imported(path, top_level=True) if n in slow or n.startswith("torchvision.")
            }
        )
    }
    assert exempt <= set(importers)  # the test sees what it looks for
    late = {name: found for name, found in importers.items() if name not in exempt}
    assert set(late) == {"engine/bench.py", "engine/bench_prepare.py"}, late


@pytest.mark.parametrize("folder", NO_SIBLINGS)
def test_siblings_never_meet(folder: str) -> None:
    package = ".".join(("vireid_cli", *folder.split("/")))
    for path in (ROOT / folder).glob("*.py"):
        for name in modules_imported(path):
            inner = name.removeprefix(f"{package}.") if name.startswith(f"{package}.") else ""
            sibling = inner.split(".")[0]
            is_file = bool(sibling) and (ROOT / folder / f"{sibling}.py").is_file()
            allowed = sibling in (path.stem, NO_SIBLINGS[folder])
            assert not is_file or allowed, f"{path.name} imports its sibling {sibling}"


def test_the_rule_would_notice(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from vireid_cli.engine import fit\n    import torch\n")
    assert "vireid_cli.engine.fit" in modules_imported(file)
    assert not modules_imported(file, top_level=True)
