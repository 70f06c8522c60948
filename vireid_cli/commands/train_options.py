"""Options of ``vireid train``, and the changes of the recipe that they stand for."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands import completion

ALL_TRIALS = "all"
"""Value of ``--trial`` that trains a run of each trial."""

Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        help="Path, name in ./recipes, or name of a shipped recipe.",
        autocompletion=completion.recipes,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Change one key; repeatable.",
        autocompletion=completion.settings,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(help="Short for --set data.dataset=…", autocompletion=completion.datasets),
]
Trial = Annotated[
    str | None,
    typer.Option(metavar="1..10|all", help="RegDB: short for --set data.trial=…; all: ten runs."),
]
Seed = Annotated[int | None, typer.Option(help="Short for --set train.seed=…")]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the run folder.", show_default="recipe, dataset and time"),
]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Resume this run from its newest checkpoint; or: latest.",
        autocompletion=completion.runs,
    ),
]


def changes_of(
    settings: list[str] | None, dataset: str | None, seed: int | None, trial: str | None
) -> list[str]:
    """Return the changes of the recipe, ``KEY=VALUE`` each, in the order of their effect."""
    changes = [*(settings or [])]
    changes += [f"data.dataset={dataset}"] if dataset else []
    changes += [f"train.seed={seed}"] if seed is not None else []
    changes += [f"data.trial={trial}"] if trial not in (None, ALL_TRIALS) else []
    return changes
