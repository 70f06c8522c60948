"""Access: token, address rule, foreign host names and web sites, paths of images."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import pytest

from tests.serve.conftest import People
from tests.serve.made import Client, PixelModel, fill_index, services_of, serving
from vireid_cli.errors import UsageError
from vireid_cli.serve import access as access_module
from vireid_cli.serve.access import choose_access

TOKEN = "a-token-of-the-test-0123456789"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "10.1.1.1"])
def test_other_addresses_need_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="needs a token"):
        choose_access(host, None, False)
    assert choose_access(host, TOKEN, False).token == TOKEN
    assert choose_access(host, None, True).token is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_loopback_interface_needs_none(host: str) -> None:
    assert choose_access(host, None, False).token is None


@pytest.mark.parametrize("token", ["", "short", "with blanks in the token", "ü" * 20, "x" * 20 + "\n"])
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(UsageError, match="at least 16"):
        choose_access("127.0.0.1", token, False)


def test_contradictory_and_unknown_hosts_are_refused() -> None:
    with pytest.raises(UsageError, match="no effect"):
        choose_access("0.0.0.0", TOKEN, True)
    for host in ("127.0.0.1", "localhost", "::1"):
        with pytest.raises(UsageError, match="--insecure has no effect"):
            choose_access(host, None, True)
    for host in ("", "no such host.invalid"):
        with pytest.raises(UsageError):
            choose_access(host, None, False)


@pytest.fixture(scope="module")
def guarded(people: People) -> Any:
    with serving(services_of(people.index, people.model), choose_access("0.0.0.0", TOKEN, False)) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/v1/indexes", "/metrics", "/openapi.json", "/v1/index/people/records/1/image"]
)
@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"],
)
def test_every_answer_needs_the_token(path: str, header: str | None, guarded: Client) -> None:
    without = Client(guarded.port)
    reply = without.get(path, **({} if header is None else {"Authorization": header}))
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert guarded.get(path).status == 200


def test_the_page_and_the_state_need_no_token(guarded: Client) -> None:
    without = Client(guarded.port)
    assert without.get("/health").status == 200
    page = without.get("/")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert without.get("//").status == 401
    assert without.get("/../").status == 401


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal lengths go to ``hmac.compare_digest``, whatever the lengths of the tokens are."""
    seen: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        seen.append((a, b))
        return original(a, b)

    monkeypatch.setattr(access_module.hmac, "compare_digest", compare)
    assert not access_module.same_token("x", TOKEN)
    assert not access_module.same_token("x" * 10_000, TOKEN)
    assert access_module.same_token(TOKEN, TOKEN)
    assert {(len(a), len(b)) for a, b in seen} == {(32, 32)}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://[x]"}, 403),
        ({"Origin": "http://\u00bd"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
    ],
)
def test_other_web_sites_are_refused(headers: dict[str, str], status: int, client: Client) -> None:
    reply = client.get("/v1/indexes", **headers)
    assert reply.status == status
    if status != 200:
        assert reply.error
        assert client.get("/health", **headers).status == status


@pytest.mark.parametrize(
    "path",
    [
        "/v1/index/people/records/..%2f..%2fetc%2fpasswd/image",
        "/v1/index/..%2f..%2fetc/records",
        "/v1/index/people/records/%2e%2e/image",
        "/v1/index/people/records/1%00/image",
        "/v1/index/people/records/-1/image",
        "/v1/index/people/records/99999999999999999999999/image",
        "/v1/index/people/records/1;select/image",
        "/etc/passwd",
        "/../../etc/passwd",
        "/static/../page.html",
        "/docs",
        "/redoc",
    ],
)
def test_paths_outside_of_the_index_do_not_exist(path: str, client: Client) -> None:
    reply = client.get(path)
    assert reply.status == 404, reply.body
    assert b"root:" not in reply.body


def test_records_that_leave_their_folder_have_no_image(people: People, tmp_path: Path) -> None:
    """An embeddings file of an attacker may contain any path, and the folder may contain links."""
    root = tmp_path / "images"
    root.mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(people.image("cam1/0001.png"))
    (root / "own.png").write_bytes(people.image("cam1/0001.png"))
    (root / "link.png").symlink_to(secret)
    (root / "folder.png").mkdir()
    (root / "text.png").write_text("root:x:0:0")
    names = ["own.png", "link.png", "../secret.png", str(secret), "folder.png", "text.png", "gone.png"]
    rows = [
        {"path": name, "modality": "visible", "camid": 1, "pid": 1, "source": source}
        for name, source in zip(names, names, strict=True)
    ]
    model = PixelModel()
    readable = [{**row, "path": "own.png"} for row in rows]
    index = fill_index(tmp_path / "people", root, readable[:1], model)
    vectors = index.vectors([1])
    for row in rows[1:]:
        columns = {key: [value] for key, value in row.items()}
        try:
            index.add(vectors, columns, fingerprint=model.fingerprint, root=str(root))
        except Exception:  # an index may refuse such a path itself
            continue
    with index, serving(services_of(index, model)) as client:
        records = client.get("/v1/index/people/records").json["records"]
        answers = {record["path"]: client.get(f"/{record['image']}") for record in records}
    assert answers.pop("own.png").status == 200
    assert {reply.status for reply in answers.values()} == {404}
    assert len({reply.body for reply in answers.values()}) == 1, "the answer tells nothing about the file"


def test_images_of_another_folder(people: People, tmp_path: Path) -> None:
    """A container mounts the images elsewhere."""
    (tmp_path / "cam1").mkdir()
    (tmp_path / "cam1" / "0001.png").write_bytes(people.image("cam1/0001.png"))
    with serving(services_of(people.index, None, images=tmp_path)) as client:
        records = client.get("/v1/index/people/records?where=camid%3D1").json["records"]
        assert [client.get(f"/{record['image']}").status for record in records] == [
            200,
            404,
            404,
            404,
            404,
            404,
        ]
