"""Visible-infrared person re-identification: the command line ``vireid`` and its Python API.

>>> from vireid_cli import Engine, Modality
>>> engine = Engine()  # picks the device
>>> run = engine.train("quickstart.yaml", epochs=1)  # doctest: +SKIP
>>> engine.evaluate(run, mode="all").rank1  # doctest: +SKIP
>>> vectors = run.load().embed(["a.jpg", "b.jpg"], modality=Modality.INFRARED)  # doctest: +SKIP

The public names are loaded on first use: importing the package imports neither torch nor NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vireid_cli.version import __version__ as __version__

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine
    from vireid_cli.engine.evaluate.result import Evaluation
    from vireid_cli.engine.model import Model
    from vireid_cli.engine.run import Run
    from vireid_cli.recipe.schema import Recipe
    from vireid_cli.types import Batch, Modality

__all__ = ["Batch", "Engine", "Evaluation", "Modality", "Model", "Recipe", "Run", "__version__"]

_HOMES = {
    "Batch": "types",
    "Engine": "engine.engine",
    "Evaluation": "engine.evaluate.result",
    "Modality": "types",
    "Model": "engine.model",
    "Recipe": "recipe.schema",
    "Run": "engine.run",
}
"""Module of each public name, below the package."""


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names of the module, including public names that are not loaded yet."""
    return sorted({*globals(), *__all__})
