"""The documentation is right: pages, links, messages of the package, results of examples."""

from __future__ import annotations

import ast
import doctest
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vireid_cli.methods import available

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TABLES = [DOCS / "troubleshooting.md", *sorted((DOCS / "data").glob("*.md"))]


def navigated(entries: list[dict[str, Any]]) -> list[str]:
    """Pages of the site's navigation, in its order."""
    pages = [page for entry in entries for page in entry.values()]
    return [name for page in pages for name in (navigated(page) if isinstance(page, list) else [page])]


def test_the_navigation_has_every_page() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    names = navigated(site["nav"])
    assert len(names) == len(set(names)) > 20
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES} | {"recipes.md"}  # make docs writes it
    assert set(names) - pages == set(), "pages of zensical.toml that do not exist"
    assert pages - set(names) == set(), "pages that nav in zensical.toml lacks"


def test_every_extra_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "quickstart.md").read_text(encoding="utf-8"), flags=re.M)
    assert set(project["optional-dependencies"]) <= set(listed)


def test_the_picture_of_the_layers_has_every_package() -> None:
    picture = (DOCS / "architecture.svg").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "vireid_cli").glob("*/__init__.py")}
    assert {name for name in packages if not re.search(rf"\b{name}\b", picture)} == set()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    pytest.importorskip("mkdocstrings_handlers.python")
    for name in ("docs", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "vireid_cli").symlink_to(ROOT / "vireid_cli")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    for command in (["tools/recipe_reference.py"], ["-m", "zensical", "build", "--strict"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert all(f"### `method.options` of {name}\n" in reference for name in available())
    assert "| `data.size` | HEIGHTxWIDTH; pixels | `288x144` |" in reference
    for page in PAGES:
        built = (tmp_path / "site" / page.relative_to(DOCS)).with_suffix(".html")
        text = built.read_text(encoding="utf-8")
        outside = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?://[^"]+)"', text)
        assert not outside, f"{built.name} loads {outside}"


def messages() -> set[str]:
    """Texts of the package's source code; placeholders separate the parts of a formatted one."""
    texts: set[str] = set()
    for path in (ROOT / "vireid_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return texts


def shown_messages(page: Path) -> list[str]:
    """Fragments of messages in the first column of the page's tables: code of two words or more."""
    rows = re.findall(r"^\| (.+?) \|", page.read_text(encoding="utf-8"), flags=re.M)
    codes = [code for row in rows for code in re.findall(r"`([^`]+)`", row)]
    parts = [part.strip() for code in codes for part in code.split("…")]
    return [part for part in parts if " " in part and not part.startswith(("make ", "--", "vireid "))]


def test_messages_are_those_of_the_package() -> None:
    texts = "\n".join(messages())
    shown = {page.name: shown_messages(page) for page in TABLES}
    assert len(shown["troubleshooting.md"]) > 30
    assert {name: [m for m in parts if m not in texts] for name, parts in shown.items() if parts} == {
        name: [] for name, parts in shown.items() if parts
    }


def test_the_example_of_a_method_has_the_written_length() -> None:
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    example = (ROOT / "examples" / "methods" / "cosine_pairs.py").read_text(encoding="utf-8")
    assert f"is a complete one in {len(example.splitlines())} lines" in text


INTERACTIVE = [page for page in PAGES if "```pycon" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", INTERACTIVE, ids=lambda page: page.stem)
def test_examples_have_the_shown_results(page: Path) -> None:
    for block in re.findall(r"```pycon\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S):
        example = doctest.DocTestParser().get_doctest(block, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner().run(example).failed == 0


def names_of(page: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the first Python block of a page as a module, and return its names."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)
    module = ModuleType("example_of_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(blocks[0], page, "exec"), module.__dict__)
    return module.__dict__


def test_the_method_of_the_guide_trains_and_embeds(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from vireid_cli.backbones.spec import BackboneSpec
    from vireid_cli.types import Batch, Modality

    names = names_of("add-a-method.md", monkeypatch)
    network = names["build"](names["Options"](), 3, BackboneSpec("resnet18", 1, None, 8))
    images = torch.rand(2, 6, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    losses = network.losses(Batch(images[0], images[1], torch.tensor([0, 0, 1, 1, 2, 2])))
    assert losses.keys() == {"identity", "triplet"}
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for group in network.parameter_groups() for p in group.parameters)
    rows = network.eval().embed(images[1], Modality.INFRARED)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(6))


def test_the_dataset_of_the_guide_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_of("add-a-dataset.md", monkeypatch)
    for split, pid in (("train", "1"), ("test", "2")):
        for side in ("day", "night"):
            folder = tmp_path / split / side / pid
            folder.mkdir(parents=True)
            (folder / "a.jpg").touch()
    (tmp_path / "test" / "day" / "Thumbs.db").touch()
    scan = names["scan"](tmp_path)
    assert sorted(scan.records.splits.tolist()) == ["gallery", "query", "train", "train"]
    assert any("Thumbs.db" in note for note in scan.report.notes)


def test_the_figure_of_the_guide_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = names_of("add-a-figure.md", monkeypatch)["cameras_figure"](["1", "2"], [20.0, 40.0], "a run")
    assert [bar.get_height() for bar in figure.axes[0].patches] == [20.0, 40.0]
