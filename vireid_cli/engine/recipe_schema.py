"""JSON Schemas of recipes and both kinds of studies, with the options of all methods and the datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vireid_cli import files, methods
from vireid_cli.dataset_names import source_names
from vireid_cli.recipe import json_schema


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of recipes, studies and tuning studies by their file names."""
    options = {name: methods.options_type(name) for name in methods.available()}
    datasets = source_names()
    return {
        json_schema.RECIPE_FILE: json_schema.recipe_schema(options, datasets),
        json_schema.STUDY_FILE: json_schema.study_schema(options, datasets),
        json_schema.TUNING_FILE: json_schema.tuning_schema(options, datasets),
    }


def write_json_schemas(folder: Path) -> list[Path]:
    """Write all schemas into a folder, which is created if it is missing; returns their paths.

    Raises:
        DataError: A file can't be written.
    """
    return [files.write_text(folder / name, text_of(content)) for name, content in json_schemas().items()]


def text_of(schema: dict[str, Any]) -> str:
    """Return a schema as JSON text."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
