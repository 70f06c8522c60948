"""A study: several recipes under one budget and several seeds, as one file.

A paper's comparison table is a list of rows, each a recipe with what it changes; what all rows share (the
backbone, the steps, the size) is written once. ``load_study`` checks every row's recipe before anything is
trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from vireid_cli import reading
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.load import shipped_folder
from vireid_cli.recipe.problems import Problem, first_of_each, of_flaw, of_validation, raise_all
from vireid_cli.recipe.strict import Probability, Strict, as_tuple
from vireid_cli.recipe.yaml_lines import read_source


class Row(Strict):
    """One row of the table.

    Attributes:
        label: As printed; unique.
        recipe: The recipe: a path, a name in ``./recipes``, or a shipped one.
        set: Dotted key → value, over what the study sets for all rows.
        parent: Label of the row whose difference from this one is reported; empty: the study's parent.
    """

    label: Annotated[str, Field(min_length=1)]
    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)
    parent: str = ""


class Start(Strict):
    """A run whose trunk every row starts from, in the place of ImageNet's weights.

    Attributes:
        recipe: Its recipe.
        set: Dotted key → value over it; what the study sets for all rows does not hold for it.
    """

    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)

    def settings(self) -> list[str]:
        """What ``--set`` would say."""
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.set.items()]


class Evaluate(Strict):
    """What every run of a study is evaluated on.

    Attributes:
        datasets: A table each; none: each run's own dataset, which must then be the same for all rows.
    """

    datasets: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


class Dial(Strict):
    """A setting of the renderer at which the study is repeated, with the same people at every value.

    Attributes:
        name: Option of ``vireid prepare synthetic``.
        values: At least two values in ascending order.
    """

    name: Literal["gap", "occlusion", "pose", "noise"]
    values: Annotated[tuple[Probability, ...], BeforeValidator(as_tuple), Field(min_length=2)]

    @model_validator(mode="after")
    def _values_rise(self) -> Dial:
        if list(self.values) != sorted(set(self.values)):
            raise ValueError("values must rise strictly")
        return self


class Study(Strict):
    """Rows × seeds under one budget.

    Attributes:
        name: Of the result file; the file's stem where it is not given.
        about: What is compared, for people.
        seeds: ``train.seed`` of each repetition.
        set: Dotted key → value for all rows.
        start: Trained first, once; its trunk becomes ``backbone.weights`` of all rows.
        evaluate: What on.
        dial: Setting of the renderer at which the whole study is repeated.
        runs: Name of the study in whose folder the runs lie, so that rows in common are trained once; the
            study's own where it is empty.
        parent: Label of the row that all rows without a ``parent`` of their own are compared with.
        rows: The table, top to bottom.
    """

    name: str = ""
    about: str = ""
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (0, 1, 2)
    set: dict[str, Any] = Field(default_factory=dict)
    start: Start | None = None
    evaluate: Evaluate = Evaluate()
    dial: Dial | None = None
    runs: Annotated[str, Field(pattern=r"^[\w.-]*$")] = ""
    parent: str = ""
    rows: Annotated[tuple[Row, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @model_validator(mode="after")
    def _keys_act(self) -> Study:
        given = {"train.seed": "seeds"} | ({"backbone.weights": "start"} if self.start else {})
        places = {"set": self.set} | {f"row '{row.label}'": row.set for row in self.rows}
        found = [
            f"{place}: {key} would change nothing beside {by}, leave out"
            for place, keys in places.items()
            for key, by in given.items()
            if key in keys
        ]
        if self.dial and self.evaluate.datasets:
            found.append("evaluate.datasets has no effect beside dial, remove it")
        if self.dial and self.runs:
            found.append("runs has no effect beside dial, remove it")
        if found:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _parents_exist(self) -> Study:
        labels = {row.label for row in self.rows}
        named = {"parent": self.parent} | {f"row '{row.label}': parent": row.parent for row in self.rows}
        unknown = [f"{place} '{name}'" for place, name in named.items() if name and name not in labels]
        itself = [f"row '{row.label}': parent" for row in self.rows if row.parent == row.label]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no row has this label")
        if itself:
            raise ValueError(f"{', '.join(itself)}: name another row")
        return self

    def parents(self) -> dict[str, str]:
        """Label of each row that has a parent → label of the parent."""
        named = {row.label: row.parent or self.parent for row in self.rows}
        return {label: parent for label, parent in named.items() if parent and parent != label}

    def settings(self, row: Row, seed: int) -> list[str]:
        """What ``--set`` would say for one row and seed; later ones win."""
        shared = {key: value for key, value in self.set.items() if key not in row.set}  # the row's come later
        values = {**shared, **row.set, "train.seed": seed}
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


class StudyFile(BaseModel):
    """The part of ``study.json``, a study's results, that is read again: the study itself."""

    study: Study


def find_study(name: str) -> Path:
    """The file of a study: a path, else a name in ``./recipes/studies``, else a shipped one.

    Raises:
        UsageError: Nothing by that name; the shipped ones are listed.
    """
    names = [name] if name.endswith((".yaml", ".yml")) else [name, f"{name}.yaml"]
    homes = [Path("recipes/studies"), shipped_folder() / "studies"]
    for folder in [Path(), *homes]:
        for candidate in (folder / n for n in names):
            if candidate.is_file():
                return candidate
    for candidate in map(Path, names):
        reading.refuse_irregular(candidate, error=UsageError)
    known = sorted({path.stem for home in homes for path in home.glob("*.yaml")})
    raise UsageError(f"There is no study '{name}'.", f"Shipped studies: {', '.join(known) or 'none'}")


def load_study(name: str) -> Study:
    """Read and check a study (its rows' recipes are the engine's to load).

    Raises:
        UsageError: No such study.
        RecipeError: Every mistake at once, with its line.
    """
    path = find_study(name)
    source = read_source(path)
    content = {"name": path.stem, **source.content}
    problems = [of_flaw(flaw) for flaw in source.flaws]
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise_all(path.name, first_of_each([*problems, *of_validation(error, Study, source.places)]))
        raise
    labels = [row.label for row in study.rows]
    for i, label in enumerate(labels):
        if label in labels[:i]:
            place = source.places[("rows", str(i), "label")]
            problems.append(Problem(place, f"rows.{i}.label", f"'{label}' is another row's label."))
    raise_all(path.name, problems)
    return study


def refuse(study: Study, errors: dict[str, UsageError]) -> None:
    """Refuse a study whose rows' recipes are wrong, all of them at once.

    Args:
        study: The study.
        errors: By row label.

    Raises:
        RecipeError: There is at least one.
    """
    if errors:
        lines = "\n".join(f"  row '{label}': {error}" for label, error in errors.items())
        raise RecipeError(f"The study {study.name} is refused.\n{lines}")
