"""Tuning studies: a recipe, the keys to search, and the rules of the search, in one file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vireid_cli.errors import RecipeError
from vireid_cli.recipe.lookup import TUNING, find_file
from vireid_cli.recipe.problems import first_per_key, problem_of_flaw, problems_of_validation, raise_all
from vireid_cli.recipe.strict import Number, Strict, as_tuple
from vireid_cli.recipe.yaml_reader import read_source
from vireid_cli.run_names import checked_name

FIXED = (
    *("name", "paper", "reported", "reported_cost", "data.dataset", "data.split", "data.trial"),
    *("train.seed", "train.select", "train.loggers"),
)
"""Keys without search: other people would be compared, or the key has no effect on the result."""

SELECT = "train.select"
"""Key that every trial sets to ``val``."""

Values = Mapping[str, Any]
"""Values by dotted key."""


class Dimension(Strict):
    """Possible values of one key: a range of numbers, or a list.

    Attributes:
        floats: Lowest and highest number; the key is ``float``.
        ints: Lowest and highest whole number; the key is ``int``.
        choices: The values; any that the key accepts.
        log: Search the logarithm of the number.
        step: Distance between two values of ``int``.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    floats: Annotated[tuple[Number, Number] | None, BeforeValidator(as_tuple), Field(alias="float")] = None
    ints: Annotated[tuple[int, int] | None, BeforeValidator(as_tuple), Field(alias="int")] = None
    choices: Annotated[tuple[Any, ...] | None, BeforeValidator(as_tuple)] = None
    log: bool = False
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _check_kind(self) -> Dimension:
        given = [part for part in (self.floats, self.ints, self.choices) if part is not None]
        if len(given) != 1:
            raise ValueError("expected one of float: [low, high], int: [low, high], choices: [...]")
        if self.choices == ():
            raise ValueError("choices is empty; name at least two values")
        if self.choices is not None and (self.log or self.step != 1):
            raise ValueError("log and step have no effect on choices; remove them")
        if self.floats is not None and self.step != 1:
            raise ValueError("step has no effect on float; remove it")
        if self.log and self.step != 1:
            raise ValueError("log and step exclude each other; remove one")
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Dimension:
        low, high = self.floats or self.ints or (0, 1)
        if low >= high:
            raise ValueError(f"expected low < high, not [{low}, {high}]; set a fixed value in 'set'")
        if self.log and low <= 0:
            raise ValueError(f"log needs positive numbers, not {low}")
        if self.choices is not None and len(set(map(json.dumps, self.choices))) < len(self.choices):
            raise ValueError("name each choice once")
        return self

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Lowest and highest value, or all choices."""
        return self.floats or self.ints or self.choices or ()

    @property
    def size(self) -> float:
        """Number of different values; infinite for ``float``."""
        if self.ints is not None:
            return float((self.ints[1] - self.ints[0]) // self.step + 1)
        return math.inf if self.choices is None else float(len(self.choices))


class TuningSampler(Strict):
    """Choice of the values of the next trial.

    Attributes:
        name: ``tpe`` (tree-structured Parzen estimators, from the results of former trials) or ``random``.
        seed: Seed of the draws. One process repeats a search exactly; several processes do not.
        startup: Random trials before ``tpe`` begins.
    """

    name: Literal["tpe", "random"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    startup: Annotated[int, Field(ge=1)] = 10


class TuningPruner(Strict):
    """Early end of trials whose validation falls behind.

    Attributes:
        name: ``median`` ends a trial below the median of the former ones at the same epoch; ``hyperband``
            gives the more epochs the better a trial is; ``none`` ends no trial.
        startup: ``median``: finished trials before the first can end early.
        warmup: ``median``: epochs of a trial before it can end early.
        reduction: ``hyperband``: one of so many trials continues.
    """

    name: Literal["median", "hyperband", "none"] = "median"
    startup: Annotated[int, Field(ge=0)] = 5
    warmup: Annotated[int, Field(ge=0)] = 0
    reduction: Annotated[int, Field(ge=2)] = 3


class TuningStudy(Strict):
    """Search for the values of a recipe's keys with the best validation.

    Attributes:
        name: Name of the study's folder in the folder of runs, by default the stem of the file.
        about: Description of the search.
        recipe: Path of a recipe, name in ``./recipes``, or name of a shipped recipe. Its ``data.split`` must
            be ``train``, so that validation identities remain.
        set: Values by dotted key for all trials.
        space: Possible values by dotted key.
        objective: Metric of the validation identities, at the epoch with the best mAP.
        trials: Number of trials in total; a second call with a larger number adds trials.
        sampler: Choice of the values of the next trial.
        pruner: Early end of trials.
    """

    name: Annotated[str, AfterValidator(checked_name)] = "tuning"
    about: str = ""
    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Dimension]
    objective: Literal["mAP", "rank1"] = "mAP"
    trials: Annotated[int, Field(ge=1)] = 20
    sampler: TuningSampler = TuningSampler()
    pruner: TuningPruner = TuningPruner()

    @model_validator(mode="after")
    def _check_keys(self) -> TuningStudy:
        problems = [f"space: {key} can't be searched; set it in 'set'" for key in self.space if is_fixed(key)]
        problems += [
            f"set: {key} has no effect, because the space has it; remove it"
            for key in self.set
            if key in self.space
        ]
        problems += [
            f"space: {one} contains {other}; name keys, not sections"
            for one in self.space
            for other in self.space
            if other.startswith(f"{one}.")
        ]
        if not self.space:
            problems.append("space is empty; name at least one key with its values")
        if SELECT in self.set:
            problems.append(f"set: {SELECT} is val in every trial; remove it")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def size(self) -> float:
        """Number of different trials; infinite with a ``float``."""
        return math.prod(dimension.size for dimension in self.space.values())

    def settings(self, values: Values) -> tuple[str, ...]:
        """Return the texts for ``--set`` of a trial with these values."""
        merged = {**self.set, **values, SELECT: "val"}
        return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in merged.items())


def is_fixed(key: str) -> bool:
    """Whether a search can't change a key."""
    return any(_overlap(key, fixed) for fixed in FIXED)


def _overlap(key: str, fixed: str) -> bool:
    """Whether a key is another one, or one of them is a section with the other."""
    return key == fixed or key.startswith(f"{fixed}.") or fixed.startswith(f"{key}.")


def load_tuning(name: str) -> TuningStudy:
    """Load and validate a tuning study, without its recipe.

    Raises:
        UsageError: The study does not exist.
        RecipeError: The study is invalid; the message lists every mistake with its line.
    """
    path = find_file(name, TUNING)
    source = read_source(path)
    if "rows" in source.content:
        raise RecipeError(f"{path} is a comparison of recipes.", f"Run: vireid compare {name}")
    problems = [problem_of_flaw(flaw) for flaw in source.flaws]
    try:
        study = TuningStudy.model_validate({"name": path.stem, **source.content})
    except ValidationError as error:
        invalid = problems_of_validation(error, TuningStudy, source.places)
        raise_all(path.name, first_per_key([*problems, *invalid]), TUNING.noun)
        raise
    raise_all(path.name, problems, TUNING.noun)
    return study
