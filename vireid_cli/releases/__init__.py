"""Releases: checkpoints of public projects, which ``translate.py`` translates to the keys of our networks.

A release is one file ``releases/<name>.py``; the file's name is the release's name. It defines:

* ``TITLE``: name of the project, and its repository.
* ``RECIPES``: shipped recipe of the network, keyed by dataset; ``""`` for all other datasets.
* ``CLASSIFIER``: key of the classifier's weight, which has one row per training identity.
* ``MARK``: prefix of keys that other releases lack.
* ``FLIP``: use of mirror images in the project's test, a value of ``vireid evaluate --flip``.
* ``rules(state)``: rules from released keys to our keys; the first matching rule applies.
* ``UNUSED``: regular expressions of keys that belong to modules without effect in the published networks.
* ``settings(state)``: recipe settings ``key.path=value`` that follow from the tensors.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from torch import Tensor

_HELPERS = ("rules", "translate")
"""Public modules of this package that are not releases."""


def names() -> list[str]:
    """Names of all releases in alphabetical order: the public files of this package except helpers."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in modules if not name.startswith("_") and name not in _HELPERS)


def load(name: str) -> ModuleType:
    """Import the module ``releases/<name>.py``; ``name`` is one of ``names()``."""
    return importlib.import_module(f"{__name__}.{name}")


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix ``module.`` of ``nn.DataParallel`` from all keys."""
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def identities(release: ModuleType, state: Mapping[str, Tensor]) -> int | None:
    """Number of training identities, the rows of the classifier; None if the file has no classifier."""
    weight = state.get(release.CLASSIFIER)
    return None if weight is None or weight.dim() < 2 else len(weight)


def matching_releases(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the releases with a ``MARK`` that is a prefix of a key."""
    return [name for name in names() if any(key.startswith(load(name).MARK) for key in state)]
