"""Ranking figure: right matches green and ticked, wrong matches red and crossed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.figures.conftest import DrawPerson
from vireid_cli.errors import UsageError
from vireid_cli.figures import saving, style
from vireid_cli.figures.pixels import as_bytes
from vireid_cli.figures.ranking import RankingRow, compared_figure, ranking_figure

SIZE = (36, 18)


def row(correct: list[bool], person: DrawPerson, pid: int = 3) -> RankingRow:
    count = len(correct)
    images = np.stack([person(pid if right else 50 + i, i, False, SIZE) for i, right in enumerate(correct)])
    return RankingRow(
        person(pid, 9, True, SIZE),
        f"pid {pid} · cam 3",
        images,
        np.array(correct),
        tuple(f"match {i}" for i in range(count)),
        np.linspace(0.9, 0.1, count),
    )


@pytest.fixture(scope="module")
def rows(person: DrawPerson) -> list[RankingRow]:
    pattern = [True, False, True, True, False, False, False, True, False, True]
    return [row(pattern, person), row([not right for right in pattern][:4], person, pid=5)]


def test_frames_have_correct_colour_and_position(rows: list[RankingRow], tmp_path: Path) -> None:
    figure = ranking_figure(rows, "Matches")
    drawn = matplotlib.image.imread(saving.save(figure, tmp_path / "a.png", dpi=200))[..., :3]
    extents = [image.get_extent() for image in figure.axes[0].images]
    assert len(extents) == 1 + 10 + 1 + 4
    matches = [*extents[1:11], *extents[12:]]
    for (left, right, bottom, top), correct in zip(
        matches, [*rows[0].correct, *rows[1].correct], strict=True
    ):
        colour = to_rgb(style.RIGHT if correct else style.WRONG)
        y, x = (top + bottom) / 2, (left + right) / 2
        around = [(y, left - 0.018), (y, right + 0.018), (top - 0.018, x), (bottom + 0.018, x)]
        for inches in around:
            at = tuple(round(200 * v) for v in inches)
            np.testing.assert_allclose(drawn[at], colour, atol=0.02)
    for left, _, bottom, top in (extents[0], extents[11]):  # a query has no frame
        np.testing.assert_allclose(drawn[round(100 * (top + bottom)), round(200 * (left - 0.018))], 1.0)


def test_every_match_has_a_mark_a_score_and_a_label(rows: list[RankingRow]) -> None:
    words = [text.get_text() for text in ranking_figure(rows, "Matches", "run 1").axes[0].texts]
    marks = [word for word in words if word[:1] in "✓✗" and "person" not in word]
    pattern = [*rows[0].correct, *rows[1].correct]
    assert [word[0] == "✓" for word in marks] == pattern
    assert marks[0] == "✓ 0.900"
    assert words.count("match 3") == 2
    assert {"Matches", "run 1", "query", "1", "10", "pid 3 · cam 3", "pid 5 · cam 3"} <= set(words)
    assert {"✓ the query's person", "✗ another person"} <= set(words)


def test_negative_scores_have_a_typographic_minus(rows: list[RankingRow]) -> None:
    figure = ranking_figure([replace(rows[0], scores=-rows[0].scores)], "x")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "✓ −0.900" in words
    assert "-" not in "".join(words)


def test_images_are_drawn_best_first_and_at_most_ten(person: DrawPerson) -> None:
    many = row([True] * 14, person)
    images = ranking_figure([many], "x").axes[0].images
    assert len(images) == 11
    for drawn, expected in zip(images[1:], many.images, strict=False):
        np.testing.assert_array_equal(np.asarray(drawn.get_array()), as_bytes(expected))
    lefts = [image.get_extent()[0] for image in images]
    assert lefts == sorted(lefts)


def test_without_scores_and_without_matches(person: DrawPerson) -> None:
    bare = replace(row([True], person), scores=None)
    empty = row([True], person)
    empty = replace(
        empty, images=empty.images[:0], correct=empty.correct[:0], labels=(), scores=None, query_label="none"
    )
    words = [text.get_text() for text in ranking_figure([bare, empty], "x").axes[0].texts]
    assert "✓" in words
    assert "none" in words


def test_runs_are_stacked_beside_one_query(rows: list[RankingRow], person: DrawPerson) -> None:
    other = [True] * 10
    groups = [
        [replace(rows[0], head="FDNM: AP 60.0 %"), replace(row(other, person), head="AGW: AP 9.0 %")]
    ] * 2
    axes = compared_figure(groups, "FDNM above AGW").axes[0]
    boxes = np.array([image.get_extent() for image in axes.images]).reshape(2, 21, 4)  # left right bottom top
    for query, first, second in zip(boxes[:, 0], boxes[:, 1], boxes[:, 11], strict=True):
        assert query[1] < first[0] == second[0]
        middle = (query[2] + query[3]) / 2
        assert middle == pytest.approx((first[3] + second[2]) / 2)  # centred on both lines
        assert first[2] < second[3]
    assert boxes[0, 11:, 2].max() < boxes[1, 1, 3]  # the next query is below
    heads = [text for text in axes.texts if " AP " in text.get_text()]
    assert [text.get_text() for text in heads] == ["FDNM: AP 60.0 %", "AGW: AP 9.0 %"] * 2
    for head, line in zip(heads, boxes[:, [1, 11]].reshape(4, 4), strict=True):
        assert head.get_position()[1] < line[3]
        assert line[3] - head.get_position()[1] < 0.3
    words = [text.get_text() for text in axes.texts]
    assert words.count("pid 3 · cam 3") == 2
    assert len([word for word in words if word[:3] == "✓ 0"]) == 2 * (5 + 10)


def test_line_height_equals_image_height(rows: list[RankingRow]) -> None:
    """Faces are square: no empty space above or below."""
    square = [
        replace(one, query_image=one.query_image[:20, :20], images=one.images[:, :20, :20]) for one in rows
    ]
    for high, low in (
        [ranking_figure(some, "Title") for some in (rows, square)],
        [compared_figure([some], "Title") for some in (rows, square)],
    ):
        lines = [np.array([image.get_extent() for image in one.axes[0].images]) for one in (high, low)]
        tall = [np.ptp(extents[:, 2:], axis=1).max() for extents in lines]
        saved = high.get_size_inches()[1] - low.get_size_inches()[1]
        assert saved == pytest.approx(len(rows) * (tall[0] - tall[1]), abs=1e-6)
        assert saved > 0.5


def test_every_query_needs_every_run(rows: list[RankingRow]) -> None:
    with pytest.raises(ValueError, match="each run"):
        compared_figure([[rows[0]], [rows[0], rows[1]]], "x")
    with pytest.raises(UsageError, match="vireid evaluate"):
        compared_figure([], "x")


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_rows_same_bytes(rows: list[RankingRow], tmp_path: Path, name: str) -> None:
    first = saving.save(ranking_figure(rows, "x"), tmp_path / "1" / name).read_bytes()
    assert saving.save(ranking_figure(rows, "x"), tmp_path / "2" / name).read_bytes() == first


def test_no_query_raises_with_hint() -> None:
    with pytest.raises(UsageError, match="vireid evaluate"):
        ranking_figure([], "x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query_image", np.zeros((1, *SIZE, 3))),
        ("images", np.zeros((*SIZE, 3))),
        ("images", np.zeros((2, *SIZE, 3), np.int64)),
        ("correct", np.array([1, 0])),
        ("correct", np.array([True])),
        ("labels", ("one",)),
        ("scores", np.zeros(3)),
    ],
)
def test_error_names_the_wrong_array(person: DrawPerson, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        replace(row([True, False], person), **{name: value})
