"""Checkpoints of public projects under this toolkit's keys.

A release is one file ``releases/<name>.py`` with these names; the file's name is the release's name:

* ``TITLE``: the project, and where its code is.
* ``RECIPES``: dataset → shipped recipe whose network the checkpoint is; ``""`` for every other dataset.
* ``CLASSIFIER``: key whose tensor has one row for each training identity.
* ``MARK``: beginning of keys that other releases lack.
* ``rules(state)``: where each of our keys comes from, the first rule that matches.
* ``UNUSED``: keys (regular expressions) of modules that the published networks hold and never run.
* ``settings(state)``: recipe settings that the tensors decide, ``key.path=value``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from vireid_cli.releases._rules import COUNTER, Rule

OWN_KEYS = re.compile(r"normalise\.(mean|std)")
"""Keys of ours that no release holds: constants."""


@dataclass(frozen=True)
class Misfit:
    """How a file's keys differ from those of the network that they should fill.

    Attributes:
        missing: Released keys that the network needs and the file lacks.
        unexpected: Keys of the file that neither the network nor an unused module of the release explains.
        shapes: Lines about tensors of another shape than the network's.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.missing or self.unexpected or self.shapes)


@dataclass(frozen=True)
class Translation:
    """A released state dict under our keys.

    Attributes:
        state: Tensor of each of our keys; incomplete where ``misfit`` is not empty.
        unused: Number of keys of modules that the release never runs.
        misfit: What does not fit.
    """

    state: dict[str, Tensor]
    unused: int
    misfit: Misfit


def names() -> list[str]:
    """Names of all releases: this package's files, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The module ``releases/<name>.py``; ``name`` is one of ``names()``."""
    return importlib.import_module(f"{__name__}.{name}")


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the prefix ``module.`` that ``nn.DataParallel`` puts in front of all keys."""
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def identities(release: ModuleType, state: Mapping[str, Tensor]) -> int | None:
    """Training identities: rows of the classifier; None: the file has no classifier of that name."""
    weight = state.get(release.CLASSIFIER)
    return None if weight is None or weight.dim() < 2 else len(weight)


def of_keys(state: Mapping[str, Tensor]) -> list[str]:
    """Releases whose mark the keys carry."""
    return [name for name in names() if any(key.startswith(load(name).MARK) for key in state)]


def translate(release: ModuleType, state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Translation:
    """Translate a released state dict.

    Args:
        release: From ``load``.
        state: Released tensors by key, without the prefix ``module.``.
        ours: State dict of the network to be filled: its keys and shapes count, its values do not.
    """
    rules = release.rules(state)
    made: dict[str, Tensor] = {}
    used: set[str] = set()
    missing: list[str] = []
    shapes: list[str] = []
    for key, like in ours.items():
        if OWN_KEYS.fullmatch(key):
            made[key] = like
            continue
        rule, sources = _first(rules, key)
        used.update(sources)
        absent = [source for source in sources if source not in state]
        if absent and key.endswith(COUNTER):
            made[key] = torch.zeros_like(like, device="cpu")
        elif absent or rule is None:
            missing += absent or [f"({key})"]
        else:
            tensors = [state[source].to(like.dtype) for source in sources]
            line = _fill(made, key, rule, tensors, like)
            shapes += [f"{', '.join(sources)}: {line}"] if line else []
    left = [key for key in state if key not in used]
    unused = [key for key in left if any(re.fullmatch(pattern, key) for pattern in release.UNUSED)]
    unexpected = tuple(key for key in left if key not in set(unused))
    return Translation(made, len(unused), Misfit(tuple(dict.fromkeys(missing)), unexpected, tuple(shapes)))


def _first(rules: Iterable[Rule], key: str) -> tuple[Rule | None, tuple[str, ...]]:
    """The first rule that matches one of our keys, and the released keys that it names."""
    for rule in rules:
        sources = rule.sources(key)
        if sources is not None:
            return rule, sources
    return None, ()


def _fill(made: dict[str, Tensor], key: str, rule: Rule, tensors: list[Tensor], like: Tensor) -> str:
    """Put the combined tensor under our key; what is wrong with its shape, or nothing."""
    try:
        value = rule.combine(tensors)
    except (RuntimeError, ValueError, IndexError) as error:
        return str(error).splitlines()[0]
    if value.shape != like.shape:
        return f"{tuple(value.shape)} instead of {tuple(like.shape)}"
    made[key] = value.contiguous()
    return ""
