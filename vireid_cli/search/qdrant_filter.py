"""Filters as conditions of Qdrant: the same records as in SQL, unknown values included."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.search.columns import FIXED, IDENTIFIER, TIME, ColumnType
from vireid_cli.search.filters import ColumnComparison, Every, Filter, Membership, Some, Unknown, Value

EXTRA = "extra"
"""Key of the payload with the columns of the user's lists."""

_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def qdrant() -> ModuleType:
    """Import Qdrant's client.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        import qdrant_client
    except ImportError as error:
        raise MissingExtra("qdrant_client", "qdrant", "An index on a Qdrant server") from error
    return qdrant_client


def key_of(column: str) -> str:
    """Key of a column in the payload."""
    return column if column in FIXED else f"{EXTRA}.{column}"


def to_qdrant(tree: Filter | None, columns: Mapping[str, ColumnType]) -> Any:
    """Translate a filter to a ``models.Filter``; None without a filter.

    Args:
        tree: The filter.
        columns: Types of the columns by name.

    Raises:
        UsageError: The filter compares texts by order, which Qdrant can't.
    """
    if tree is None:
        return None
    condition = _condition(tree, columns)
    models = qdrant().models
    return condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])


def _condition(tree: Filter, columns: Mapping[str, ColumnType]) -> Any:
    """Translate a part of a filter."""
    models = qdrant().models
    match tree:
        case Every(parts):
            return models.Filter(must=[_condition(part, columns) for part in parts])
        case Some(parts):
            return models.Filter(should=[_condition(part, columns) for part in parts])
        case Unknown(column, negated):
            empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key_of(column)))
            if column == IDENTIFIER:  # every record has one
                empty = models.HasIdCondition(has_id=[])
            return models.Filter(must_not=[empty]) if negated else empty
        case Membership(column, values, negated):
            inner = _one_of(column, values, columns)
            return _known_without(column, inner) if negated else inner
        case ColumnComparison(column, "=", value):
            return _one_of(column, (value,), columns)
        case ColumnComparison(column, "!=", value):
            return _known_without(column, _one_of(column, (value,), columns))
        case ColumnComparison(column, operator, value):
            return _ordered(column, operator, value, columns)


def _known_without(column: str, inner: Any) -> Any:
    """The value is known and does not meet a condition."""
    models = qdrant().models
    if column == IDENTIFIER:
        return models.Filter(must_not=[inner])
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key_of(column)))
    return models.Filter(must_not=[empty, inner])


def _one_of(column: str, values: tuple[Value, ...], columns: Mapping[str, ColumnType]) -> Any:
    """The value is one of these."""
    models = qdrant().models
    if column == IDENTIFIER:
        return models.HasIdCondition(has_id=[str(value) for value in values])
    if columns[column] == "text" and column != TIME:
        return models.FieldCondition(key=key_of(column), match=models.MatchAny(any=[str(v) for v in values]))
    whole = [int(value) for value in values if not isinstance(value, str) and float(value).is_integer()]
    if columns[column] == "integer":
        return models.FieldCondition(key=key_of(column), match=models.MatchAny(any=whole))
    parts = [
        models.FieldCondition(key=key_of(column), range=_range(column, {"gte": value, "lte": value}))
        for value in values
    ]
    return models.Filter(should=parts)


def _ordered(column: str, operator: str, value: Value, columns: Mapping[str, ColumnType]) -> Any:
    """The value is on one side of another."""
    if columns[column] == "text" and column != TIME:
        raise UsageError(
            f"--where: {column} is text, which Qdrant compares by = != and in, not by {operator}.",
            "Use = != or in.",
        )
    return qdrant().models.FieldCondition(
        key=key_of(column), range=_range(column, {_BOUNDS[operator]: value})
    )


def _range(column: str, bounds: Mapping[str, Value]) -> Any:
    """A range of numbers or times."""
    models = qdrant().models
    if column != TIME:
        return models.Range(**bounds)
    times = {name: datetime.fromisoformat(str(value)).replace(tzinfo=UTC) for name, value in bounds.items()}
    return models.DatetimeRange(**times)
