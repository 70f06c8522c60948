"""Images and an index of six people that the tests of the server share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serve.made import Client, PixelModel, fill_index, services_of, serving, write_images
from vireid_cli.search.index import Index


@dataclass
class People:
    """An index with its images and model."""

    root: Path
    index: Index
    rows: list[dict[str, Any]]
    model: PixelModel

    def image(self, path: str) -> bytes:
        return (self.root / path).read_bytes()


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("serve")
    root = folder / "images"
    rows = write_images(root, 6)
    model = PixelModel()
    index = fill_index(folder / "people", root, rows, model)
    yield People(root, index, rows, model)
    index.close()


@pytest.fixture(scope="session")
def client(people: People) -> Iterator[Client]:
    """A server that tests do not change."""
    with serving(services_of(people.index, people.model)) as started:
        yield started
