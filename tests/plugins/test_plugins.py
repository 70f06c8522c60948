"""Methods outside of the package: search, names, import, hash of the source."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from vireid_cli import methods, plugins
from vireid_cli.commands import main as command_line
from vireid_cli.errors import UsageError

EXAMPLE = Path(__file__).parents[2] / "examples" / "methods" / "cosine_pairs.py"
METHOD = "class Options: ...\ndef build(options, num_identities, backbone): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two methods, a shared module and a file without a method."""
    (tmp_path / "one.py").write_text("from ._shared import NUMBER\n" + METHOD)
    (tmp_path / "_shared.py").write_text("NUMBER = 7\n")
    (tmp_path / "notes.py").write_text("x = 1\n")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "__init__.py").write_text("from .network import Options, build\n")
    (tmp_path / "two" / "network.py").write_text(METHOD)
    return tmp_path


def test_methods_of_a_folder(folder: Path) -> None:
    assert [plugin.method for plugin in plugins.add(folder)] == ["one", "two"]
    assert {"one", "two", "baseline"} <= set(methods.available())
    assert "one" not in methods.included()
    assert methods.load("one").NUMBER == 7
    assert methods.load("two").build
    assert plugins.add(folder) == plugins.add(folder / ".." / folder.name), "added once"


@pytest.mark.parametrize(("path", "name"), [("one.py", "one"), ("two", "two")])
def test_one_method(folder: Path, path: str, name: str) -> None:
    assert [plugin.method for plugin in plugins.add(folder / path)] == [name]
    assert methods.load(name).build


def test_adding_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("raise SystemExit(7)\n" + METHOD)
    assert plugins.add(tmp_path)[0].method == "loud"
    assert "loud" in methods.available()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "has no method"),
        ({"notes.py": "x = 1"}, "has no method"),
        ({"bad.py": "def build(:\n"}, "bad.py:1"),
        ({"my-method.py": METHOD}, "Python identifier"),
    ],
)
def test_a_folder_without_methods_is_refused(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=expected):
        plugins.add(tmp_path)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        plugins.add(tmp_path / "missing")


def test_names_are_unique(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    plugins.add(folder)
    other = tmp_path_factory.mktemp("other")
    (other / "one.py").write_text(METHOD)
    plugins.add(other)
    with pytest.raises(UsageError, match="one is defined by"):
        methods.available()


def test_a_name_of_the_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agw.py").write_text(METHOD)
    plugins.add(tmp_path)
    with pytest.raises(UsageError, match="agw is a method of vireid"):
        methods.load("baseline")


def test_an_error_of_the_import_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_package\n" + METHOD)
    plugins.add(tmp_path)
    with pytest.raises(UsageError, match=r"broken\.py:1: ModuleNotFoundError: No module named"):
        methods.load("broken")


def test_the_hash_covers_the_source_and_shared_modules(folder: Path) -> None:
    one, two = plugins.add(folder)
    before = (one.sha256(), two.sha256())
    (folder / "two" / "network.py").write_text(METHOD + "# changed\n")
    assert one.sha256() == before[0]
    assert two.sha256() != before[1]
    (folder / "_shared.py").write_text("NUMBER = 8\n")
    assert one.sha256() != before[0]
    assert one.record() == {"method": "one", "path": str(folder / "one.py"), "sha256": one.sha256()}


def test_methods_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_installed_method.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    information = tmp_path / "my_methods-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-methods\nVersion: 1.2\n")
    points = "[vireid.methods]\nmine = my_installed_method\nagw = my_installed_method\n"
    (information / "entry_points.txt").write_text(points)
    importlib.invalidate_caches()
    plugins.installed.cache_clear()
    try:
        mine = methods.external()["mine"]
        assert mine.origin == "my-methods 1.2"
        assert mine.record()["package"] == "my-methods 1.2"
        assert methods.load("mine").build
        assert "agw" not in methods.external(), "methods of vireid precede those of a package"
    finally:
        plugins.installed.cache_clear()
        sys.modules.pop("my_installed_method", None)


def test_the_example_is_a_method_of_about_fifty_lines() -> None:
    assert [plugin.method for plugin in plugins.add(EXAMPLE)] == ["cosine_pairs"]
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(code) <= 60


@pytest.mark.parametrize("verbose", [False, True])
def test_an_error_of_a_method_names_its_line(
    verbose: bool,
    tmp_path: Path,
    vireid: Command,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Training calls the method's code; its exceptions are no faults of this package."""
    source = "Options = None\ndef build():\n    raise RuntimeError('\\033[31mno\\nsecond')\n"
    (tmp_path / "broken.py").write_text(source)
    (plugin,) = plugins.add(tmp_path / "broken.py")
    monkeypatch.setattr(command_line, "app", lambda **_: plugins.load(plugin).build())
    monkeypatch.setattr(command_line.diagnostics, "start", lambda: None)  # it sets the level by -v
    caplog.set_level("INFO" if verbose else "WARNING", "vireid_cli")
    result = vireid("train")
    assert result.code == 1
    assert "The method broken failed: broken.py:3: RuntimeError: \\x1b[31mno." in result.err
    assert "\x1b" not in result.err
    assert ("in build" in caplog.text) == verbose
    assert plugins.error_of_plugin(RuntimeError("of this package")) is None
