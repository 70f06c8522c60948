"""An index that changes its model while it is served."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.serve.conftest import People
from tests.serve.made import PixelModel, fill_index, services_of, serving
from vireid_cli.search.index import Index


def test_another_model_in_a_served_index(people: People, tmp_path: Path) -> None:
    """Images are refused, as their vectors mean nothing there; records are compared with records."""
    image = ("a.png", people.image("cam1/0001.png"))
    other = PixelModel(fingerprint={"weights_sha256": "11", "size": "16x8"})
    index = fill_index(tmp_path / "i", people.root, people.rows, people.model)
    log: list[str] = []
    with index, serving(services_of(index, people.model), log=log) as client:
        assert client.post("/v1/search", [image]).status == 200
        index.remove("record_id > 0")
        index.compact()
        reply = client.post("/v1/search", [image])
        assert (reply.status, reply.json["queries"][0]["matches"]) == (200, [])
        columns = {name: [row[name] for row in people.rows] for name in people.rows[0]}
        vectors = people.index.vectors([record.id for record in people.index.records()])
        index.add(vectors, columns, fingerprint=other.fingerprint, root=str(people.root))
        reply = client.post("/v1/search", [image])
        assert (reply.status, reply.error) == (
            409, "The index people has embeddings of another model than the query.",
        )  # fmt: skip
        record = client.get("/v1/index/people/records?limit=1").json["records"][0]
        reply = client.post("/v1/search", fields=[("record", record["id"])])
        assert reply.json["queries"][0]["matches"][0]["record"] == record
    assert not log


def test_an_index_that_is_created_again(people: People, tmp_path: Path) -> None:
    image = ("a.png", people.image("cam1/0001.png"))
    folder = tmp_path / "i"
    index = fill_index(folder, people.root, people.rows, people.model)
    with index, serving(services_of(index, people.model)) as client:
        assert client.post("/v1/search", [image]).status == 200
        shutil.rmtree(folder)
        assert client.post("/v1/search", [image]).status == 500
        assert client.get("/v1/indexes").json["indexes"] == []
        new: Index = fill_index(folder, people.root, people.rows[::-1], people.model)
        with new:
            reply = client.post("/v1/search", [image, image], [("top", 1)])
            for query in reply.json["queries"]:
                assert query["matches"][0]["record"]["path"] == "cam1/0001.png"
                assert query["matches"][0]["score"] > 0.999


def test_records_are_searched_in_the_state_of_their_vectors(people: People, tmp_path: Path) -> None:
    """The index gets another model after the vectors of the records were read."""
    other = {"weights_sha256": "11", "size": "16x8"}

    class Changing(Index):
        def vectors(self, identifiers):  # type: ignore[no-untyped-def]
            result = super().vectors(identifiers)
            self.remove("record_id > 0")
            self.compact()
            table = {"path": ["new"], "modality": ["visible"]}
            self.add(result[:1], table, fingerprint=other)
            return result

    fill_index(tmp_path / "i", people.root, people.rows, people.model).close()
    with Changing(tmp_path / "i") as index, serving(services_of(index, None)) as client:
        assert client.post("/v1/search", fields=[("record", 1)]).status == 409
