"""Filters of records: a small grammar, parsed into a tree; ``filter_sql`` translates it to SQL.

::

    filter     = part { "or" part }
    part       = term { "and" term }
    term       = "not" term | "(" filter ")" | condition
    condition  = column ("=" | "!=" | "<" | "<=" | ">" | ">=") value
               | column ["not"] "in" "(" value { "," value } ")"
               | column "is" ["not"] "null"
    value      = number | 'text' | "text"

Names and keywords are case-insensitive; a column with other characters is written ``[in brackets]``. As in
SQL, a condition on an unknown value (NULL) selects nothing, negated or not; only ``is null`` does.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vireid_cli.embedding_files.rows import parse_time
from vireid_cli.errors import UsageError
from vireid_cli.modality import Modality
from vireid_cli.printable import printable
from vireid_cli.search.columns import MODALITY, TIME, ColumnType
from vireid_cli.search.filter_tokens import EXAMPLE, Token, refuse, tokens

DEEPEST = 50
"""Maximum nesting of parentheses and of "not"."""

MOST_VALUES = 10_000
"""Maximum number of values and of tests for null; SQLite binds 32,766 parameters."""

NEGATED = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

Value = str | int | float


@dataclass(frozen=True, slots=True)
class ColumnComparison:
    """A comparison of a column with a value; ``operator`` is one of ``NEGATED``."""

    column: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """The value of a column is one of ``values``, or none of them if negated."""

    column: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The value of a column is NULL, or is not if negated."""

    column: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Filter, ...]


Filter = ColumnComparison | Membership | Unknown | Every | Some
"""A filter without "not": negations are moved into the conditions, which is equivalent, with NULL too."""


def parse_filter(text: str, columns: Mapping[str, ColumnType]) -> Filter:
    """Parse a filter.

    Args:
        text: The filter; see the grammar above.
        columns: Types of the columns by name.

    Raises:
        UsageError: The text does not follow the grammar, a column does not exist (the hint has the nearest
            name), or a value is of another type than its column. The message names the place.
    """
    parser = _Parser(text, columns)
    result = parser.alternatives(False, 0)
    parser.finish()
    return result


def columns_of(tree: Filter) -> list[str]:
    """Names of the columns of a filter, each once."""
    if isinstance(tree, Every | Some):
        return list(dict.fromkeys(name for part in tree.parts for name in columns_of(part)))
    return [tree.column]


def resolve_column(name: str, columns: Mapping[str, ColumnType], place: str = "") -> str:
    """Return the name of a column, which may be written in another case.

    Raises:
        UsageError: No column has this name; the hint names the nearest one and lists all.
    """
    if name in columns:
        return name
    same = [column for column in columns if column.lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    close = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], n=1, cutoff=0.5)
    nearest = next((column for column in columns if close and column.lower() == close[0]), None)
    question = f"Nearest column: {nearest}. " if nearest else ""
    raise UsageError(
        f"{place}there is no column '{printable(name)}'.", f"{question}Columns: {', '.join(columns)}"
    )


class _Parser:
    """Recursive descent over the tokens; a negation is passed down to the conditions."""

    def __init__(self, text: str, columns: Mapping[str, ColumnType]) -> None:
        self.text = text
        self.columns = columns
        self.tokens = tokens(text)
        self.place = 0
        self.values = 0

    @property
    def next(self) -> Token:
        """The next token."""
        return self.tokens[self.place]

    def take(self) -> Token:
        """Return the next token and move behind it."""
        token = self.next
        self.place += token.kind != "end"
        return token

    def takes(self, *accepted: str) -> bool:
        """Take the next token if it is one of these keywords, marks or operators."""
        token = self.next
        if token.kind in ("keyword", "mark", "operator") and token.value in accepted:
            self.place += 1
            return True
        return False

    def refuse(self, problem: str, token: Token | None = None, hint: str = EXAMPLE) -> None:
        """Raise ``UsageError`` with the place of a token, by default the next one."""
        refuse(self.text, (token or self.next).position, problem, hint)

    def finish(self) -> None:
        """Refuse tokens behind the filter."""
        if self.next.kind != "end":
            self.refuse("expected 'and', 'or' or the end of the filter")

    def alternatives(self, negated: bool, depth: int) -> Filter:
        """Parse parts joined by "or"."""
        if depth > DEEPEST:
            self.refuse(f"nested deeper than {DEEPEST} levels")
        parts = [self.conjunction(negated, depth)]
        while self.takes("or"):
            parts.append(self.conjunction(negated, depth))
        return _joined(parts, Every if negated else Some)

    def conjunction(self, negated: bool, depth: int) -> Filter:
        """Parse terms joined by "and"."""
        parts = [self.term(negated, depth)]
        while self.takes("and"):
            parts.append(self.term(negated, depth))
        return _joined(parts, Some if negated else Every)

    def term(self, negated: bool, depth: int) -> Filter:
        """Parse a negation, a filter in parentheses, or a condition."""
        if depth > DEEPEST:
            self.refuse(f"nested deeper than {DEEPEST} levels")
        if self.takes("not"):
            return self.term(not negated, depth + 1)
        if self.takes("("):
            inner = self.alternatives(negated, depth + 1)
            if not self.takes(")"):
                self.refuse("expected a closing parenthesis")
            return inner
        return self.condition(negated)

    def condition(self, negated: bool) -> Filter:
        """Parse a condition on one column."""
        token = self.take()
        if token.kind != "column":
            self.refuse("expected the name of a column", token)
        column = resolve_column(str(token.value), self.columns, "--where: ")
        if self.takes("is"):
            inverse = self.takes("not")
            if not self.takes("null"):
                self.refuse("expected NULL after IS")
            self.count(token)
            return Unknown(column, inverse != negated)
        inverse = self.takes("not")
        if self.takes("in"):
            return Membership(column, self.several(column), inverse != negated)
        operator = self.take()
        if inverse or operator.kind != "operator":
            self.refuse("expected a comparison (= != < <= > >=), IN or IS", operator)
        name = str(operator.value)
        return ColumnComparison(column, NEGATED[name] if negated else name, self.value(column))

    def several(self, column: str) -> tuple[Value, ...]:
        """Parse the values of IN."""
        if not self.takes("("):
            self.refuse("expected a parenthesis after IN")
        values = [self.value(column)]
        while self.takes(","):
            values.append(self.value(column))
        if not self.takes(")"):
            self.refuse("expected a comma or a closing parenthesis")
        return tuple(values)

    def count(self, token: Token) -> None:
        """Count a value or a test for null."""
        self.values += 1
        if self.values > MOST_VALUES:
            self.refuse(f"more than {MOST_VALUES:,} values", token)

    def value(self, column: str) -> Value:
        """Read one value and check its type."""
        token = self.take()
        self.count(token)
        if token.kind == "keyword" and token.value == "null":
            self.refuse(f"NULL equals nothing; write {column} IS NULL", token)
        if token.kind not in ("number", "text"):
            self.refuse("expected a number or quoted text", token)
        wanted = "text" if self.columns[column] == "text" else "number"
        if token.kind != wanted:
            advice = f"text, so write it in quotes: '{token.value}'" if wanted == "text" else "a number"
            self.refuse(f"{column} is {advice}", token)
        if column == TIME:
            time = parse_time(str(token.value))
            if not time:
                self.refuse("expected a time such as '2026-11-01' or '2026-11-01T08:30:00'", token)
            return str(time)
        if column == MODALITY and token.value not in list(Modality):
            self.refuse(f"a modality is {' or '.join(repr(m.value) for m in Modality)}", token)
        return token.value


def _joined(parts: Sequence[Filter], kind: type[Every] | type[Some]) -> Filter:
    """Combine parts; a single one stays as it is."""
    return parts[0] if len(parts) == 1 else kind(tuple(parts))
