"""Errors of SQLite: only damage is called damage."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.search.made import FINGERPRINT, people
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.search.index import Index
from vireid_cli.search.sqlite_errors import translated


@pytest.mark.parametrize(
    ("error", "kind", "message", "hint"),
    [
        ("Expression tree is too large (maximum depth 1000)", UsageError, "exceeds a limit", "Shorten"),
        ("too many SQL variables", UsageError, "exceeds a limit", "Shorten"),
        ("interrupted", DataError, "SQLite failed with .*interrupted", "Run this again"),
        ("disk I/O error", DataError, "disk I/O error", "vireid index verify"),
        ("no such table: meta", DataError, "no such table", "vireid index verify"),
        ("database is locked", DataError, "locked by another process", "Run this again"),
    ],
)
def test_translated(error: str, kind: type[VireidError], message: str, hint: str) -> None:
    with pytest.raises(kind, match=message) as caught, translated(Path("i") / "records.sqlite"):
        raise sqlite3.OperationalError(error)
    assert type(caught.value) is kind
    assert hint in caught.value.hint


def test_long_filters_of_an_index(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i") as index:
        index.add(people(2), {"path": ["a", "b"], "modality": ["visible"] * 2}, fingerprint=FINGERPRINT)
        where = " or ".join(["path = 'a'"] * 1500)
        assert index.count(where) == 1
        [matches] = index.search(people(1), where=where)
        assert [match.record.path for match in matches] == ["a"]
        assert index.remove(where) == 1
