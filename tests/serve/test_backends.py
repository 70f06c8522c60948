"""The server with other indexes: Qdrant's local mode, and an index that can't be read any more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.serve.conftest import People
from tests.serve.made import Client, services_of, serving
from vireid_cli.errors import DataError
from vireid_cli.search.index import Index
from vireid_cli.serve.limits import ServeLimits
from vireid_cli.serve.services import ServedIndex, Services


@pytest.fixture
def qdrant(people: People, tmp_path: Path) -> Iterator[Client]:
    """The records of the shared index, in Qdrant's local mode."""
    pytest.importorskip("qdrant_client")
    from vireid_cli.search.qdrant_index import QdrantIndex

    logging.getLogger().setLevel(logging.ERROR)
    columns = {name: [row[name] for row in people.rows] for name in people.rows[0]}
    vectors = people.index.vectors([record.id for record in people.index.records()])
    with QdrantIndex.create(tmp_path / "there", str(tmp_path / "server")) as index:
        index.add(vectors, columns, fingerprint=people.model.fingerprint, root=str(people.root))
        limits = ServeLimits()
        served = services_of(people.index, people.model).indexes["people"]
        both = {"here": served, "there": ServedIndex("there", index, served.embeddings, limits)}
        with serving(Services(both, limits)) as client:
            yield client


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_qdrant_answers_as_the_local_index(qdrant: Client, people: People) -> None:
    image = [("a.png", people.image("cam3/0002.png"))]
    for fields in ([("top", 24)], [("where", "camid in (1, 6)"), ("top", 5)], [("group_by", "pid")]):
        here, there = (
            qdrant.post("/v1/search", image, [*fields, ("index", name)]).json["queries"][0]["matches"]
            for name in ("here", "there")
        )
        assert [m["record"]["path"] for m in there] == [m["record"]["path"] for m in here]
        assert np.allclose([m["score"] for m in there], [m["score"] for m in here], atol=1e-5)
    record = there[1]["record"]
    assert qdrant.get(f"/{record['image']}").headers["content-type"] == "image/jpeg"
    again = qdrant.post("/v1/search", fields=[("record", record["id"]), ("index", "there")])
    assert again.json["queries"][0]["matches"][0]["record"] == record
    missing = "00000000-0000-4000-8000-000000000000"
    assert qdrant.get(f"/v1/index/there/records/{missing}").status == 404


def test_an_index_that_fails_does_not_stop_others(people: People) -> None:
    class Lost(Index):
        def count(self, where: str | None = None) -> int:
            raise DataError("/secret/index is damaged")

    limits = ServeLimits()
    lost = Lost(people.index.folder)
    served = services_of(people.index, people.model).indexes["people"]
    log: list[str] = []
    both = {"lost": ServedIndex("lost", lost, None, limits), "people": served}
    with lost, serving(Services(both, limits), log=log) as client:
        assert [one["name"] for one in client.get("/v1/indexes").json["indexes"]] == ["people"]
        assert client.get("/metrics").status == 200
        reply = client.get("/v1/index/lost/records")
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "/secret/index is damaged" in log[0]
