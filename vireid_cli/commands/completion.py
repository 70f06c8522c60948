"""Completion of names in the shell: recipes, studies, datasets, runs, and keys of recipes.

Each function returns the possible words that begin with the incomplete one. None imports torch: a shell waits
for the answer. Failures have no message there, so that unreadable files complete to nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from vireid_cli.errors import VireidError


def recipes(incomplete: str) -> list[str]:
    """Names of the recipes in ``./recipes`` and of the shipped ones."""
    from vireid_cli.recipe.lookup import RECIPE, known_names

    return _beginning(incomplete, known_names(RECIPE))


def studies(incomplete: str) -> list[str]:
    """Names of the studies in ``./recipes/studies`` and of the shipped ones."""
    from vireid_cli.recipe.lookup import STUDY, known_names

    return _beginning(incomplete, known_names(STUDY))


def tuning_studies(incomplete: str) -> list[str]:
    """Names of the tuning studies in ``./recipes/tuning`` and of the shipped ones."""
    from vireid_cli.recipe.lookup import TUNING, known_names

    return _beginning(incomplete, known_names(TUNING))


def datasets(incomplete: str) -> list[str]:
    """Names of the datasets, and of the prepared own folders."""
    from vireid_cli.dataset_names import prepared_labels, source_names

    folder = Path(os.environ.get("VIREID_DATA") or "data").expanduser()
    return _beginning(incomplete, [*source_names(), *prepared_labels(folder)])


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the runs in the folder of runs, newest first."""
    from vireid_cli.results.run import runs_folder
    from vireid_cli.results.schema import RECIPE
    from vireid_cli.run_names import LATEST

    given = context.params.get("runs") or context.params.get("runs_dir")
    folder = Path(given).expanduser() if isinstance(given, (str, Path)) else runs_folder()
    names = [path.parent.name for path in folder.glob(f"*/{RECIPE}")]
    newest = sorted((n for n in names if n != LATEST), key=lambda name: name[-15:], reverse=True)
    return _beginning(incomplete, [*newest, *(n for n in names if n == LATEST)])


def settings(incomplete: str) -> list[tuple[str, str]]:
    """Dotted keys of a recipe with their descriptions; after ``=``, the possible values of the key."""
    from vireid_cli import documents, reading
    from vireid_cli.recipe.json_schema import STUDY_FILE
    from vireid_cli.recipe.lookup import shipped_folder

    try:
        text = reading.read_text(shipped_folder() / STUDY_FILE, limit=documents.LIMIT)
        schema = json.loads(text)
    except (VireidError, ValueError):
        return []
    keys: dict[str, Any] = schema["definitions"]["Settings"]["properties"]
    key, equals, value = incomplete.partition("=")
    if not equals:
        resolved = {name: _resolve(schema, content) for name, content in keys.items()}
        return [
            (f"{name}=", _first_sentence(content.get("description", "")))
            for name, content in resolved.items()
            if name.startswith(incomplete) and not _is_section(name, keys)
        ]
    values = _values(schema, keys.get(key, {}))
    return [(f"{key}={text}", "") for text in values if text.startswith(value)]


def _beginning(incomplete: str, names: Any) -> list[str]:
    ordered = sorted(names) if isinstance(names, (set, frozenset)) else names
    return [name for name in ordered if name.startswith(incomplete)]


def _is_section(name: str, keys: dict[str, Any]) -> bool:
    return any(other.startswith(f"{name}.") for other in keys)


def _resolve(schema: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, or the first one of several."""
    if "anyOf" in content and "$ref" in content["anyOf"][0]:
        content = content["anyOf"][0]
    while "$ref" in content:
        node: Any = schema
        for part in content["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        content = node
    return content


def _values(schema: dict[str, Any], content: dict[str, Any]) -> list[str]:
    """Values of an enumeration or of a switch, of all methods with the key."""
    texts: list[str] = []
    references = [part for part in content.get("anyOf", ()) if "$ref" in part]
    for part in references or [content]:
        resolved = _resolve(schema, part)
        for option in (resolved, *resolved.get("anyOf", ())):
            texts += [v if isinstance(v, str) else json.dumps(v) for v in option.get("enum", ())]
            texts += ["true", "false"] if option.get("type") == "boolean" else []
    return list(dict.fromkeys(texts))


def _first_sentence(text: str) -> str:
    return text.partition("\n")[0].split(". ")[0].rstrip(".")
