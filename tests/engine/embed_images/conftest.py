"""A trained network with random weights on the tree of twelve people, trained once per session of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TINY
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.run import Run


@pytest.fixture(scope="session")
def embed_engine(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine in fp32 on the CPU."""
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def embed_run(embed_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch of three steps."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return embed_engine.train(str(path), epochs=1)
