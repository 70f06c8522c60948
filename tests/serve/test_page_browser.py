"""The page in a real browser: search, filters, search with a match, keyboard, token, phone, foreign text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import chromium
from tests.serve.conftest import People
from tests.serve.made import Client, PixelModel, fill_index, services_of, serving
from vireid_cli.serve.access import choose_access

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing())

DRAWN = "(i => !i || i.naturalWidth > 0)(document.querySelector('.match img'))"
IDLE = "!document.getElementById('go').disabled"
STATUS = "document.getElementById('status').textContent"
TOKEN = "a-token-of-the-test-0123456789"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as started:
        started.screen(1280, 900)
        yield started


@pytest.fixture
def page(browser: chromium.Chromium, client: Client) -> chromium.Chromium:
    browser.screen(1280, 900)
    browser.visit(f"http://127.0.0.1:{client.port}/")
    return browser


def choose(page: chromium.Chromium, paths: list[Path]) -> None:
    """Choose crops, and wait for their matches."""
    page.run("document.getElementById('results').replaceChildren(); 1")
    page.choose_files("#files", paths)
    page.wait(f"{IDLE} && (document.querySelector('section') || {STATUS}) && {DRAWN}")


def shown(page: chromium.Chromium, section: int = 0) -> list[dict[str, Any]]:
    """Labels of the matches of a query, and whether their images are drawn."""
    return page.run(
        f"[...document.querySelectorAll('section')[{section}].querySelectorAll('.match')].map(b => "
        "({id: b.dataset.id, text: b.innerText, width: b.querySelector('img').naturalWidth}))"
    )


def test_two_crops_are_ranked_with_cameras_and_scores(page: chromium.Chromium, people: People) -> None:
    choose(page, [people.root / "cam3/0002.png", people.root / "cam1/0005.png"])
    assert page.run("document.querySelectorAll('section').length") == 2
    first = shown(page)
    assert len(first) == 20
    assert "#1" in first[0]["text"]
    assert "1.000" in first[0]["text"]
    assert "camera 3" in first[0]["text"]
    assert "person 2" in first[0]["text"]
    assert first[0]["width"] > 0
    assert "20 matches from cameras 1, 2, 3, 6" in page.run("document.querySelector('.query p').textContent")
    assert "40 matches in" in page.run(STATUS)
    assert page.complaints == []
    assert {request.split("/")[2] for request in page.requests if request.startswith("http")} == {
        f"127.0.0.1:{page.run('location.port')}"
    }


def test_filters_apply(page: chromium.Chromium, people: People) -> None:
    page.run("document.getElementById('cameras').value = '1, 6'; 1")
    page.run("document.getElementById('where').value = 'pid = 2 or pid = 3'; 1")
    choose(page, [people.root / "cam3/0002.png"])
    lines = [one["text"].split("\n") for one in shown(page)]
    pairs = {tuple(line for line in some if line[:3] in ("cam", "per")) for some in lines}
    assert pairs == {(f"camera {camid}", f"person {pid}") for camid in (1, 6) for pid in (2, 3)}
    page.run("document.getElementById('where').value = ''; document.getElementById('cameras').value = ''; 1")
    page.run("document.getElementById('from').value = '2026-11-01T08:02'; 1")
    page.run("document.getElementById('to').value = '2026-11-01T08:03:30'; 1")
    page.run("document.getElementById('results').replaceChildren(); document.getElementById('go').click(); 1")
    page.wait(f"{IDLE} && document.querySelectorAll('section').length === 1")
    assert {line for one in shown(page) for line in one["text"].split("\n") if line.startswith("person")} == {
        "person 2",
        "person 3",
    }
    page.run("document.getElementById('where').value = 'colour = 1'; 1")
    page.run("document.getElementById('form').requestSubmit(); 1")
    page.wait(f"{IDLE} && {STATUS}.includes('colour')")
    assert page.run("document.getElementById('status').classList.contains('bad')")


def test_a_match_becomes_the_query_by_keyboard_and_back(page: chromium.Chromium, people: People) -> None:
    choose(page, [people.root / "cam3/0002.png"])
    second = shown(page)[1]
    page.run("document.querySelectorAll('.match')[1].focus(); 1")
    page.key("Enter")
    page.wait(f"{IDLE} && document.querySelector('h2').textContent === 'cam6/0002.png'")
    assert shown(page)[0]["id"] == second["id"]
    page.run("document.getElementById('back').focus(); 1")
    page.key("Enter")
    page.wait("document.querySelector('h2').textContent === '0002.png'")
    assert page.run("document.getElementById('back').hidden")


def test_every_control_is_reached_by_tab(page: chromium.Chromium) -> None:
    page.run("document.querySelector('details').open = true; document.body.focus(); 1")
    reached = []
    for _ in range(36):  # a field of a time has several stops
        page.key("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
    expected = ["files", "index", "modality", "gallery", "cameras", "top", "SUMMARY", "from", "to"]
    expected += ["where", "group", "camid", "exclude", "rerank", "go"]
    assert [name for name in dict.fromkeys(reached) if name in expected] == expected


def test_it_fits_a_phone(page: chromium.Chromium, people: People) -> None:
    page.screen(360, 740, mobile=True)
    choose(page, [people.root / "cam3/0002.png"])
    page.run("document.querySelector('details').open = true; 1")
    assert page.run("document.documentElement.scrollWidth") == 360
    assert page.run("[...document.querySelectorAll('button, select, input')].every(e => e.hidden || "
                    "e.getBoundingClientRect().right <= 360)")  # fmt: skip


def test_the_token_is_asked_for(browser: chromium.Chromium, people: People) -> None:
    with serving(services_of(people.index, people.model), choose_access("0.0.0.0", TOKEN, False)) as client:
        browser.screen(1280, 900)
        browser.visit(f"http://127.0.0.1:{client.port}/")
        assert "needs a token" in browser.run(STATUS)
        assert browser.run("document.activeElement.id") == "token"
        browser.run(f"document.getElementById('token').value = '{TOKEN}'; 1")
        browser.key("Enter")
        browser.wait("document.getElementById('index').options.length === 1")
        choose(browser, [people.root / "cam3/0002.png"])
        browser.wait("document.querySelector('.match img').naturalWidth > 0")


def test_foreign_text_is_text(browser: chromium.Chromium, people: People, tmp_path: Path) -> None:
    """Paths, columns and file names with markup are shown as they are, and run nothing."""
    name = "<img src=x onerror=alert(1)>.png"
    (tmp_path / "images").mkdir()
    shutil.copy(people.root / "cam3/0002.png", tmp_path / "images" / name)
    row = {"path": name, "modality": "infrared", "camid": 3, "pid": 2, "note": "<script>alert(2)</script>"}
    model = PixelModel()
    index = fill_index(tmp_path / "people", tmp_path / "images", [row], model)
    with index, serving(services_of(index, model)) as client:
        browser.screen(1280, 900)
        browser.visit(f"http://127.0.0.1:{client.port}/")
        choose(browser, [tmp_path / "images" / name])
        assert browser.run("document.querySelector('h2').textContent") == name
        browser.run("document.querySelector('.match').click(); 1")
        browser.wait(f"{IDLE} && document.querySelectorAll('.match').length === 1")
        assert browser.run("document.querySelector('h2').textContent") == name
        assert browser.complaints == []
