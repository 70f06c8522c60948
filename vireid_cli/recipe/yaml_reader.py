"""YAML parser that records the line of each key, with limits for untrusted input.

Nesting, the number of aliases, and the size after the expansion of aliases are limited; tags are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vireid_cli import reading
from vireid_cli.errors import RecipeError
from vireid_cli.reading import shorten
from vireid_cli.recipe import yaml_scalars

KeyPath = tuple[str, ...]

LIMIT = 256 * 1024
"""Largest recipe or study in bytes."""

DEPTH = 50
"""Deepest accepted nesting, including aliases."""

ALIASES = 100
"""Largest number of aliases in a document."""

EXPANDED = 20_000
"""Largest number of values in a document after the expansion of aliases."""


class _Refusal(yaml.MarkedYAMLError):
    """Valid YAML that exceeds a limit or uses an unsupported feature."""


class _Loader(yaml.SafeLoader):
    """Loader that reads keys as text and scalars by ``yaml_scalars``, and counts depth and aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._aliases = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node without an explicit tag."""
        if kind is yaml.ScalarNode and implicit[0]:
            return yaml_scalars.tag_of(value)
        return str(super().resolve(kind, value, implicit))

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node; refuses explicit tags, deep nesting and too many aliases."""
        event = self.peek_event()
        self._depth += 1
        if self._depth > DEPTH:
            raise _refusal(event, f"nested deeper than {DEPTH} levels, the limit")
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > ALIASES:
                raise _refusal(event, f"more than {ALIASES} aliases (*name), the limit")
        elif event.tag is not None:
            tag = event.tag.replace(yaml_scalars.PREFIX, "!!")
            raise _refusal(event, f"the tag {shorten(tag)} is not supported; remove it")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve merges, then mark every key as text."""
        super().flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = yaml_scalars.TEXT


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake in the YAML text.

    Attributes:
        key: Key path.
        place: ``file:line``.
        text: Description of the mistake, with the correct form.
    """

    key: KeyPath
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """A parsed mapping and the place of each key.

    Attributes:
        origin: File name, or ``--set``.
        content: The mapping as plain dicts, lists and scalars.
        places: ``file:line`` by key path; the key of a list item is its index as text.
        flaws: Repeated keys, ambiguous numbers, control characters.
    """

    origin: str
    content: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()


def read_source(path: Path) -> RecipeSource:
    """Parse one YAML file.

    Raises:
        RecipeError: The file can't be read, is not YAML, exceeds a limit, or is not a mapping.
    """
    return parse_source(reading.read_text(path, limit=LIMIT, error=RecipeError), str(path))


def parse_source(text: str, origin: str) -> RecipeSource:
    """Parse YAML text; see ``read_source``."""
    root, content, flaws = _parse(text, origin)
    if root is None or content is None:
        raise RecipeError(
            f"{origin} is empty; at least one key is needed.",
            "Write one, for example 'extends: baseline.yaml'.",
        )
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise RecipeError(f"{origin}:1: expected a mapping of keys, not {kind}.")
    places = {key: _place(marked, origin) for key, _, marked in _walk(root, ())}
    return RecipeSource(origin, content, places, flaws)


def parse_setting(setting: str) -> tuple[KeyPath, Any, tuple[Flaw, ...]]:
    """Parse ``a.b.c=value``: key path, value (as YAML), and flaws of the value.

    Raises:
        RecipeError: The ``=`` is missing, the key is empty, or the value is not YAML or exceeds a limit.
    """
    key, equals, text = setting.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    shown = f"--set {shorten(setting)}"
    if not equals or not all(parts):
        raise RecipeError(f"{shown}: expected KEY=VALUE.", "For example: --set train.epochs=1")
    if len(parts) > DEPTH:
        raise RecipeError(f"{shown}: the key has more than {DEPTH} parts.")
    if len(text) > LIMIT:
        raise RecipeError(f"{shown}: the value has more than {reading.size_text(LIMIT)}, the limit.")
    _, value, flaws = _parse(text, shown, lines=False)
    return parts, value, tuple(Flaw((*parts, *flaw.key), "--set", flaw.text) for flaw in flaws)


def _parse(text: str, origin: str, lines: bool = True) -> tuple[yaml.Node | None, Any, tuple[Flaw, ...]]:
    """Parse a document to its root node, content and flaws.

    Args:
        text: YAML text.
        origin: Beginning of error messages.
        lines: Whether error messages contain the line.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, None, ()
        _measure(root)
        flaws = tuple(_flaws(root, origin))
        return root, loader.construct_document(root), flaws
    except _Refusal as error:
        raise RecipeError(f"{_line(error, text, origin, lines)}: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: escapes such as \UFFFFFFFF
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        if problem.startswith("but found"):  # the context has the beginning of this sentence
            problem = f"{error.context}, {problem}"  # type: ignore[union-attr]
        if isinstance(error, yaml.reader.ReaderError):
            problem = f"the control character U+{error.character:04X} is not allowed"
        place = _line(error, text, origin, lines)
        raise RecipeError(f"{place}: not valid YAML: {shorten(problem)}.") from error


def _line(error: Exception, text: str, origin: str, lines: bool) -> str:
    """``origin:line`` of an error of the parser."""
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    if not lines or (mark is None and position is None):
        return origin
    line = mark.line if mark is not None else text.count("\n", 0, position)
    return f"{origin}:{line + 1}"


def _refusal(node: Any, problem: str) -> _Refusal:
    """Create an error with the place of a node or an event."""
    return _Refusal(problem=problem, problem_mark=node.start_mark)


def _measure(root: yaml.Node) -> None:
    """Refuse cyclic aliases, and aliases that expand beyond the limits.

    Visits each node once, iteratively, because chains of aliases can be deeper than Python's stack.

    Raises:
        _Refusal: An alias is cyclic or exceeds a limit.
    """
    known: dict[int, tuple[int, int]] = {}  # number of values and levels of a node, including itself
    entered: set[int] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        below = [value for pair in _children(node) for value in pair]
        if id(node) not in entered:
            entered.add(id(node))
            for child in below:
                if id(child) in entered and id(child) not in known:
                    raise _refusal(child, "an anchor (&name) contains an alias (*name) of itself")
            stack += [child for child in below if id(child) not in known]
            continue
        stack.pop()
        if id(node) in known:
            continue
        values = 1 + sum(known[id(child)][0] for child in below)
        levels = 1 + max((known[id(child)][1] for child in below), default=0)
        known[id(node)] = (values, levels)
        if values > EXPANDED:
            raise _refusal(node, f"aliases expand to more than {EXPANDED:,} values, the limit")
        if levels > DEPTH + 1:
            raise _refusal(node, f"nested deeper than {DEPTH} levels, the limit")


def _children(node: yaml.Node) -> list[tuple[yaml.Node, ...]]:
    """Return the (key, value) pairs of a mapping, or the items of a list as 1-tuples."""
    if isinstance(node, yaml.MappingNode):
        return list(node.value)
    return [(item,) for item in node.value] if isinstance(node, yaml.SequenceNode) else []


def _walk(node: yaml.Node, prefix: KeyPath) -> Iterator[tuple[KeyPath, yaml.Node, yaml.Node]]:
    """Yield key path, value and the node with the place, for all nodes below a node."""
    for number, child in enumerate(_children(node)):
        marked, value = child[0], child[-1]
        name = str(marked.value) if len(child) == 2 else str(number)
        yield (*prefix, name), value, marked
        yield from _walk(value, (*prefix, name))


def _flaws(root: yaml.Node, origin: str) -> Iterator[Flaw]:
    """Repeated keys and refused scalars. Called before merges are resolved, because merges repeat keys."""
    seen: set[KeyPath] = set()
    entries: list[tuple[KeyPath, yaml.Node, yaml.Node]] = [((), root, root), *_walk(root, ())]
    for key, value, marked in entries:
        place = _place(marked, origin)
        if isinstance(marked, yaml.ScalarNode) and marked is not value:
            if text := yaml_scalars.refusal(marked.value, plain=False):
                yield Flaw(key, place, text)
            if key in seen:
                yield Flaw(key, place, "this key occurs twice.")
            seen.add(key)
        if isinstance(value, yaml.ScalarNode):
            if value.tag == yaml_scalars.MERGE:
                value.tag = yaml_scalars.TEXT
            if text := yaml_scalars.refusal(value.value, plain=value.style is None):
                yield Flaw(key, place, text)


def _place(node: yaml.Node, origin: str) -> str:
    return f"{origin}:{node.start_mark.line + 1}"
