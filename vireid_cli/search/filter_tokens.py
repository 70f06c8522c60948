"""Tokens of filters: names, numbers, quoted text, operators and parentheses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from vireid_cli.errors import UsageError
from vireid_cli.reading import shorten

LONGEST = 100_000
"""Maximum number of characters of a filter."""

KEYWORDS = ("and", "or", "not", "in", "is", "null")
EXAMPLE = "Example: --where \"camid in (3, 6) and time > '2026-11-01'\""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<real>[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?)
    |(?P<integer>[-+]?[0-9]+)
    |'(?P<single>(?:[^']|'')*)'
    |"(?P<double>(?:[^"]|"")*)"
    |\[(?P<bracket>[^\]]+)\]
    |(?P<word>[^\W\d]\w*)
    |(?P<operator><=|>=|!=|<>|==|=|<|>)
    |(?P<mark>[(),])
    )""",
    re.VERBOSE,
)

Kind = Literal["column", "keyword", "number", "text", "operator", "mark", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a filter.

    Attributes:
        kind: Kind of the token.
        value: Name, keyword in lower case, number, text without quotes, operator or mark.
        position: Place of its first character, from 0.
    """

    kind: Kind
    value: str | int | float
    position: int


def tokens(text: str) -> list[Token]:
    """Split a filter into tokens; the last one is of kind ``end``.

    Raises:
        UsageError: The filter is too long, has an open quote or a character that the grammar lacks.
    """
    if len(text) > LONGEST:
        raise UsageError(f"--where has {len(text):,} characters; the limit is {LONGEST:,}.")
    result: list[Token] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_character(text, position)
        result.append(_token(match, text))
        position = match.end()
    return [*result, Token("end", "", len(text))]


def refuse(text: str, position: int, problem: str, hint: str = EXAMPLE) -> NoReturn:
    """Raise ``UsageError`` with the problem and the place in the filter."""
    rest = text[position:]
    place = f"at '{shorten(rest[:30])}'" if rest.strip() else "at its end"
    raise UsageError(f"--where: {problem} {place} (character {position + 1}).", hint)


def _token(match: re.Match[str], text: str) -> Token:
    """Convert a match of the pattern to a token."""
    kind = match.lastgroup or ""
    value, position = match[kind], match.start(kind)
    if kind in ("single", "double"):
        quote = "'" if kind == "single" else '"'
        return Token("text", value.replace(quote * 2, quote), position - 1)
    if kind == "integer":
        if len(value) > 20 or not -(2**63) <= int(value) < 2**63:
            refuse(text, position, "the number is outside of 64 bits")
        return Token("number", int(value), position)
    if kind == "real":
        return Token("number", float(value), position)
    if kind == "bracket":
        return Token("column", value, position - 1)
    if kind == "word":
        lower = value.lower()
        return Token("keyword", lower, position) if lower in KEYWORDS else Token("column", value, position)
    canonical = {"==": "=", "<>": "!="}.get(value, value)
    return Token("operator" if kind == "operator" else "mark", canonical, position)


def _refuse_character(text: str, position: int) -> NoReturn:
    """Refuse text that starts no token."""
    start = position + len(text[position:]) - len(text[position:].lstrip())
    if text[start] in "'\"[":
        closing = "]" if text[start] == "[" else text[start]
        refuse(text, start, f"a closing {closing} is missing for the text")
    refuse(text, start, "unexpected character")
