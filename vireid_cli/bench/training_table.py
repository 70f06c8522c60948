"""Training steps of many recipes in one table, with the machine that measured them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from vireid_cli.bench.training import about, step_values
from vireid_cli.counts import size_name
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.recipe import catalogue
from vireid_cli.recipe.schema import Recipe

CPU_SIZE, CPU_IDENTITIES, CPU_IMAGES = (96, 48), 4, 2
"""Size and batch on a CPU, where a step at a recipe's own size takes seconds."""

Finished = Callable[[dict[str, Any]], None]
"""Function that receives the table after each recipe."""


def shipped_names() -> list[str]:
    """Names of the shipped recipes, without ablations."""
    return [entry.name for entry in catalogue.entries() if not (entry.own or entry.ablation)]


def train_table(
    session: Session,
    *,
    recipes: Sequence[str],
    settings: list[str],
    repeats: int,
    finished: Finished = lambda table: None,
) -> dict[str, Any]:
    """Measure training steps of recipes, at their own size on a GPU and at a reduced one on a CPU.

    Ctrl-C ends the measurement; the table keeps its finished rows. A recipe that can't be measured has a row
    with its error.

    Args:
        session: Session with device and precision.
        recipes: Names or paths.
        settings: ``KEY=VALUE`` changes of all recipes; they precede the reduced size.
        repeats: Interleaved repetitions.
        finished: Receives the table after each recipe.

    Returns:
        ``rows`` as in ``step_values``, the number ``planned``, ``stopped``, and the machine.
    """
    table: dict[str, Any] = {
        "benchmark": "train",
        **session.runtime.describe(),
        "cpu": Runtime.choose("cpu", "fp32").describe()["device"],
        "cuda": torch.version.cuda if session.runtime.device.type == "cuda" else None,
        "repeats": repeats,
        "settings": settings,
        "planned": len(recipes),
        "stopped": False,
        "rows": [],
    }
    try:
        for number, name in enumerate(recipes):
            session.reporter.advance("recipes", number, len(recipes), {"recipe": name})
            table["rows"].append(_row(name, tuple(settings), session, repeats))
            finished(table)
        session.reporter.advance("recipes", len(recipes), len(recipes))
    except KeyboardInterrupt:
        table["stopped"] = True
        finished(table)
    return table


def _row(name: str, settings: tuple[str, ...], session: Session, repeats: int) -> dict[str, Any]:
    """Measure one recipe, or return the error that prevents it."""
    try:
        own = load_recipe(name, settings)
    except UsageError as error:
        return {"recipe": name, "error": error.message}
    recipe = own if session.runtime.device.type == "cuda" else reduced(name, settings)
    row: dict[str, Any] = {**about(recipe), "own": _sizes(own), "reduced": _sizes(own) != _sizes(recipe)}
    try:
        return {**row, **step_values(recipe, session, repeats)}
    except UsageError as error:
        return {**row, "error": error.message}
    except (MemoryError, torch.OutOfMemoryError):
        return {**row, "error": "out of memory"}


def reduced(name: str, settings: tuple[str, ...]) -> Recipe:
    """Load a recipe with a smaller batch and, if its method permits it, smaller images; settings precede."""
    images = min(CPU_IMAGES, load_recipe(name, settings).data.sampler.images)
    batch = (f"data.sampler.identities={CPU_IDENTITIES}", f"data.sampler.images={images}")
    try:
        return load_recipe(name, (*batch, f"data.size={size_name(CPU_SIZE)}", *settings))
    except UsageError:  # a method with one input size
        return load_recipe(name, (*batch, *settings))


def _sizes(recipe: Recipe) -> dict[str, Any]:
    """Image size and images per step."""
    sampler = recipe.data.sampler
    return {
        "size": size_name(recipe.data.image_size),
        "images_per_step": 2 * sampler.identities * sampler.images,
    }
