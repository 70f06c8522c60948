"""Write docs/recipes.md, the reference of all recipe keys, from the JSON Schema of recipes.

``make docs`` runs it before the site is built. The schema comes from the typed models of the package, so
that the page can't differ from them: ``vireid recipes schema``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "recipes" / "recipe.schema.json"
PAGE = ROOT / "docs" / "recipes.md"
INTRODUCTION = ROOT / "tools" / "recipes_introduction.md"
SECTIONS = ("data", "backbone", "train")

UNITS = {
    "pixels": r"\bin pixels\b|^\(height, width\)",
    "millions": r"^millions\b",
    "10⁹": r"^10⁹",
    "milliseconds": r"^milliseconds\b",
    "degrees": r"\bdegrees?\b",
    "epochs": r"\bepochs?\b",
    "steps": r"\bsteps?\b",
    "bytes": r"\bbytes?\b",
    "share, 0 to 1": r"\bprobabilit|\bshare\b|in \[0, 1\]",
    "factor": r"^factor\b|\bfactor on\b|\bweight of\b",
    "distance": r"\bmargin\b|\bdistance\b",
}
"""Unit of a key by the first pattern in its description."""

Json = dict[str, Any]


class Key(NamedTuple):
    """One key of a recipe: dotted name, schema with resolved references, text."""

    name: str
    schema: Json
    text: str


def main() -> None:
    """Write the page."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    definitions = schema["definitions"]
    parts = [INTRODUCTION.read_text(encoding="utf-8").rstrip()]
    parts.append(f"## Keys of the recipe\n\n{table(keys(schema, definitions))}")
    for section in SECTIONS:
        place = schema["properties"][section]
        definition = definitions[reference(place)]
        parts.append(f"## `{section}`\n\n{table(keys(definition, definitions, f'{section}.'))}")
    options = dict(method_options(definitions))
    parts.append("## `method`\n\n" + methods(options))
    for name, definition in options.items():
        parts.append(f"### `method.options` of {name}\n\n{table(keys(definition, definitions))}")
    parts.append("## Options by name\n\n" + readers(options, definitions))
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def keys(definition: Json, definitions: Json, prefix: str = "") -> Iterator[Key]:
    """Yield the keys of a definition, those of its sections with a dotted name."""
    for name, place in definition.get("properties", {}).items():
        inner = reference(place)
        if not prefix and name in (*SECTIONS, "method"):
            continue  # a table of its own
        if inner is not None and "properties" in definitions[inner]:
            yield from keys(definitions[inner], definitions, f"{prefix}{name}.")
        else:
            yield Key(f"{prefix}{name}", place, place.get("description", ""))


def reference(place: Json) -> str | None:
    """Name of the definition that a key refers to; None if it has a value of its own."""
    only = _only(place)
    return str(only["$ref"]).rpartition("/")[2] if "$ref" in only else None


def _only(place: Json) -> Json:
    """The schema itself, or its only part that is not null."""
    for word in ("allOf", "anyOf"):
        parts = [part for part in place.get(word, ()) if part.get("type") != "null"]
        if len(parts) == 1:
            return dict(parts[0])
    return place


def method_options(definitions: Json) -> Iterator[tuple[str, Json]]:
    """Yield each method's name and the definition of its options."""
    for rule in definitions["Method"]["allOf"]:
        name = rule["if"]["properties"]["name"]["const"]
        yield name, definitions[reference(rule["then"]["properties"]["options"])]


def methods(options: dict[str, Json]) -> str:
    """Describe the keys ``method.name`` and ``method.options``."""
    links = ", ".join(f"[`{name}`](#methodoptions-of-{name})" for name in options)
    return f"`method.name` is one of {links}. `method.options` are the switches of this method:"


def readers(options: dict[str, Json], definitions: Json) -> str:
    """Table of all options with the methods that read them."""
    by_key: dict[str, list[str]] = {}
    for name, definition in options.items():
        for key in keys(definition, definitions):
            by_key.setdefault(key.name, []).append(name)
    rows = [f"| `{key}` | {', '.join(names)} |" for key, names in sorted(by_key.items())]
    return "\n".join(["| option | read by |", "|---|---|", *rows])


def table(rows: Iterator[Key] | list[Key]) -> str:
    """Table of keys."""
    lines = ["| key | type; unit | default | meaning |", "|---|---|---|---|"]
    for key in rows:
        text = " ".join(key.text.split())
        words = "; ".join(filter(None, (kind(key.schema), unit(text, key.schema))))
        cells = (f"`{key.name}`", words, default(key.schema), text)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def kind(schema: Json) -> str:
    """Type of a value with its limits, in words."""
    if "enum" in schema:
        return ", ".join(f"`{_yaml(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{_yaml(schema['const'])}`"
    for word in ("anyOf", "allOf", "oneOf"):
        if word in schema:
            if any("[x×]" in part.get("pattern", "") for part in schema[word]):
                return "HEIGHTxWIDTH"
            return " or ".join(dict.fromkeys(kind(part) for part in schema[word]))
    if "$ref" in schema:
        return "section"
    name = schema.get("type", "any")
    if name == "array":
        items = schema.get("items", {})
        if isinstance(items, list):
            return f"[{'; '.join(kind(part) for part in items)}]"
        return f"list of {kind(items)}"
    words = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false"}
    return words.get(name, str(name)) + limits(schema)


def limits(schema: Json) -> str:
    """Limits of a number, such as `` > 0, ≤ 1``."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    shown = [f"{sign} {schema[word]:g}" for word, sign in signs.items() if word in schema]
    return " " + ", ".join(shown) if shown else ""


def default(schema: Json) -> str:
    """The default value as YAML; an em dash if there is none."""
    if "default" not in schema:
        return "—"
    value = schema["default"]
    if kind(schema).startswith("HEIGHTxWIDTH") and value is not None:
        return f"`{value[0]}x{value[1]}`"
    return f"`{_yaml(value)}`"


def unit(text: str, schema: Json) -> str:
    """Unit of a number according to its description."""
    if not re.search(r"number|integer", json.dumps(schema)):
        return ""
    return next((name for name, words in UNITS.items() if re.search(words, text, re.IGNORECASE)), "")


def _yaml(value: object) -> str:
    """Format a value as in a recipe."""
    if value == "":
        return '""'
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    main()
