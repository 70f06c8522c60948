"""The folders of tests mirror the package: what tests a room is in the folder of that room."""

from __future__ import annotations

from pathlib import Path

import vireid_cli

PACKAGE, TESTS = Path(vireid_cli.__file__).parent, Path(__file__).parents[1]
OF_THE_WHOLE = {"contracts", "golden", "crash"}
"""Folders of tests of the package as a whole."""


def test_folders_of_tests_are_rooms_of_the_package() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert Path(".") not in folders, "tests are in the folder of their room"
    rooms = [folder for folder in folders if folder.parts[0] not in OF_THE_WHOLE]
    strange = [
        str(folder)
        for folder in rooms
        if not (PACKAGE / folder).is_dir() and not (PACKAGE / folder).with_suffix(".py").is_file()
    ]
    assert not strange, "these folders have no room in vireid_cli"


def test_rooms_of_the_engine_have_tests_of_their_own() -> None:
    for folder in (path for path in (PACKAGE / "engine").iterdir() if (path / "__init__.py").is_file()):
        assert list((TESTS / "engine" / folder.name).glob("test_*.py")), folder.name
