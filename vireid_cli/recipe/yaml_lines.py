"""YAML that remembers where each key stands, so that a mistake can be pointed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vireid_cli import reading
from vireid_cli.errors import RecipeError

KeyPath = tuple[str, ...]

LIMIT = reading.MIB
"""Bytes of a recipe or study."""


class _Loader(yaml.SafeLoader):
    """Keys are words: YAML 1.1 takes a bare ``on`` for true, as a key as well."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve merges, then read every key as it is written."""
        super().flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed mapping and the place of each key.

    Attributes:
        origin: File name, or ``--set``.
        content: The mapping as plain dicts, lists and scalars.
        places: Key path → ``file:line``; list items have their index as text.
        twice: Key paths written twice in one mapping, with their second place.
    """

    origin: str
    content: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)
    twice: tuple[tuple[KeyPath, str], ...] = ()


def read_source(path: Path) -> Source:
    """Parse one YAML file.

    Raises:
        RecipeError: The file can't be read, is not YAML, or is not a mapping at the top.
    """
    text = reading.read_text(path, limit=LIMIT, error=RecipeError)
    return parse_source(text, str(path))


def parse_source(text: str, origin: str) -> Source:
    """Parse YAML text; see ``read_source``."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        content = loader.construct_document(root) if root is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{origin}:{mark.line + 1}" if mark else origin
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{where}: not valid YAML: {problem}.") from error
    if content is None:
        content, root = {}, None
    if not isinstance(content, dict):
        raise RecipeError(f"{origin}:1: a recipe is a mapping of keys, this is a {type(content).__name__}.")
    places: dict[KeyPath, str] = {}
    twice: list[tuple[KeyPath, str]] = []
    if root is not None:
        _collect(root, (), origin, places, twice)
    return Source(origin, content, places, tuple(twice))


def _collect(
    node: yaml.Node,
    prefix: KeyPath,
    origin: str,
    places: dict[KeyPath, str],
    twice: list[tuple[KeyPath, str]],
) -> None:
    """Note the place of every key and list item below ``node``."""
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(i), value, value) for i, value in enumerate(node.value)]
    else:
        return
    seen: set[str] = set()
    for name, marked, value in children:
        place = f"{origin}:{marked.start_mark.line + 1}"
        if name in seen:
            twice.append(((*prefix, name), place))
        seen.add(name)
        places[(*prefix, name)] = place
        _collect(value, (*prefix, name), origin, places, twice)


def parse_setting(setting: str) -> tuple[KeyPath, Any]:
    """Split ``a.b.c=value`` into its key path and its value, read as YAML.

    Raises:
        RecipeError: No ``=``, an empty key, or a value that is not YAML.
    """
    key, equals, text = setting.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise RecipeError(
            f"--set {setting}: expected KEY=VALUE.",
            "For example: --set train.epochs=1",
        )
    try:
        return parts, yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting}: the value is not valid YAML.") from error
