"""Filters as SQL with bound parameters, within SQLite's limits of depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vireid_cli.search.filters import (
    NEGATED,
    ColumnComparison,
    Every,
    Filter,
    Membership,
    Some,
    Unknown,
    Value,
)

_GROUP = 32


def to_sql(tree: Filter, stored: Mapping[str, str]) -> tuple[str, list[Value]]:
    """Translate a filter to an SQL expression and its parameters.

    Args:
        tree: The filter.
        stored: Name of each column in the database. Only these names and constants of this function are in
            the expression; every value is a parameter.
    """
    match tree:
        case ColumnComparison(column, operator, value):
            if operator not in NEGATED:
                raise ValueError(operator)
            return f"{stored[column]} {operator} {_mark(value)}", [value]
        case Membership(column, values, negated):
            marks = ", ".join(map(_mark, values))
            return f"{stored[column]} {'NOT ' if negated else ''}IN ({marks})", list(values)
        case Unknown(column, negated):
            return f"{stored[column]} IS {'NOT ' if negated else ''}NULL", []
        case Every(parts) | Some(parts):
            joint = " AND " if isinstance(tree, Every) else " OR "
            # The most nested part is first, where it takes the least of the 100 symbols of SQLite's parser.
            pairs = [to_sql(part, stored) for part in sorted(parts, key=_nesting, reverse=True)]
            first, *rest = (sql for sql, _ in pairs)
            bound = [value for _, some in pairs for value in some]
            return f"({first}{joint}{_grouped(rest, joint)})", bound


def _nesting(tree: Filter) -> int:
    """Number of levels of a filter below its conditions."""
    return 1 + max(map(_nesting, tree.parts)) if isinstance(tree, Every | Some) else 0


def _grouped(parts: Sequence[str], joint: str) -> str:
    """Join conditions in groups of ``_GROUP``: SQLite refuses expressions that are deeper than 1,000."""
    while len(parts) > 1:
        groups = [parts[first : first + _GROUP] for first in range(0, len(parts), _GROUP)]
        parts = [f"({joint.join(group)})" if len(group) > 1 else group[0] for group in groups]
    return parts[0]


def _mark(value: Value) -> str:
    """Place of a parameter; text may be bound as bytes, see ``database.bound``."""
    return "CAST(? AS TEXT)" if isinstance(value, str) else "?"
