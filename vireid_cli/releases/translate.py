"""Translation of a released state dict to the keys of one of our networks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from vireid_cli.releases.rules import COUNTER, Rule

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
