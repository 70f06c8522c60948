"""JSON Schema of recipes and studies, with the options of all methods, for editors.

The dialect is draft-07, the newest one that all YAML language servers support. A key of an unknown name is
refused at every level. Rules between keys, such as keys without effect, are checked by ``vireid recipes
check`` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from vireid_cli.recipe.descriptions import attributes, summary
from vireid_cli.recipe.schema import Method, Recipe
from vireid_cli.recipe.strict import bare_off
from vireid_cli.recipe.study import Start, Study
from vireid_cli.recipe.tuning import TuningStudy, is_fixed

Json = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
RECIPE_FILE, STUDY_FILE, TUNING_FILE = "recipe.schema.json", "study.schema.json", "tuning.schema.json"
"""Names of the schemas in the folder of recipes."""

_ROOT = "#/definitions/{model}"
_LIMITS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum",
    "min_length": "minItems", "max_length": "maxItems",
}  # fmt: skip
"""Keywords of limits by pydantic's names, which it leaves beside a validator that converts the input."""

_EXTENDS = "Recipe whose keys this one changes: a name or a path. The extended recipe extends no other."
_SET = "Values by dotted key, such as `train.epochs`."


class _Draft07(GenerateJsonSchema):
    """Generator of draft-07 with descriptions from docstrings and without titles of keys."""

    schema_dialect = DIALECT

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        """Return the schema of a model; its description and those of its keys are its docstring's."""
        content = super().model_schema(schema)
        model = cast(type[BaseModel], schema["cls"])
        content["description"] = summary(model)
        texts = attributes(model)
        for name, field in model.model_fields.items():
            key = field.alias or name
            if key in content.get("properties", {}) and name in texts:
                content["properties"][key] = _described(content["properties"][key], texts[name])
        return content

    def tuple_schema(self, schema: core_schema.TupleSchema) -> Json:
        """Return the schema of a tuple; draft-07 lists its parts in ``items``."""
        content = super().tuple_schema(schema)
        if "prefixItems" in content:
            content["items"] = content.pop("prefixItems")
        return content

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> Json:
        """Return the schema of the validated type, with ``false`` if that is short for ``off``."""
        content = super().function_before_schema(schema)
        if schema["function"]["function"] is bare_off:
            content["enum"] = [*content["enum"], False]
            content.pop("type", None)
        return content

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        """Return the schema of a key with its default; a section has none, because its keys have theirs."""
        if isinstance(schema.get("default"), BaseModel):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: the title would repeat the key."""
        return False


def recipe_schema(options: Mapping[str, type[BaseModel]], datasets: Sequence[str]) -> Json:
    """Return the JSON Schema of a recipe file.

    Args:
        options: ``Options`` model of each method by the method's name.
        datasets: Names of the datasets.
    """
    definitions, refs = _definitions([Recipe], options, datasets)
    content = definitions.pop("Recipe")
    content["properties"] = {
        "extends": {"type": "string", "description": _EXTENDS},
        **content["properties"],
    }
    # without a name, the options are those of the extended recipe's method, or of the default one
    default = {"properties": {"method": {"properties": {"options": refs[Method().name]}}}}
    named = {"properties": {"method": {"required": ["name"]}}, "required": ["method"]}
    content["if"] = {"anyOf": [{"required": ["extends"]}, named]}
    content["else"] = default
    return {"$schema": DIALECT, **content, "title": "Recipe of vireid", "definitions": definitions}


def study_schema(options: Mapping[str, type[BaseModel]], datasets: Sequence[str]) -> Json:
    """Return the JSON Schema of a study file; arguments as ``recipe_schema``."""
    definitions, refs = _definitions([Study, Recipe], options, datasets)
    definitions["Settings"] = _settings(definitions, refs)
    for name in ("Study", "Row", Start.__name__):
        given = definitions[name]["properties"]["set"]
        definitions[name]["properties"]["set"] = _described(
            {"$ref": "#/definitions/Settings"}, given["description"]
        )
    content = definitions.pop("Study")
    return {"$schema": DIALECT, **content, "title": "Study of vireid", "definitions": definitions}


def tuning_schema(options: Mapping[str, type[BaseModel]], datasets: Sequence[str]) -> Json:
    """Return the JSON Schema of a tuning study; arguments as ``recipe_schema``."""
    definitions, refs = _definitions([TuningStudy, Recipe], options, datasets)
    definitions["Settings"] = settings = _settings(definitions, refs)
    content = definitions.pop("TuningStudy")
    keys = content["properties"]
    keys["set"] = _described({"$ref": "#/definitions/Settings"}, keys["set"]["description"])
    keys["space"] |= {
        "propertyNames": {"enum": [key for key in settings["properties"] if not is_fixed(key)]},
        "minProperties": 1,
    }
    return {"$schema": DIALECT, **content, "title": "Tuning study of vireid", "definitions": definitions}


def _settings(definitions: Json, refs: Mapping[str, Json]) -> Json:
    """Return the schema of values by dotted key; an option of several methods accepts the values of all."""
    keys = dict(_dotted_keys(definitions, definitions["Recipe"], ("definitions", "Recipe")))
    shared: dict[str, list[Json]] = {}
    for ref in refs.values():
        name = ref["$ref"].rpartition("/")[2]
        for key, place in _dotted_keys(definitions, definitions[name], ("definitions", name)):
            shared.setdefault(f"method.options.{key}", []).append(place)
    keys |= {key: places[0] if len(places) == 1 else _any_of(places) for key, places in shared.items()}
    return {"type": "object", "description": _SET, "properties": keys, "additionalProperties": False}


def _definitions(
    roots: Iterable[type[BaseModel]], options: Mapping[str, type[BaseModel]], datasets: Sequence[str]
) -> tuple[Json, dict[str, Json]]:
    """Return the definitions of all models, and the reference of each method's options."""
    inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in (*roots, *options.values())
    ]
    refs, content = models_json_schema(inputs, ref_template=_ROOT, schema_generator=_Draft07)
    definitions: Json = _with_limits(content["$defs"])
    by_method = {name: refs[model, "validation"] for name, model in options.items()}
    method = definitions["Method"]
    method["properties"]["name"]["enum"] = sorted(options)
    text = method["properties"]["options"].pop("description")
    method["properties"]["options"] = _described(_any_of([*by_method.values()]), text)
    method["allOf"] = [
        {
            "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
            "then": {"properties": {"options": ref}},
        }
        for name, ref in sorted(by_method.items())
    ]
    dataset = definitions["Data"]["properties"]["dataset"]
    dataset.pop("type")
    dataset["anyOf"] = [{"enum": sorted(datasets)}, {"type": "string", "pattern": "^folder:."}]
    return definitions, by_method


def _with_limits(content: Any) -> Any:
    """Rename pydantic's limits to keywords of JSON Schema."""
    if isinstance(content, list):
        return [_with_limits(part) for part in content]
    if not isinstance(content, dict):
        return content
    renamed = {_LIMITS.get(k, k) if isinstance(v, (int, float)) else k: v for k, v in content.items()}
    return {key: _with_limits(value) for key, value in renamed.items()}


def _dotted_keys(
    definitions: Json, model: Json, place: tuple[str, ...], prefix: str = ""
) -> Iterator[tuple[str, Json]]:
    """Yield all dotted keys below a model, sections included, each with a reference to its schema."""
    for key, content in model["properties"].items():
        below = (*place, "properties", key)
        yield prefix + key, {"$ref": "#/" + "/".join(below)}
        section = next((ref for ref in _references(content)), None)
        if section is not None:
            inner = ("definitions", section)
            yield from _dotted_keys(definitions, definitions[section], inner, f"{prefix}{key}.")


def _references(content: Json) -> Iterator[str]:
    """Names of the model that a key's value is, if it is a section."""
    for part in (content, *content.get("allOf", ())):
        if "$ref" in part:
            yield part["$ref"].rpartition("/")[2]


def _described(content: Json, text: str) -> Json:
    """Add a description; draft-07 ignores keys beside a reference."""
    inner = {"allOf": [content]} if "$ref" in content else content
    return {"description": text, **{key: value for key, value in inner.items() if key != "description"}}


def _any_of(contents: Sequence[Json]) -> Json:
    """Return a schema that accepts any of several, without repetitions."""
    distinct = [content for i, content in enumerate(contents) if content not in contents[:i]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
