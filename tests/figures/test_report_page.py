"""The page's text: everything in it, nothing from outside, text that stays text, the same bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.figures.made_report import made_gallery, made_report, webp
from vireid_cli.figures.report import charts, tables
from vireid_cli.figures.report.page import data_uri, embedded_json, page
from vireid_cli.figures.report.parts import Cell, Gallery, Report, Table, TableRow


class Reader(HTMLParser):
    """Addresses that a page names, and the text of its script and style elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: dict[str, list[str]] = {}
        self.policy = ""
        self.forbidden: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [str(found[key]) for key in ("src", "href", "action", "srcset") if key in found]
        self.forbidden += [key for key in found if key == "style" or key.startswith("on")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(found["content"])
        if tag in ("script", "style"):
            self._open = str(found.get("id", tag))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline.setdefault(self._open, []).append(data)


@pytest.fixture(scope="module")
def text() -> str:
    return page(made_report(runs=2))


def test_no_address_leads_out_of_the_page(text: str) -> None:
    found = Reader(text)
    assert found.addresses
    assert all(address.startswith(("#", "data:,")) for address in found.addresses)
    assert found.forbidden == []  # what the policy would not let pass
    assert not re.search(r"@import|url\(", "".join(found.inline["style"]))
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}  # a name, not an address


def test_the_policy_names_script_and_style_by_their_hashes(text: str) -> None:
    found = Reader(text)
    assert "default-src 'none'" in found.policy
    assert "unsafe" not in found.policy
    for kind in ("script", "style"):
        digest = hashlib.sha256("".join(found.inline[kind]).encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in found.policy


def test_same_report_same_bytes(text: str) -> None:
    assert page(made_report(runs=2)) == text


def test_each_image_is_in_it_once(text: str) -> None:
    report = made_report(runs=2)
    stored = json.loads("".join(Reader(text).inline["images"]))
    assert [base64.b64decode(uri.partition(",")[2]) for uri in stored] == list(report.images)
    assert len(set(stored)) == len(stored)
    assert all(text.count(uri) == 1 for uri in stored)


def test_text_of_others_stays_text() -> None:
    evil = "</script><img src=x onerror=alert(1)>&<!--"
    report = made_report()
    assert report.gallery is not None
    side = report.gallery.query
    query = replace(side, paths=np.array([evil, *side.paths[1:]]))
    named = replace(report, title=evil, runs=(evil,), gallery=replace(report.gallery, query=query))
    found = Reader(page(named))
    assert "onerror" not in found.forbidden
    data = json.loads("".join(found.inline["data"]))
    assert data["runs"] == [evil]
    assert data["gallery"]["query"]["path"][0] == evil


def test_json_in_a_script_element_reads_back() -> None:
    content = {"a": "</script><!-- \u2028 ü", "b": [1, None, 0.5]}
    found = embedded_json(content)
    assert json.loads(found) == content
    assert not set("<>\u2028") & set(found)
    with pytest.raises(ValueError, match="JSON"):
        embedded_json([float("nan")])


def test_only_images_are_taken_for_images() -> None:
    assert data_uri(webp(1, 500)).startswith("data:image/webp;base64,UklG")
    with pytest.raises(ValueError, match="starts with"):
        data_uri(b"<svg onload=alert(1)>")


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 heads"):
        Table("x", ("a", "b", "c"), (TableRow(Cell("r"), (Cell("1"),)),))
    made = made_gallery(20, 10, 1)
    with pytest.raises(ValueError, match="not in the gallery"):
        Gallery(made.query, replace(made.gallery, paths=made.gallery.paths[:3]), made.rankings, (0,))


def content(**changes):
    metric = {"mean": 0.5, "std": 0.01, "interval": [0.45, 0.55]}
    return {
        "protocol": "all-single-seeded",
        "fingerprint": {"dataset": "SYSU-MM01"},
        "trials": 10,
        "queries": 3803,
        "valid_queries": 3803,
        "gallery": 301,
        "metrics": dict.fromkeys(("rank1", "rank10", "mAP"), metric),
        "interval": "over people",
        "chance": {"rank1": 0.01, "mAP": 0.02},
        "chance_cmc": [0.01 * k for k in range(1, 21)],
        "variants": [],
        "reported": [{"source": "Table 2", "rank1": 54.1, "mAP": 52.3}],
        **changes,
    }


def rows(table: Table) -> dict[str, list[str]]:
    return {row.head.text: [cell.text for cell in row.cells] for row in table.rows}


def test_headline_ours_chance_and_the_papers_figures() -> None:
    found = tables.headline([content()], ["a"], [])
    assert found.heads == ("%", "Rank-1", "Rank-10", "mAP")
    assert rows(found) == {
        "this run": ["50.00"] * 3,
        "standard deviation": ["1.00"] * 3,
        "chance": ["1.00", "10.00", "2.00"],
        "paper": ["54.10", "–", "52.30"],
    }
    assert found.rows[0].cells[0].note == "45.0–55.0"
    [first, *_] = tables.tiles(content())
    assert (first.value, first.low, first.high, first.chance, first.paper) == pytest.approx(
        (50, 45, 55, 1, 54.1)
    )
    assert "paper" not in rows(tables.headline([content(reported=[])], ["a"], []))


@pytest.mark.parametrize(
    ("interval", "p", "bold"),
    [([0.01, 0.05], 0.01, True), ([0.01, 0.05], 0.07, False), ([-0.01, 0.05], 0.01, False)],
)
def test_a_difference_stands_out_where_interval_and_p_say_so(
    interval: list[float], p: float, bold: bool
) -> None:
    against = {
        "name": "b",
        "test": "paired",
        "metrics": {},
        "differences": {"mAP": {"mean": 0.03, "interval": interval, "p_value": p}},
    }
    found = tables.headline([content(), content()], ["a", "b"], [against])
    row = next(row for row in found.rows if row.head.text == "a − b")
    assert [cell.text for cell in row.cells] == ["–", "–", "+3.00"]
    assert (row.cells[2].emphasis == "best") is bold
    assert tables.signed(-1.25, 1) == "−1.2"


def test_verification_rates_have_their_tiles() -> None:
    metrics = dict(content()["metrics"], **{"vr_far_0.01": content()["metrics"]["mAP"]})
    assert [tile.name for tile in tables.tiles(content(metrics=metrics))] == ["Rank-1", "mAP", "VR@FAR 1 %"]


def test_camera_pairs_side_by_side() -> None:
    def pair(q, g, rank1):
        return {
            "query_camera": q,
            "gallery_camera": g,
            "queries": 10,
            "rank1": rank1,
            "mAP": 0.5,
            "mINP": 0.4,
        }

    found = tables.camera_pairs([[pair(3, 1, 0.2), pair(6, 1, 0.4)], [pair(3, 1, 0.3)]], ["a", "b"])
    assert rows(found) == {
        "camera 3 → 1": ["10", "20.00", "30.00", "50.00", "50.00"],
        "camera 6 → 1": ["10", "40.00", "–", "50.00", "–"],
    }
    assert not any(cell.emphasis for row in found.rows for cell in row.cells), "bold: a clear difference"


@pytest.mark.parametrize(("rows", "folded"), [(24, False), (25, True)])
def test_long_tables_of_numbers_are_folded(rows: int, folded: bool) -> None:
    table = Table(
        "Pairs", ("pair", "Rank-1"), tuple(TableRow(Cell(str(i)), (Cell("1"),)) for i in range(rows))
    )
    text = page(Report("a", "b", ("a",), results=(table,)))
    assert (f"<summary>{rows} rows</summary>" in text) == folded
    words = page(Report("a", "b", ("a",), results=(replace(table, words=True),)))
    assert "rows</summary>" not in words


def test_long_curves_are_means_of_equal_stretches() -> None:
    loss = np.random.default_rng(0).normal(size=4 * charts.MOST_POINTS)
    log = [{"kind": "step", "global_step": i, "lr": 0.1, "loss": v, "losses": {}} for i, v in enumerate(loss)]
    [chart, _] = charts.training_charts([("a", log)])
    assert chart.title == "loss"
    [series] = chart.spec["series"]
    np.testing.assert_allclose(series["y"], loss.reshape(-1, 4).mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(series["x"], np.arange(len(loss)).reshape(-1, 4).mean(axis=1))


def test_a_term_that_was_off_leaves_a_gap_and_validation_has_a_chart() -> None:
    log = [
        {
            "kind": "step",
            "global_step": i,
            "lr": 0.1,
            "loss": 1.0,
            "losses": {"a": 1.0} | ({"b": 2.0} if i else {}),
            "monitors": {"s": 0.5 * i},
        }
        for i in range(3)
    ]
    log.append({"kind": "epoch", "global_step": 2, "val": {"mAP": 0.25}})
    found = {chart.title: chart.spec["series"][0]["y"] for chart in charts.training_charts([("x", log)])}
    assert found == {
        "loss": [1, 1, 1],
        "loss: a": [1, 1, 1],
        "loss: b": [None, 2, 2],
        "monitor: s": [0, 0.5, 1],
        "learning rate": [0.1, 0.1, 0.1],
        "validation mAP, %": [25],
    }


def test_histograms_hold_every_pair() -> None:
    intra, inter = np.zeros(200, dtype=np.int64), np.zeros(200, dtype=np.int64)
    intra[30:90], inter[60:150] = 3, 7
    runs = [
        charts.Histogram("a", intra, inter, (0.6, 1.05)),
        charts.Histogram("b", inter, intra, (0.6, 1.05)),
    ]
    spec, other = (chart.spec for chart in charts.distance_charts(np.linspace(0, 2, 201), runs))
    assert (spec["x"], spec["y"]) == (other["x"], other["y"])  # what is compared is on one scale
    for one in spec["series"]:
        assert sum(one["y"][:-1]) == pytest.approx(100, abs=0.1)
        assert max(one["y"]) < spec["y"]["max"]
    assert [mark["x"] for mark in spec["marks"]] == [0.6, 1.05]
    assert "δ = 0.450" in spec["legend"]
