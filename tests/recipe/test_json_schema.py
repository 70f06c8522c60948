"""The JSON Schemas accept every shipped file, refuse every misspelt key, and describe every key."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vireid_cli.engine.recipe_schema import json_schemas, text_of
from vireid_cli.recipe.catalogue import add_schema
from vireid_cli.recipe.descriptions import attributes, summary
from vireid_cli.recipe.json_schema import RECIPE_FILE, STUDY_FILE, TUNING_FILE
from vireid_cli.recipe.load import shipped
from vireid_cli.recipe.lookup import shipped_folder
from vireid_cli.recipe.strict import Strict
from vireid_cli.recipe.yaml_reader import read_source

STUDIES = sorted((shipped_folder() / "studies").glob("*.yaml"))
TUNINGS = sorted((shipped_folder() / "tuning").glob("*.yaml"))
FILES = [*shipped(), *STUDIES, *TUNINGS]
Place = tuple[str | int, ...]


@cache
def schemas() -> dict[str, dict[str, Any]]:
    return json_schemas()


@cache
def validator(name: str) -> jsonschema.Draft7Validator:
    jsonschema.Draft7Validator.check_schema(schemas()[name])
    return jsonschema.Draft7Validator(schemas()[name])


def schema_name(path: Path) -> str:
    if path in TUNINGS:
        return TUNING_FILE
    return STUDY_FILE if path in STUDIES else RECIPE_FILE


def keys_of(content: Any, place: Place = ()) -> Iterator[Place]:
    """Places of all keys in a file's content."""
    below = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in below:
        if isinstance(content, dict):
            yield (*place, key)
        if isinstance(value, (dict, list)):
            yield from keys_of(value, (*place, key))


def misspelt(content: dict[str, Any], place: Place) -> dict[str, Any]:
    """The content with one more letter at the end of a key; other sections are left out if they can be."""
    needed = {place[0], "extends", "rows", "name", "recipe", "space"}
    changed = copy.deepcopy({key: value for key, value in content.items() if key in needed})
    node: Any = changed
    for part in place[:-1]:
        node = node[part]
    node[f"{place[-1]}_"] = node.pop(place[-1])
    return changed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_names_its_schema_and_is_accepted(path: Path) -> None:
    line = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", line)
    assert named, line
    assert (path.parent / named[1]).resolve() == (shipped_folder() / schema_name(path)).resolve()
    errors = [e.message for e in validator(schema_name(path)).iter_errors(read_source(path).content)]
    assert errors == []


def test_each_misspelt_key_is_refused() -> None:
    """Every distinct key of all files; equal keys of files of the same method are tried once."""
    tried: set[tuple[str, str, Place]] = set()
    accepted = []
    for path in FILES:
        content = read_source(path).content
        method = str(content.get("method", {}).get("name", content.get("extends", "")))
        for place in keys_of(content):
            case = (schema_name(path), method, tuple("*" if isinstance(p, int) else p for p in place))
            if case not in tried:
                tried.add(case)
                if validator(schema_name(path)).is_valid(misspelt(content, place)):
                    accepted.append((path.name, place))
    assert len(tried) > 600
    assert accepted == []


@pytest.mark.parametrize(
    "content",
    [
        {"method": {"name": "fdmn"}},
        {"method": {"name": "fdnm", "options": {"gate": True}}},
        {"method": {"options": {"agp": {"after": []}}}},  # without a name the method is the baseline
        {"data": {"dataset": "sysuu"}},
        {"data": {"size": [96, 48, 3]}},
        {"train": {"epochs": "ten"}},
        {"train": {"optimizer": {"momentum": 1.5}}},
    ],
)
def test_a_wrong_value_is_refused(content: dict[str, Any]) -> None:
    assert not validator(RECIPE_FILE).is_valid(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"data": {"dataset": "folder:mysite"}},
        {"method": {"name": "sepg", "options": {"seg": {"mode": False}}}},  # --set …mode=false
        {"extends": "fdnm", "method": {"options": {"agp": {"after": []}}}},
    ],
)
def test_a_valid_recipe_is_accepted(content: dict[str, Any]) -> None:
    assert validator(RECIPE_FILE).is_valid(content)


def test_every_key_is_described() -> None:
    bare = []
    count = 0
    for name, schema in schemas().items():
        for model, content in {"": schema, **schema["definitions"]}.items():
            for key, value in content["properties"].items() if model != "Settings" else ():
                count += 1
                bare += [] if len(value.get("description", "")) > 5 else [(name, model, key)]
    assert count > 300
    assert bare == []


def test_a_study_sets_every_key_of_a_recipe() -> None:
    keys = schemas()[STUDY_FILE]["definitions"]["Settings"]["properties"]
    assert {"data.size", "data.sampler.images", "train", "method.options.agp.after"} <= set(keys)


def test_shipped_schemas_are_current() -> None:
    for name, content in schemas().items():
        text = (shipped_folder() / name).read_text(encoding="utf-8")
        assert text == text_of(content), "write them: vireid recipes schema --out recipes"


def test_a_folder_with_a_schema_keeps_it(tmp_path: Path) -> None:
    path = add_schema(tmp_path)
    assert path == tmp_path / RECIPE_FILE
    path.write_text("{}")
    assert add_schema(tmp_path) is None
    assert path.read_text() == "{}"


class Part(Strict):
    """A part of the network.

    Attributes:
        width: Number of channels.
    """

    width: int = 1


class Example(Strict):
    """Options of an example, on
    two lines.

    Attributes:
        low, high: Bounds of ``rate``,
            in pixels.
        rate: See: this has a colon.
    """

    low: int = 0
    high: int = 0
    rate: int = 0
    part: Part = Part()


def test_descriptions_are_read_from_docstrings() -> None:
    bounds = "Bounds of `rate`, in pixels."
    assert attributes(Example) == {
        "low": bounds,
        "high": bounds,
        "rate": "See: this has a colon.",
        "part": "A part of the network.",
    }
    assert summary(Example) == "Options of an example, on two lines."


def test_schemas_are_json() -> None:
    assert json.loads(text_of(schemas()[RECIPE_FILE]))["$schema"].endswith("draft-07/schema#")
