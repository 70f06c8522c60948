"""The README is right: its files exist, its Python runs. Its commands parse in ``test_shown_commands.py`` and
run in ``test_readme_commands.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def shown_commands(text: str = README) -> list[str]:
    """Every ``vireid …`` line of code of a page, by default the README, in its order."""
    lines: list[str] = []
    for block, inline in re.findall(r"```\w*\n(.*?)```|`(vireid\s[^`]+)`", text, flags=re.S):
        lines += block.splitlines() or [" ".join(inline.split())]
    commands = [line.strip().removeprefix("$ ").split("  #")[0] for line in lines]
    parts = [part.strip() for line in commands if line.startswith("vireid ") for part in line.split("&&")]
    return list(dict.fromkeys(parts))


def test_the_four_lines_are_shown() -> None:
    for line in (
        "vireid prepare sysu",
        "vireid train --recipe sepg.yaml",
        "vireid evaluate --mode indoor",
        "vireid visualize phase-swap",
    ):
        assert line in shown_commands()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in [*re.findall(r"make ([a-z]+)`", README), "demo", "test"]:
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_python_runs(sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that import the package, on a small tree."""
    blocks = [
        b for b in re.findall(r"```python\n(.*?)```", README, flags=re.S) if "from vireid_cli import" in b
    ]
    assert blocks
    monkeypatch.setenv("VIREID_DATA", str(sysu_tree))
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path / "runs"))
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), names)
        assert names["vectors"].shape[0] == 2  # type: ignore[attr-defined]
