"""Examples in docstrings run and print the shown output."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import vireid_cli

ROOT = Path(vireid_cli.__file__).parent
MODULES = sorted(
    ".".join(("vireid_cli", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


def test_there_are_doctests() -> None:
    assert "vireid_cli" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted
    assert not outcome.failed
