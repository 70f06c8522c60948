"""Imports only go down, and what must stay fast does not import torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vireid_cli

ROOT = Path(vireid_cli.__file__).parent
FLOORS = {
    "types": 0.1, "counts": 0, "dataset_names": 0, "modality": 0, "errors": 0, "printable": 0, "run_names": 0,
    "processors": 0, "version": 0, "dial_defaults": 0, "unit_rows": 0,
    "unfinished": 0,
    "reading": 0.25,  # raises errors; every reader opens its files through it
    # landings: they raise errors, and every room above writes through them
    "documents": 0.4, "tree_marks": 0.4, "array_files": 0.5, "files": 0.5, "lock": 0.6, "folders": 0.6,
    "sums": 0.6, "plugins": 0.6,
    "tensor_files": 0.7, "embedding_files": 0.7, "sharding": 0.7,
    "recipe": 1, "frequency": 1, "losses": 1, "layers": 1, "metrics": 1,
    "data": 2, "rendered": 2, "occlusion": 2, "backbones": 2, "results": 2, "search": 2,
    "methods": 3, "figures": 3, "exporters": 3, "releases": 3, "detection": 3,
    "engine": 4,
    "serve": 5,
    "bench": 5.5,  # it measures the server, too
    "commands": 6,
    "__main__": 7,
}  # fmt: skip
NO_TORCH = (
    "recipe", "results", "figures", "commands", "errors", "files", "folders", "lock", "reading", "sums",
    "array_files", "documents", "tensor_files", "embedding_files", "search", "types"
)  # fmt: skip
NO_SIBLINGS = {
    "methods": ("__init__",),
    "figures": ("style", "pixels", "paper", "svg"),
    "exporters": ("program", "verify"),
    "data/sources": ("__init__",),
    "engine/visualize": ("__init__",),
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def modules_imported(path: Path, *, top_level: bool = False) -> set[str]:
    """Absolute names imported by a file; at module level only where asked (``if TYPE_CHECKING`` left out)."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if not top_level else iter(tree.body)
    result: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            result |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return result


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
        "vireid_cli.bench.reference",
        "vireid_cli.bench.extraction",
    }
    exempt = {"backbones/residual.py", "bench/reference.py"}
    importers = {
        str(path.relative_to(ROOT)): result
        for path in FILES
        if (
            result := {
                n for n in modules_imported(path, top_level=True) if n in slow or n.startswith("torchvision.")
            }
        )
    }
    assert exempt <= set(importers)  # the search itself works
    late = {name: result for name, result in importers.items() if name not in exempt}
    assert all(name.startswith("bench/") for name in late), late


@pytest.mark.parametrize("folder", NO_SIBLINGS)
def test_siblings_never_meet(folder: str) -> None:
    package = ".".join(("vireid_cli", *folder.split("/")))
    for path in (ROOT / folder).glob("*.py"):
        for name in modules_imported(path):
            inner = name.removeprefix(f"{package}.") if name.startswith(f"{package}.") else ""
            sibling = inner.split(".")[0]
            is_file = bool(sibling) and (ROOT / folder / f"{sibling}.py").is_file()
            allowed = sibling in (path.stem, *NO_SIBLINGS[folder])
            assert not is_file or allowed, f"{path.name} imports its sibling {sibling}"


def imported_files(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere in it; a package's own ``__init__`` where named."""
    known = {module_name(p) for p in FILES}
    named = modules_imported(path) & known
    # ``from a import b`` names both a and a.b; if a.b is a file, a is only its package
    parents = {n for n in named if any(other.startswith(f"{n}.") for other in named)}
    taken = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module in parents
        and any(f"{node.module}.{alias.name}" not in known for alias in node.names)
    }
    return (named - parents) | taken


def module_name(path: Path) -> str:
    return ".".join(("vireid_cli", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def circles(edges: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Strongly connected groups of two or more files."""
    reach = {name: set(targets) for name, targets in edges.items()}
    for middle in edges:
        for name in edges:
            if middle in reach[name]:
                reach[name] |= reach[middle]
    return sorted(
        {tuple(sorted({n, *(m for m in reach[n] if n in reach[m])})) for n in edges if n in reach[n]}
    )


def test_no_file_imports_itself_through_another() -> None:
    """Lazy and typing imports count."""
    edges = {module_name(path): imported_files(path) for path in [*FILES, ROOT / "__init__.py"]}
    edges = {name: {t for t in targets if t in edges} for name, targets in edges.items()}
    assert circles(edges) == []


def test_a_circle_would_be_noticed() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]


def test_the_rule_would_notice(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from vireid_cli.engine import network\n    import torch\n")
    assert "vireid_cli.engine.network" in modules_imported(file)
    assert not modules_imported(file, top_level=True)
