"""Translation of public projects' checkpoints to the keys of this package's networks.

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
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from vireid_cli.releases._rules import COUNTER, Rule

OWN_KEYS = re.compile(r"normalise\.(mean|std)")
"""Our keys without a counterpart in releases: constants."""


@dataclass(frozen=True)
class Misfit:
    """Differences between a file and the network of its release.

    Attributes:
        missing: Released keys that the file lacks.
        unexpected: Keys of the file that belong neither to the network nor to an unused module.
        shapes: One line per tensor with a wrong shape.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a difference."""
        return bool(self.missing or self.unexpected or self.shapes)


@dataclass(frozen=True)
class Translation:
    """A released state dict with our keys.

    Attributes:
        state: Tensors by our keys; incomplete if ``misfit`` is not empty.
        unused: Number of keys that belong to unused modules of the release.
        misfit: Differences between the file and the network.
    """

    state: dict[str, Tensor]
    unused: int
    misfit: Misfit


def names() -> list[str]:
    """Names of all releases in alphabetical order: the files of this package."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


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


def translate(release: ModuleType, state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Translation:
    """Translate a released state dict to our keys.

    Args:
        release: Module of the release, from ``load``.
        state: Released tensors by key, without the prefix ``module.``.
        ours: State dict of our network, for its keys and shapes.
    """
    rules = release.rules(state)
    translated: dict[str, Tensor] = {}
    used: set[str] = set()
    missing: list[str] = []
    shapes: list[str] = []
    for key, like in ours.items():
        if OWN_KEYS.fullmatch(key):
            translated[key] = like
            continue
        rule, sources = _first(rules, key)
        used.update(sources)
        absent = [source for source in sources if source not in state]
        if absent and key.endswith(COUNTER):
            translated[key] = torch.zeros_like(like, device="cpu")
        elif absent or rule is None:
            missing += absent or [f"({key})"]
        else:
            tensors = [state[source].to(like.dtype) for source in sources]
            problem = _fill(translated, key, rule, sources, tensors, like)
            shapes += [problem] if problem else []
    remaining = [key for key in state if key not in used]
    unused = [key for key in remaining if any(re.fullmatch(pattern, key) for pattern in release.UNUSED)]
    unexpected = tuple(key for key in remaining if key not in set(unused))
    return Translation(
        translated, len(unused), Misfit(tuple(dict.fromkeys(missing)), unexpected, tuple(shapes))
    )


def _first(rules: Iterable[Rule], key: str) -> tuple[Rule | None, tuple[str, ...]]:
    """Return the first rule that matches one of our keys, and the released keys of the rule."""
    for rule in rules:
        sources = rule.sources(key)
        if sources is not None:
            return rule, sources
    return None, ()


def _unlike(sources: Sequence[str], tensors: Sequence[Tensor]) -> str:
    """List the tensors of parts with another shape than most parts."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    usual = Counter(shapes).most_common(1)[0][0]
    pairs = zip(sources, shapes, strict=True)
    return "; ".join(f"{source}: {shape} instead of {usual}" for source, shape in pairs if shape != usual)


def _fill(
    translated: dict[str, Tensor],
    key: str,
    rule: Rule,
    sources: Sequence[str],
    tensors: list[Tensor],
    like: Tensor,
) -> str:
    """Store the combined tensor under our key. Returns the problem with its shape, or an empty string."""
    try:
        value = rule.combine(tensors)
    except (RuntimeError, ValueError, IndexError) as error:
        return _unlike(sources, tensors) or f"{', '.join(sources)}: {str(error).splitlines()[0]}"
    if value.shape != like.shape:
        return f"{', '.join(sources)}: {tuple(value.shape)} instead of {tuple(like.shape)}"
    translated[key] = value.contiguous()
    return ""
