"""Answers of the routes against brute force over the same embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from tests.serve.conftest import People
from tests.serve.made import Client, PixelModel, services_of, serving
from vireid_cli.data.decode import Decoder
from vireid_cli.data.grey import TOLERANCE, channel_spread
from vireid_cli.data.resize import resize
from vireid_cli.modality import Modality
from vireid_cli.search.index import Index
from vireid_cli.search.records import IndexRecord
from vireid_cli.serve.limits import RequestRefused


def vector(content: bytes, model: PixelModel) -> np.ndarray:
    pixels = resize(Decoder().decode(content), model.size, model.resize)
    return model.embed([pixels], Modality.VISIBLE, batch=1, workers=1)[0]


def brute_force(people: People, query: bytes, keep: list[int] | None = None) -> list[str]:
    """Paths by similarity to an image, in float64."""
    rows = people.rows if keep is None else [people.rows[i] for i in keep]
    wanted = vector(query, people.model).astype(np.float64)
    scores = [float(vector(people.image(row["path"]), people.model) @ wanted) for row in rows]
    return [rows[i]["path"] for i in np.argsort([-score for score in scores], kind="stable")]


def paths(query: dict) -> list[str]:
    return [match["record"]["path"] for match in query["matches"]]


def test_search_ranks_as_brute_force(people: People, client: Client) -> None:
    names = ["cam3/0002.png", "cam1/0005.png"]
    reply = client.post("/v1/search", [(name, people.image(name)) for name in names], [("top", 24)])
    assert reply.status == 200, reply.body
    for name, query in zip(names, reply.json["queries"], strict=True):
        assert query["name"] == name
        assert query["modality"] == ("infrared" if name.startswith("cam3") else "visible")
        assert paths(query) == brute_force(people, people.image(name))
        assert query["matches"][0]["score"] == pytest.approx(1.0, abs=1e-5)
        assert [match["rank"] for match in query["matches"]] == list(range(1, 25))


def test_filter_camera_modality_and_group(people: People, client: Client) -> None:
    name = "cam6/0004.png"
    query = [(name, people.image(name))]
    reply = client.post("/v1/search", query, [("where", "camid in (1, 3) and pid < 5"), ("top", 50)])
    keep = [i for i, row in enumerate(people.rows) if row["camid"] in (1, 3) and row["pid"] < 5]
    assert paths(reply.json["queries"][0]) == brute_force(people, people.image(name), keep)
    reply = client.post("/v1/search", query, [("gallery", "visible"), ("top", 50)])
    keep = [i for i, row in enumerate(people.rows) if row["modality"] == "visible"]
    assert paths(reply.json["queries"][0]) == brute_force(people, people.image(name), keep)
    reply = client.post("/v1/search", query, [("group_by", "pid"), ("top", 6)])
    pids = [match["record"]["pid"] for match in reply.json["queries"][0]["matches"]]
    assert sorted(pids) == [1, 2, 3, 4, 5, 6]
    reply = client.post("/v1/search", query, [("exclude_same_camera", "true"), ("camid", 6), ("top", 50)])
    keep = [i for i, row in enumerate(people.rows) if row["camid"] != 6]
    assert paths(reply.json["queries"][0]) == brute_force(people, people.image(name), keep)


def test_a_match_is_a_query(people: People, client: Client) -> None:
    first = client.post("/v1/search", [("a", people.image("cam3/0001.png"))]).json["queries"][0]
    record = first["matches"][1]["record"]
    again = client.post("/v1/search", fields=[("record", record["id"]), ("top", 24)]).json["queries"][0]
    assert again["name"] == record["path"]
    assert paths(again) == brute_force(people, people.image(record["path"]))
    excluded = client.post(
        "/v1/search", fields=[("record", record["id"]), ("exclude_same_camera", "true"), ("top", 24)]
    )
    assert all(
        match["record"]["camid"] != record["camid"] for match in excluded.json["queries"][0]["matches"]
    )


def test_embed(people: People, client: Client) -> None:
    content = people.image("cam1/0003.png")
    reply = client.post("/v1/embed", [("a.png", content)], [("modality", "visible")]).json
    assert reply["embeddings"][0]["embedding"] == pytest.approx(vector(content, people.model).tolist())
    assert reply["fingerprint"] == people.model.fingerprint


def test_records(people: People, client: Client) -> None:
    reply = client.get("/v1/index/people/records?where=camid%20%3D%203&offset=1&limit=2").json
    expected = [row["path"] for row in people.rows if row["camid"] == 3]
    assert reply["total"] == 6
    assert [record["path"] for record in reply["records"]] == expected[1:3]
    record = reply["records"][0]
    assert client.get(f"/v1/index/people/records/{record['id']}").json == record
    assert str(people.root) not in str(reply)


def test_images_are_those_of_the_records(people: People, client: Client) -> None:
    record = client.get("/v1/index/people/records?limit=1").json["records"][0]
    reply = client.get(f"/{record['image']}?height=48")
    assert reply.headers["content-type"] == "image/jpeg"
    shown = cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_COLOR)
    whole = cv2.imread(str(people.root / record["path"]))
    assert shown is not None
    assert whole is not None
    assert shown.shape == (48, 24, 3)
    small = cv2.resize(whole, (24, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 4


def test_indexes_health_metrics_and_schema(client: Client) -> None:
    listed = client.get("/v1/indexes").json["indexes"]
    assert [(one["name"], one["records"], one["searchable"]) for one in listed] == [("people", 24, True)]
    assert client.get("/health").json["status"] == "ok"
    text = client.get("/metrics").body.decode()
    assert 'vireid_requests_total{route="/v1/indexes",status="200"}' in text
    assert 'vireid_index_records{index="people"} 24.0' in text
    schema = client.get("/openapi.json").json
    assert {"/v1/search", "/v1/embed", "/v1/index/{name}/records", "/health", "/metrics"} <= set(
        schema["paths"]
    )
    form = schema["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    assert list(form) == ["multipart/form-data"]


def test_the_camera_of_a_record_is_its_own(client: Client) -> None:
    (record, *_) = client.get("/v1/index/people/records?limit=1").json["records"]
    fields = [("record", record["id"]), ("exclude_same_camera", "true")]
    assert client.post("/v1/search", fields=fields).status == 200
    reply = client.post("/v1/search", fields=[*fields, ("camid", 3)])
    assert (reply.status, reply.error) == (400, "camid has no effect: records have their own cameras.")


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ([("where", "colour = 'red'")], 400, "colour"),
        ([("where", "camid = 1; DROP TABLE records")], 400, ""),
        ([("where", "x" * 2001)], 422, "where"),
        ([("where", "camid = " + "9" * 40)], 400, ""),
        ([("where", "(" * 900 + "camid = 1" + ")" * 900)], 400, ""),
        ([("top", 0)], 422, "top"),
        ([("top", "many")], 422, "top"),
        ([("modality", "thermal")], 422, "modality"),
        ([("index", "other")], 404, "There is no such index"),
        ([("exclude_same_camera", "true")], 400, "camera of each query"),
        ([("record", "999")], 404, "999"),
        ([("record", "1 OR 1=1")], 404, ""),
    ],
)
def test_wrong_fields_are_refused(
    fields: list[tuple[str, object]], status: int, reason: str, people: People, client: Client
) -> None:
    reply = client.post("/v1/search", [("a.png", people.image("cam1/0001.png"))], fields)
    assert reply.status == status, reply.body
    assert reason in reply.error
    assert len(reply.body) < 2000


@pytest.mark.parametrize("where", ["colour = 'red'", "camid =", "camid ! 3", "x" * 1500])
def test_errors_of_filters_name_the_field(where: str, client: Client, people: People) -> None:
    """The options of the command line are no fields of a request."""
    image = ("a.png", people.image("cam1/0001.png"))
    replies = [
        client.post("/v1/search", [image], [("where", where)]),
        client.get("/v1/index/people/records?where=" + quote(where)),
    ]
    for reply in replies:
        assert reply.status == 400, reply.body
        assert "where: " in reply.error
        assert "--" not in reply.body.decode()


def test_the_modality_is_that_of_the_model(client: Client) -> None:
    """Colour that disappears by resizing decides as in ``vireid embed``: after resizing."""
    pixels = np.repeat(np.linspace(80, 160, 160 * 80).reshape(160, 80, 1), 3, axis=2).astype(np.uint8)
    pixels[::2, ::2, 0] -= 20
    pixels[1::2, 1::2, 0] += 20
    content = cv2.imencode(".png", pixels)[1].tobytes()
    assert float(channel_spread(pixels[None])[0]) > TOLERANCE
    expected = PixelModel().read(content).modality.value
    assert expected == "infrared"
    reply = client.post("/v1/search", [("a.png", content)])
    assert reply.json["queries"][0]["modality"] == expected


def test_an_index_without_a_model_is_listed(people: People) -> None:
    with serving(services_of(people.index, None)) as client:
        assert client.get("/v1/index/people/records?limit=1").json["total"] == 24
        reply = client.post("/v1/search", [("a.png", people.image("cam1/0001.png"))])
        assert (reply.status, "--model" in reply.json["error"]["hint"]) == (409, True)
        record = client.get("/v1/index/people/records?limit=1").json["records"][0]["id"]
        assert client.post("/v1/search", fields=[("record", record)]).status == 200


def test_names_that_are_not_utf8(people: People, tmp_path: Path) -> None:
    """Every text of an answer, and of the metrics; the identifier selects the record."""
    name = b"\xff\xe9".decode("utf-8", "surrogateescape")
    table: dict[str, list[Any]] = {
        "path": [f"{name}.jpg"],
        "modality": ["visible"],
        "door": [name],
        "number": [0.5],
    }
    fingerprint = people.model.fingerprint
    log: list[str] = []
    with Index.create(tmp_path / "i") as index:
        index.add(people.index.vectors([1]), table, fingerprint=fingerprint, root=f"/{name}")
        with serving(services_of(index, people.model), log=log) as client:
            record = client.get("/v1/index/people/records").json["records"][0]
            assert record["path"] == "\\xff\\xe9.jpg"
            assert record["columns"] == {"door": "\\xff\\xe9", "number": 0.5}
            assert client.get("/v1/index/people/records/1").json == record
            reply = client.post("/v1/search", fields=[("record", 1), ("group_by", "path")])
            [query] = reply.json["queries"]
            assert query["name"] == record["path"]
            assert query["matches"][0]["record"] == record
            assert client.get(f"/{record['image']}").status == 404
            listed = client.get("/v1/indexes").json["indexes"]
            assert listed[0]["columns"]["door"] == "text"
    assert not log


def test_an_error_with_bytes_of_a_name() -> None:
    error = RequestRefused(404, "no \udcff", "see \udcfe").as_json()
    assert error == {"error": {"message": "no \\xff", "hint": "see \\xfe"}}


def test_too_many_queries_are_not_read(people: People) -> None:
    """The limit is that of images and records together, and applies before anything is read."""
    reads: list[object] = []

    class Counting(Index):
        def record(self, identifier: int | str) -> IndexRecord:
            reads.append(identifier)
            return super().record(identifier)

    image = ("a.png", people.image("cam1/0001.png"))
    with Counting(people.index.folder) as index, serving(services_of(index, people.model)) as client:
        reply = client.post("/v1/search", fields=[("record", 1)] * 33)
        assert (reply.status, reply.error) == (413, "A request has at most 32 queries.")
        assert client.post("/v1/search", [image] * 17, [("record", 1)] * 16).status == 413
        assert not reads
        assert client.post("/v1/search", fields=[("record", 1)] * 32).status == 200
        assert len(reads) == 32
