"""A source is one new file: the command of its dataset exists, and own folders' rules do not apply to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.trees import write_image

ROOT = Path(__file__).parents[2]


def mirror(source: Path, target: Path, *opened: str) -> Path:
    """Links to the entries of a package's folder; the folders ``opened``, one in the other, are real ones."""
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if opened and entry.name == opened[0]:
            mirror(entry, target / entry.name, *opened[1:])
        elif entry.name != "__pycache__":
            (target / entry.name).symlink_to(entry)
    return target


def write_night_street(root: Path, person: int) -> Path:
    for number, split in enumerate(("train", "test")):
        for side in ("day", "night"):
            write_image(root / split / side / str(person + number) / "a.png", person + number)
    return root


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Folder with a copy of the package that has the source of docs/add-a-dataset.md."""
    text = (ROOT / "docs" / "add-a-dataset.md").read_text(encoding="utf-8")
    sources = mirror(ROOT / "vireid_cli", tmp_path / "vireid_cli", "data", "sources") / "data" / "sources"
    block = re.findall(r"```python\n(.*?)```", text, flags=re.S)[0]
    (sources / "night_street.py").write_text(block, encoding="utf-8")
    return tmp_path


PREPARE = """
import sys
from vireid_cli.commands.main import app
for root in sys.argv[1:]:
    app(["prepare", "night-street", "--size", "32x16", "--root", root], standalone_mode=False)
"""


def test_the_dataset_of_the_guide_has_a_command(package: Path) -> None:
    """The store takes a second root, which is refused for own folders."""
    roots = [write_night_street(package / name, person) for name, person in (("one", 1), ("two", 5))]
    environment = {**os.environ, "PYTHONPATH": str(package), "VIREID_DATA": str(package / "data")}
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, *map(str, roots)],
        env=environment, cwd=package, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("next: vireid train --recipe quickstart.yaml --dataset night-street\n") == 2
    store = json.loads((package / "data" / "prepared" / "night-street" / "store.json").read_text())
    assert store["root"] == str(package / "two")
    assert not store["decoder"].get("upright"), "EXIF is applied to own folders only"
