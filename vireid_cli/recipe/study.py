"""Studies: comparisons of several recipes with the same budget and several seeds, in one file.

A study is a list of rows, each a recipe with changed keys. Settings of all rows (backbone, steps, size) are
written once. All recipes are validated before the first training.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.lookup import STUDY, find_file
from vireid_cli.recipe.problems import (
    Problem,
    first_per_key,
    problem_of_flaw,
    problems_of_validation,
    raise_all,
)
from vireid_cli.recipe.strict import Probability, Strict, as_tuple
from vireid_cli.recipe.yaml_reader import read_source
from vireid_cli.run_names import checked_name


class Row(Strict):
    """One row of the table.

    Attributes:
        label: Printed label; unique.
        recipe: Path of a recipe, name in ``./recipes``, or name of a shipped recipe.
        set: Values by dotted key; they override those of the study.
        parent: Label of the row for the reported difference, by default the parent of the study.
    """

    label: Annotated[str, Field(min_length=1)]
    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)
    parent: str = ""


class Start(Strict):
    """A run that trains the initial trunk of all rows, in place of ImageNet weights.

    Attributes:
        recipe: Recipe of the run.
        set: Values by dotted key. The values of the study do not apply to this run.
    """

    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)

    def settings(self) -> list[str]:
        """Return the equivalent texts for ``--set``."""
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.set.items()]


class Evaluate(Strict):
    """Evaluation of the runs of a study.

    Attributes:
        datasets: Datasets with one table each. Empty for the dataset of the runs, which must be equal in all
            rows.
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
    def _check_values(self) -> Dial:
        if list(self.values) != sorted(set(self.values)):
            raise ValueError("values must be strictly increasing")
        return self


class Study(Strict):
    """Rows × seeds with the same budget.

    Attributes:
        name: Name of the results, by default the stem of the file.
        about: Description of the comparison.
        seeds: ``train.seed`` of each repetition.
        set: Values by dotted key for all rows.
        start: Run that is trained first; its trunk becomes ``backbone.weights`` of all rows.
        evaluate: Evaluation of the runs.
        dial: Setting of the renderer; the study is repeated at each of its values.
        runs: Name of another study with the same runs folder, so that common rows are trained once; empty
            for a separate folder.
        parent: Label of the row that rows without their own ``parent`` are compared with.
        rows: Rows of the table, top to bottom.
    """

    name: Annotated[str, AfterValidator(checked_name)] = ""
    about: str = ""
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (0, 1, 2)
    set: dict[str, Any] = Field(default_factory=dict)
    start: Start | None = None
    evaluate: Evaluate = Evaluate()
    dial: Dial | None = None
    runs: Annotated[str, AfterValidator(lambda name: checked_name(name) if name else "")] = ""
    parent: str = ""
    rows: Annotated[tuple[Row, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @model_validator(mode="after")
    def _check_keys(self) -> Study:
        given = {"train.seed": "seeds"} | ({"backbone.weights": "start"} if self.start else {})
        places = {"set": self.set} | {f"row '{row.label}'": row.set for row in self.rows}
        problems = [
            f"{place}: {key} has no effect, because the study has {by}; remove it"
            for place, keys in places.items()
            for key, by in given.items()
            if key in keys
        ]
        if self.dial and self.evaluate.datasets:
            problems.append("evaluate.datasets has no effect, because the study has dial; remove it")
        if self.dial and self.runs:
            problems.append("runs has no effect, because the study has dial; remove it")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _check_parents(self) -> Study:
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
        """Labels of the parents, by label of the row, for rows with a parent."""
        named = {row.label: row.parent or self.parent for row in self.rows}
        return {label: parent for label, parent in named.items() if parent and parent != label}

    def settings(self, row: Row, seed: int) -> list[str]:
        """Return the equivalent texts for ``--set`` of one row and seed; later texts take precedence."""
        # without the row's keys, which keep their order after the shared ones
        shared = {key: value for key, value in self.set.items() if key not in row.set}
        values = {**shared, **row.set, "train.seed": seed}
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


class StudyFile(BaseModel):
    """The study in ``study.json``, the file of a study's results; other keys are ignored."""

    study: Study


def load_study(name: str) -> Study:
    """Load and validate a study, without the recipes of its rows.

    Raises:
        UsageError: The study does not exist.
        RecipeError: The study is invalid; the message lists every mistake with its line.
    """
    path = find_file(name, STUDY)
    source = read_source(path)
    content = {"name": path.stem, **source.content}
    problems = [problem_of_flaw(flaw) for flaw in source.flaws]
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        invalid = problems_of_validation(error, Study, source.places)
        raise_all(path.name, first_per_key([*problems, *invalid]), STUDY.noun)
        raise
    labels = [row.label for row in study.rows]
    for i, label in enumerate(labels):
        if label in labels[:i]:
            place = source.places[("rows", str(i), "label")]
            problems.append(Problem(place, f"rows.{i}.label", f"'{label}' is another row's label."))
    raise_all(path.name, problems, STUDY.noun)
    return study


def raise_row_errors(study: Study, errors: dict[str, UsageError]) -> None:
    """Raise one error with the errors of all rows; does nothing without errors.

    Args:
        study: The study.
        errors: Errors by row label.

    Raises:
        RecipeError: There is at least one error.
    """
    if errors:
        lines = "\n".join(f"  row '{label}': {error}" for label, error in errors.items())
        raise RecipeError(f"The study {study.name} is invalid.\n{lines}")
