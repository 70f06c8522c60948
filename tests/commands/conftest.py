"""A working directory beside small data, for commands as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def place(sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_recipe: Path) -> Path:
    """A working directory beside the data, with a small recipe in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIREID_DATA", str(sysu_tree))
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path / "runs"))
    return tmp_path
