"""Methods outside of the package: files of a folder (``--plugin``), or entry points of installed packages.

A plugin has the form of a method of this package (see ``methods``): a file ``<name>.py``, or a folder
``<name>`` with an ``__init__.py``, that defines ``Options`` and ``build``. A folder without ``__init__.py``
has any number of methods; files without these names, and names that begin with an underscore, are not
methods. The entry points ``vireid.methods`` of a package name its modules.

Nothing is imported before a recipe names the method, and nothing that a run records is imported: a run of
another person has no effect on the code that is loaded.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from vireid_cli import reading
from vireid_cli.errors import UsageError, VireidError

GROUP = "vireid.methods"
"""Group of the entry points."""

NAMES = {"Options", "build"}
"""Names that a module of a method defines."""

_PARENT = "vireid_plugins"
"""Package of the modules of ``--plugin``; no installed package can have this name."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One method outside of the package.

    Attributes:
        method: Name of the method.
        module: Importable name of its module.
        path: File, or folder of the package, with its source.
        package: Name and version of the installed package; empty for ``--plugin``.
    """

    method: str
    module: str
    path: Path
    package: str = ""

    @property
    def origin(self) -> str:
        """Origin for tables and messages: the installed package, or the path."""
        return self.package or str(self.path)

    def sha256(self) -> str:
        """Return the hash of the Python source: of all files of the method, with their names.

        The files beside the method whose names begin with an underscore count, because methods of a folder
        share them.
        """
        total = hashlib.sha256()
        for name, path in sorted(self._sources()):
            digest = hashlib.sha256(reading.read_bytes(path, error=UsageError)).hexdigest()
            total.update(f"{digest}  {name}\n".encode())
        return total.hexdigest()

    def record(self) -> dict[str, str]:
        """Return the entry of ``environment.json``."""
        content = {"method": self.method, "path": str(self.path), "sha256": self.sha256()}
        return content | ({"package": self.package} if self.package else {})

    def _sources(self) -> Iterator[tuple[str, Path]]:
        """Relative name and path of each source file."""
        own = self.path.rglob("*.py") if self.path.is_dir() else [self.path]
        shared = [] if self.package else self.path.parent.glob("_[!_]*.py")
        for path in {*own, *shared}:
            yield path.relative_to(self.path.parent).as_posix(), path


LOADED: dict[Path, list[Plugin]] = {}
"""Methods of the added paths."""


def add(path: Path) -> list[Plugin]:
    """Make the methods of a file or folder available to this process, without importing them.

    Args:
        path: A folder of methods, or the file or package folder of one method.

    Returns:
        The methods.

    Raises:
        UsageError: The path has no method, or a file has a syntax error.
    """
    root = path.resolve()
    if root not in LOADED:
        candidates = list(_candidates(root))
        methods = [_plugin(root, candidate) for candidate in candidates if _names(_source(candidate)) & NAMES]
        if not methods:
            text = (
                "does not exist" if not root.exists() else "has no method: no file defines Options and build"
            )
            raise UsageError(f"--plugin {path}: the path {text}.", "See docs/plugins.md.")
        LOADED[root] = methods
    return LOADED[root]


def added() -> list[Path]:
    """Return the added paths, in their order."""
    return list(LOADED)


def plugins() -> dict[str, Plugin]:
    """Return all methods outside of the package by name: of added paths, then of installed packages.

    Raises:
        UsageError: Two added paths have a method of the same name.
    """
    available = dict(installed())
    by_path: dict[str, Plugin] = {}
    for plugin in (one for methods in LOADED.values() for one in methods):
        other = by_path.setdefault(plugin.method, plugin)
        if other.path != plugin.path:
            raise UsageError(
                f"The method {plugin.method} is defined by {other.path} and by {plugin.path}.",
                "Rename one of them, or omit one --plugin.",
            )
    return available | by_path


def load(plugin: Plugin) -> ModuleType:
    """Import the module of a plugin.

    Raises:
        UsageError: The import fails; the message names the line of the plugin.
    """
    try:
        return importlib.import_module(plugin.module)
    except Exception as error:  # any error of foreign code
        raise UsageError(
            f"The method {plugin.method} can't be imported: {failure(error, plugin)}.",
            f"Correct {plugin.path}, then: vireid methods check {plugin.method}",
        ) from error


def failure(error: Exception, plugin: Plugin) -> str:
    """Describe an exception of a plugin's code: line of its source, type and message."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).resolve().is_relative_to(plugin.path.resolve())]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}: " if own else ""
    lines = str(error).strip().splitlines()
    return f"{place}{type(error).__name__}: {lines[0] if lines else 'without a message'}".rstrip(".")


def error_of_plugin(error: Exception) -> VireidError | None:
    """Convert an exception that passed the code of a method of ``--plugin``; None if it passed none."""
    frames = {Path(f.filename).resolve() for f in traceback.extract_tb(error.__traceback__)}
    for plugin in (one for methods in LOADED.values() for one in methods):
        if any(frame.is_relative_to(plugin.path) for frame in frames):
            return VireidError(
                f"The method {plugin.method} failed: {failure(error, plugin)}.",
                f"Correct {plugin.path}; -v prints the traceback. Then: vireid methods check {plugin.method}",
            )
    return None


def _candidates(root: Path) -> Iterator[Path]:
    """Files and package folders below an added path that can be methods."""
    if root.is_file() or (root / "__init__.py").is_file():
        yield root
    elif root.is_dir():
        for path in sorted(root.iterdir()):
            is_package = (path / "__init__.py").is_file()
            if (path.suffix == ".py" or is_package) and not path.name.startswith(("_", ".")):
                yield path


def _plugin(root: Path, path: Path) -> Plugin:
    """Return the method of one file or package folder; registers the parent package of its module."""
    if not path.stem.isidentifier() or (path.is_file() and path.suffix != ".py"):
        raise UsageError(
            f"--plugin {path}: the name of a method is that of its file, and a Python identifier.",
            "Rename it, such as my_method.py.",
        )
    folder = root if path != root else root.parent
    package = f"{_PARENT}_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if package not in sys.modules:
        parent: Any = ModuleType(package, f"Methods in {folder}.")
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
    return Plugin(path.stem, f"{package}.{path.stem}", path)


def _source(path: Path) -> Path:
    return path / "__init__.py" if path.is_dir() else path


def _names(path: Path) -> set[str]:
    """Names that a module defines or imports at its top level, without executing it."""
    try:
        tree = ast.parse(reading.read_bytes(path, error=UsageError), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UsageError(f"{path}{line}: {getattr(error, 'msg', error)}.", "Correct this line.") from error
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


@cache
def installed() -> dict[str, Plugin]:
    """Methods of the entry points of installed packages."""
    from importlib.metadata import entry_points  # 14 ms, which most commands need not spend

    methods: dict[str, Plugin] = {}
    for point in entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else point.module
        try:
            spec = importlib.util.find_spec(point.module)
        except ImportError:
            spec = None
        origin = Path(spec.origin) if spec is not None and spec.origin else Path(point.module)
        path = origin.parent if origin.name == "__init__.py" else origin
        methods.setdefault(point.name, Plugin(point.name, point.module, path, package))
    return methods
