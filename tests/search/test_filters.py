"""The grammar against Python's own logic, its refusals, and texts that try to leave it."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vireid_cli.errors import UsageError
from vireid_cli.search import filters
from vireid_cli.search.columns import ColumnType
from vireid_cli.search.filter_sql import to_sql
from vireid_cli.search.filters import (
    ColumnComparison,
    Every,
    Membership,
    Some,
    Unknown,
    columns_of,
    parse_filter,
)

COLUMNS: dict[str, ColumnType] = {
    "camid": "integer",
    "pid": "integer",
    "time": "text",
    "modality": "text",
    "score": "real",
    "Door": "text",
}
CAMERA_1, CAMERA_2 = ColumnComparison("camid", "=", 1), ColumnComparison("camid", "=", 2)
PERSON_3 = ColumnComparison("pid", "=", 3)
STORED = {name: f"c{place}" for place, name in enumerate(COLUMNS)}


def parse(text: str) -> object:
    return parse_filter(text, COLUMNS)


def test_the_example() -> None:
    assert parse("camid in (3, 6) and time > '2026-11-01'") == Every(
        (Membership("camid", (3, 6)), ColumnComparison("time", ">", "2026-11-01T00:00:00.000000"))
    )


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("CAMID = -3", ColumnComparison("camid", "=", -3)),
        ("camid==3", ColumnComparison("camid", "=", 3)),
        ("camid <> 3", ColumnComparison("camid", "!=", 3)),
        ("score >= 1.5e1", ColumnComparison("score", ">=", 15.0)),
        ("score < .5", ColumnComparison("score", "<", 0.5)),
        ("door = 'it''s'", ColumnComparison("Door", "=", "it's")),
        ('door = "say ""no"""', ColumnComparison("Door", "=", 'say "no"')),
        ("[Door] is null", Unknown("Door")),
        ("pid IS NOT NULL", Unknown("pid", True)),
        ("not pid is null", Unknown("pid", True)),
        ("pid not in (1)", Membership("pid", (1,), True)),
        ("not not pid = 1", ColumnComparison("pid", "=", 1)),
        ("not (camid = 1 or pid < 2)", Every((ColumnComparison("camid", "!=", 1),
          ColumnComparison("pid", ">=", 2)))),
        ("not (camid = 1 and pid in (2))",
         Some((ColumnComparison("camid", "!=", 1), Membership("pid", (2,), True)))),
        (
            "camid = 1 or camid = 2 and pid = 3",
            Some((CAMERA_1, Every((CAMERA_2, PERSON_3)))),
        ),
        (
            "(camid = 1 or camid = 2) and pid = 3",
            Every((Some((CAMERA_1, CAMERA_2)), PERSON_3)),
        ),
        ("time = '2026-11-01 18:30+01:00'", ColumnComparison("time", "=", "2026-11-01T17:30:00.000000")),
    ],
)  # fmt: skip
def test_parsed(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected the name of a column at its end"),
        ("   ", "expected the name of a column"),
        ("cam = 3", "there is no column 'cam'"),
        ("camid", "expected a comparison"),
        ("camid =", "expected a number or quoted text at its end"),
        ("camid = '3'", "camid is a number"),
        ("door = 3", "text, so write it in quotes: '3'"),
        ("camid = null", "write camid IS NULL"),
        ("camid is 3", "expected NULL after IS"),
        ("camid in 3", "expected a parenthesis after IN"),
        ("camid in ()", "expected a number"),
        ("camid in (1, 2", "expected a comma or a closing parenthesis"),
        ("(camid = 1", "expected a closing parenthesis"),
        ("camid = 1)", "expected 'and', 'or' or the end"),
        ("camid = 1 pid = 2", "expected 'and', 'or' or the end"),
        ("camid = 1 and", "expected the name of a column at its end"),
        ("door = 'open", "a closing ' is missing"),
        ("[door = 1", "a closing ] is missing"),
        ("camid = 1; DROP TABLE records", "unexpected character at '; DROP"),
        ("camid = 1 -- x", "unexpected character at '-- x"),
        ("camid = 1 /* x */", "unexpected character"),
        ("camid = pid", "expected a number or quoted text"),
        ("1 = 1", "expected the name of a column"),
        ("camid = (SELECT 1)", "expected a number"),
        ("camid = load_extension('x')", "expected a number"),
        ("camid = 99999999999999999999", "outside of 64 bits"),
        ("time > 'yesterday'", "expected a time"),
        ("modality = 'thermal'", "'visible' or 'infrared'"),
        ("camid not = 3", "expected a comparison"),
        ("camid = 1\x00", "unexpected character"),
        ("(" * 60 + "camid = 1" + ")" * 60, "nested deeper"),
        ("not " * 60 + "camid = 1", "nested deeper"),
        ("camid in (" + "1," * 10_000 + "1)", "more than 10,000 values"),
        ("x" * 100_001, "the limit is 100,000"),
    ],
)
def test_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert "\x00" not in caught.value.message


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse("camdi = 3")
    assert "Nearest column: camid." in caught.value.hint


ATTACKS = (
    "' OR '1'='1",
    "x'; DROP TABLE records; --",
    "') OR 1=1 --",
    "\\' OR 1=1 --",
    "%' OR path LIKE '%",
    "x' UNION SELECT value FROM meta --",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_value_stays_a_value(attack: str) -> None:
    """Quoted as a user would quote it; the statement has a mark in its place."""
    tree = parse_filter("door = '" + attack.replace("'", "''") + "'", COLUMNS)
    sql, parameters = to_sql(tree, STORED)
    assert sql == "c5 = CAST(? AS TEXT)"
    assert parameters == [attack]


@pytest.mark.parametrize("attack", ATTACKS)
def test_pasted_into_quotes_it_is_refused_or_a_filter(attack: str) -> None:
    """A program that pastes a value without doubling its quotes: nothing but the grammar comes out."""
    try:
        tree = parse_filter(f"door = '{attack}'", COLUMNS)
    except UsageError:
        return
    sql, _ = to_sql(tree, STORED)
    assert "DROP" not in sql
    assert "1=1" not in sql


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        (" or ".join(f"camid = {number}" for number in range(5000, 0, -1)), 3),
        (" and ".join(f"camid != {number}" for number in range(2, 5000)), 1),
        ("not (" + " or ".join(["camid is null"] * 5000) + ")", 3),
        ("camid = 1 and (" * 49 + " or ".join(["camid = 2 or camid = 1"] * 1000) + ")" * 49, 1),
    ],
    ids=["or", "and", "is null", "nested"],
)
def test_long_filters(text: str, selected: int) -> None:
    """SQLite refuses expressions that are deeper than 1,000."""
    sql, parameters = to_sql(parse_filter(text, COLUMNS), {"camid": "camid"})
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE records (camid INTEGER)")
    connection.executemany("INSERT INTO records VALUES (?)", [(1,), (2,), (3,), (None,)])
    count = connection.execute(f"SELECT count(*) FROM records WHERE {sql}", parameters).fetchone()
    connection.close()
    assert count == (selected,)


@pytest.mark.parametrize("term", ["pid=1", "pid is null"])
def test_the_number_of_conditions_is_limited(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MOST_VALUES", 2000)
    parse(" or ".join([term] * 2000))
    with pytest.raises(UsageError, match="more than 2,000 values"):
        parse(" or ".join([term] * 2001))


CONDITIONS = st.one_of(
    st.tuples(st.sampled_from(["camid", "pid", "score"]), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
              st.integers(-2, 5)).map(lambda t: (f"{t[0]} {t[1]} {t[2]}", t)),
    st.tuples(st.sampled_from(["camid", "pid"]), st.sampled_from(["in", "not in"]),
              st.lists(st.integers(-2, 5), min_size=1, max_size=3)).map(
        lambda t: (f"{t[0]} {t[1]} ({', '.join(map(str, t[2]))})", t)
    ),
    st.tuples(st.sampled_from(["camid", "pid"]), st.sampled_from(["is null", "is not null"])).map(
        lambda t: (f"{t[0]} {t[1]}", t)
    ),
)  # fmt: skip
TREES = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        inner.map(lambda t: (f"not ({t[0]})", ("not", t[1]))),
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]}) and ({t[1][0]})", ("and", t[0][1], t[1][1]))),
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]}) or ({t[1][0]})", ("or", t[0][1], t[1][1]))),
    ),
    max_leaves=6,
)
ROWS = [
    {"camid": camid, "pid": pid, "score": score}
    for camid in (None, 0, 1, 3) for pid in (None, 1, 4) for score in (-1.0, 2.0)
]  # fmt: skip


def truth(node: tuple, row: dict) -> bool | None:
    """Three-valued logic, written out."""
    if node[0] == "not":
        inner = truth(node[1], row)
        return None if inner is None else not inner
    if node[0] in ("and", "or"):
        sides = [truth(node[1], row), truth(node[2], row)]
        decisive = node[0] == "or"
        if decisive in sides:
            return decisive
        return None if None in sides else not decisive
    value = row[node[0]]
    if node[1] in ("is null", "is not null"):
        return (value is None) == (node[1] == "is null")
    if value is None:
        return None
    other = node[2]
    return {
        "=": lambda: value == other, "!=": lambda: value != other, "<": lambda: value < other,
        "<=": lambda: value <= other, ">": lambda: value > other, ">=": lambda: value >= other,
        "in": lambda: value in other, "not in": lambda: value not in other,
    }[node[1]]()  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_selects_as_three_valued_logic_does(made: tuple[str, tuple]) -> None:
    text, node = made
    tree = parse_filter(text, COLUMNS)
    sql, parameters = to_sql(tree, {"camid": "camid", "pid": "pid", "score": "score"})
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE records (camid INTEGER, pid INTEGER, score REAL)")
    connection.executemany("INSERT INTO records VALUES (:camid, :pid, :score)", ROWS)
    chosen = connection.execute(f"SELECT rowid FROM records WHERE {sql}", parameters).fetchall()
    connection.close()
    assert [n for (n,) in chosen] == [n for n, row in enumerate(ROWS, 1) if truth(node, row) is True]
    assert set(columns_of(tree)) <= set(COLUMNS)
