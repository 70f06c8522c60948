"""Report page: self-contained, escaped text, identical bytes for identical reports."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, cast

import numpy as np
import pytest

from tests.figures.made_report import made_gallery, made_report, webp
from vireid_cli.figures.report import chart_data, tables
from vireid_cli.figures.report.page import data_uri, embedded_json, page
from vireid_cli.figures.report.parts import Cell, Gallery, Report, Table, TableRow
from vireid_cli.results.schema import EvaluationFile


class Reader(HTMLParser):
    """Parser that collects a page's addresses and the text of its script and style elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: dict[str, list[str]] = {}
        self.policy = ""
        self.forbidden: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.addresses += [
            str(attributes[key]) for key in ("src", "href", "action", "srcset") if key in attributes
        ]
        self.forbidden += [key for key in attributes if key == "style" or key.startswith("on")]
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(attributes["content"])
        if tag in ("script", "style"):
            self._open = str(attributes.get("id", tag))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline.setdefault(self._open, []).append(data)


@pytest.fixture(scope="module")
def text() -> str:
    return page(made_report(runs=2))


def test_page_has_no_external_address(text: str) -> None:
    reader = Reader(text)
    assert reader.addresses
    assert all(address.startswith(("#", "data:,")) for address in reader.addresses)
    assert reader.forbidden == []  # the policy would block these
    assert not re.search(r"@import|url\(", "".join(reader.inline["style"]))
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}  # namespace, not an address


def test_policy_contains_hashes_of_script_and_style(text: str) -> None:
    reader = Reader(text)
    assert "default-src 'none'" in reader.policy
    assert "unsafe" not in reader.policy
    for kind in ("script", "style"):
        digest = hashlib.sha256("".join(reader.inline[kind]).encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in reader.policy


def test_same_report_same_bytes(text: str) -> None:
    assert page(made_report(runs=2)) == text


def test_page_contains_each_image_once(text: str) -> None:
    report = made_report(runs=2)
    stored = json.loads("".join(Reader(text).inline["images"]))
    assert [base64.b64decode(uri.partition(",")[2]) for uri in stored] == list(report.images)
    assert len(set(stored)) == len(stored)
    assert all(text.count(uri) == 1 for uri in stored)


def test_markup_in_names_is_escaped() -> None:
    evil = "</script><img src=x onerror=alert(1)>&<!--"
    report = made_report()
    assert report.gallery is not None
    side = report.gallery.query
    query = replace(side, paths=np.array([evil, *side.paths[1:]]))
    named = replace(report, title=evil, runs=(evil,), gallery=replace(report.gallery, query=query))
    reader = Reader(page(named))
    assert "onerror" not in reader.forbidden
    data = json.loads("".join(reader.inline["data"]))
    assert data["runs"] == [evil]
    assert data["gallery"]["query"]["path"][0] == evil


def test_json_in_a_script_element_reads_back() -> None:
    content = {"a": "</script><!-- \u2028 ü", "b": [1, None, 0.5]}
    encoded = embedded_json(content)
    assert json.loads(encoded) == content
    assert not set("<>\u2028") & set(encoded)
    with pytest.raises(ValueError, match="JSON"):
        embedded_json([float("nan")])


def test_data_uri_rejects_other_files() -> None:
    assert data_uri(webp(1, 500)).startswith("data:image/webp;base64,UklG")
    with pytest.raises(ValueError, match="starts with"):
        data_uri(b"<svg onload=alert(1)>")


def test_inconsistent_parts_raise() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 heads"):
        Table("x", ("a", "b", "c"), (TableRow(Cell("r"), (Cell("1"),)),))
    made = made_gallery(20, 10, 1)
    with pytest.raises(ValueError, match="not in the gallery"):
        Gallery(made.query, replace(made.gallery, paths=made.gallery.paths[:3]), made.rankings, (0,))


def content(**changes: object) -> EvaluationFile:
    metric = {"mean": 0.5, "std": 0.01, "interval": [0.45, 0.55]}
    result: Any = {
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
    return cast(EvaluationFile, result)


def rows(table: Table) -> dict[str, list[str]]:
    return {row.head.text: [cell.text for cell in row.cells] for row in table.rows}


def test_headline_with_chance_and_paper_values() -> None:
    table = tables.headline([content()], ["a"], [])
    assert table.heads == ("%", "Rank-1", "Rank-10", "mAP")
    assert rows(table) == {
        "this run": ["50.00"] * 3,
        "standard deviation": ["1.00"] * 3,
        "chance": ["1.00", "10.00", "2.00"],
        "paper": ["54.10", "–", "52.30"],
    }
    assert table.rows[0].cells[0].note == "45.0–55.0"
    [first, *_] = tables.tiles(content())
    assert (first.value, first.low, first.high, first.chance, first.paper) == pytest.approx(
        (50, 45, 55, 1, 54.1)
    )
    assert "paper" not in rows(tables.headline([content(reported=[])], ["a"], []))


@pytest.mark.parametrize(
    ("interval", "p", "bold"),
    [([0.01, 0.05], 0.01, True), ([0.01, 0.05], 0.07, False), ([-0.01, 0.05], 0.01, False)],
)
def test_clear_difference_is_highlighted(interval: list[float], p: float, bold: bool) -> None:
    against: Any = {
        "name": "b",
        "test": "paired",
        "metrics": {},
        "differences": {"mAP": {"mean": 0.03, "interval": interval, "p_value": p}},
    }
    table = tables.headline([content(), content()], ["a", "b"], [against])
    row = next(row for row in table.rows if row.head.text == "a − b")
    assert [cell.text for cell in row.cells] == ["–", "–", "+3.00"]
    assert (row.cells[2].emphasis == "best") is bold
    assert tables.signed(-1.25, 1) == "−1.2"


def test_verification_rates_have_tiles() -> None:
    metrics = dict(content()["metrics"], **{"vr_far_0.01": content()["metrics"]["mAP"]})
    assert [tile.name for tile in tables.tiles(content(metrics=metrics))] == ["Rank-1", "mAP", "VR@FAR 1 %"]


def test_camera_pairs_side_by_side() -> None:
    def pair(q: int, g: int, rank1: float | None) -> dict[str, Any]:
        return {
            "query_camera": q,
            "gallery_camera": g,
            "queries": 10,
            "rank1": rank1,
            "mAP": 0.5,
            "mINP": 0.4,
        }

    table = tables.camera_pairs([[pair(3, 1, 0.2), pair(6, 1, 0.4)], [pair(3, 1, 0.3)]], ["a", "b"])
    assert rows(table) == {
        "camera 3 → 1": ["10", "20.00", "30.00", "50.00", "50.00"],
        "camera 6 → 1": ["10", "40.00", "–", "50.00", "–"],
    }
    assert not any(cell.emphasis for row in table.rows for cell in row.cells), "bold: a clear difference"


@pytest.mark.parametrize(("rows", "folded"), [(24, False), (25, True)])
def test_long_tables_of_numbers_are_folded(rows: int, folded: bool) -> None:
    table = Table(
        "Pairs", ("pair", "Rank-1"), tuple(TableRow(Cell(str(i)), (Cell("1"),)) for i in range(rows))
    )
    text = page(Report("a", "b", ("a",), results=(table,)))
    assert (f"<summary>{rows} rows</summary>" in text) == folded
    words = page(Report("a", "b", ("a",), results=(replace(table, words=True),)))
    assert "rows</summary>" not in words


def test_long_curves_are_averaged_over_equal_intervals() -> None:
    loss = np.random.default_rng(0).normal(size=4 * chart_data.MOST_POINTS)
    log = [{"kind": "step", "global_step": i, "lr": 0.1, "loss": v, "losses": {}} for i, v in enumerate(loss)]
    [chart, _] = chart_data.training_charts([("a", log)])
    assert chart.title == "loss"
    [series] = chart.spec["series"]
    np.testing.assert_allclose(series["y"], loss.reshape(-1, 4).mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(series["x"], np.arange(len(loss)).reshape(-1, 4).mean(axis=1))


def test_inactive_term_is_a_gap_and_validation_has_a_chart() -> None:
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
    values = {chart.title: chart.spec["series"][0]["y"] for chart in chart_data.training_charts([("x", log)])}
    assert values == {
        "loss": [1, 1, 1],
        "loss: a": [1, 1, 1],
        "loss: b": [None, 2, 2],
        "monitor: s": [0, 0.5, 1],
        "learning rate": [0.1, 0.1, 0.1],
        "validation mAP, %": [25],
    }


def test_histograms_count_every_pair() -> None:
    intra, inter = np.zeros(200, dtype=np.int64), np.zeros(200, dtype=np.int64)
    intra[30:90], inter[60:150] = 3, 7
    runs = [
        chart_data.Histogram("a", intra, inter, (0.6, 1.05)),
        chart_data.Histogram("b", inter, intra, (0.6, 1.05)),
    ]
    spec, other = (chart.spec for chart in chart_data.distance_charts(np.linspace(0, 2, 201), runs))
    assert (spec["x"], spec["y"]) == (other["x"], other["y"])  # compared runs share one scale
    for one in spec["series"]:
        assert sum(one["y"][:-1]) == pytest.approx(100, abs=0.1)
        assert max(one["y"]) < spec["y"]["max"]
    assert [mark["x"] for mark in spec["marks"]] == [0.6, 1.05]
    assert "δ = 0.450" in spec["legend"]
