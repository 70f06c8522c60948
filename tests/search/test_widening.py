"""Columns that get a wider type: every value stays exact, and every record keeps a valid seal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.search.made import FINGERPRINT, people
from tests.search.test_index import flip
from vireid_cli.errors import DataError, UsageError
from vireid_cli.search.columns import ColumnType, infer_type
from vireid_cli.search.index import Index
from vireid_cli.search.segments import vector_file

MICROSECONDS = 1_700_000_000_123_456
BEYOND = 2**53 + 1


def add(index: Any, values: list[Any], start: int = 0) -> None:
    table = {"path": [f"{start}-{place}" for place in range(len(values))], "ts": values}
    index.add(
        people(len(values), seed=start),
        table | {"modality": ["visible"] * len(values)},
        fingerprint=FINGERPRINT,
    )


def values_of(index: Any) -> list[Any]:
    return [record.extra["ts"] for record in index.records()]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5], "real"),
        ([MICROSECONDS, 0.5], "real"),
        ([BEYOND, 0.5], "text"),
        ([-(2**53), "0.5"], "real"),
        ([str(BEYOND), "0.5"], "text"),
        (["12345678901234567890"], "text"),
        (["0012"], "text"),
        (["0", "0.12", "-1"], "real"),
        ([BEYOND], "integer"),
    ],
)
def test_a_type_holds_all_values(values: list[Any], kind: ColumnType) -> None:
    assert infer_type(values) == infer_type(values[::-1]) == kind


@pytest.mark.parametrize(
    ("first", "second", "kind", "stored"),
    [
        ([MICROSECONDS, 10**15 - 1], [0.5], "real", [float(MICROSECONDS), 999999999999999.0, 0.5]),
        ([BEYOND, 7], [0.5], "text", [str(BEYOND), "7", "0.5"]),
        ([0.5, 4e15], [BEYOND], "text", ["0.5", "4000000000000000.0", str(BEYOND)]),
        ([MICROSECONDS], ["gate"], "text", [str(MICROSECONDS), "gate"]),
    ],
)
def test_large_integers_stay_exact_and_sealed(
    first: list[Any], second: list[Any], kind: ColumnType, stored: list[Any], tmp_path: Path
) -> None:
    index = Index.create(tmp_path / "i")
    add(index, first)
    add(index, second, 1)
    assert index.columns["ts"] == kind
    assert values_of(index) == stored
    assert index.verify() == []
    index.remove("record_id = 2")
    assert index.compact() == 1
    add(index, ["a text"], 2)
    assert index.verify() == []


def test_a_damaged_record_stays_damaged(tmp_path: Path) -> None:
    """New seals are no pardon: a record that did not match its seal before does not match the new one."""
    index = Index.create(tmp_path / "i")
    add(index, [MICROSECONDS] * 3)
    flip(vector_file(index.folder, 1), 4 * 16 + 3)
    add(index, [0.5], 1)
    [line] = index.verify()
    assert line.startswith("record 2 ")


@pytest.mark.parametrize("name", ["pid", "camid"])
def test_large_numbers_of_people_and_cameras(name: str, tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i")
    table = {"path": ["a", "b", "c"], "modality": ["visible"] * 3}
    index.add(people(3), table | {name: [BEYOND, str(-BEYOND), 2.0]}, fingerprint=FINGERPRINT)
    assert [getattr(record, name) for record in index.records()] == [BEYOND, -BEYOND, 2]
    for wrong in (2**63, 1.5, "1.5", 1e300):
        with pytest.raises(DataError, match=f"{name} is .*; expected an integer of 64 bits"):
            index.add(people(3), table | {name: [1, wrong, 2]}, fingerprint=FINGERPRINT)


def test_qdrant_refuses_rounding(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    from vireid_cli.search.qdrant_index import QdrantIndex

    server = QdrantIndex.create(tmp_path / "i", str(tmp_path / "server"))
    add(server, [0.5, MICROSECONDS])
    with pytest.raises(UsageError, match="column 'ts' is real on the server, but integer in the new records"):
        add(server, [BEYOND], 1)
    assert server.count() == 2
    assert server.verify() == []
    server.close()
