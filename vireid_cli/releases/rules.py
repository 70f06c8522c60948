"""Rules that translate released keys to ours, including rules shared by several releases."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COUNTER = "num_batches_tracked"
"""Suffix of counters that files of old PyTorch versions lack; the networks do not use them."""

Combine = Callable[[Sequence[Tensor]], Tensor]


def only(tensors: Sequence[Tensor]) -> Tensor:
    """Return the single source tensor of a key."""
    (tensor,) = tensors
    return tensor


def first(tensors: Sequence[Tensor]) -> Tensor:
    """Return the first of several equal tensors, such as counters of norms that are called together."""
    return tensors[0]


@dataclass(frozen=True)
class Rule:
    """Source of our keys.

    Attributes:
        ours: Regular expression that matches our whole key.
        theirs: Templates of released keys; ``\\1`` … are the groups of ``ours``.
        combine: Function of the released tensors, in the order of ``theirs``, that returns our tensor.
    """

    ours: str
    theirs: tuple[str, ...]
    combine: Combine = only

    def sources(self, key: str) -> tuple[str, ...] | None:
        """Released keys for one of our keys, or None if the rule does not match."""
        match = re.fullmatch(self.ours, key)
        return None if match is None else tuple(match.expand(template) for template in self.theirs)


# Released networks have one module per part; ours have one tensor for all parts.


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Stack weights (features, inputs[, 1, 1]) of the parts: (parts, features, inputs)."""
    return torch.stack([tensor.flatten(1) for tensor in tensors])


def stacked_transposed(tensors: Sequence[Tensor]) -> Tensor:
    """Stack classifier weights (identities, features) of the parts: (parts, features, identities)."""
    return torch.stack([tensor.mT for tensor in tensors])


def stacked_biases(tensors: Sequence[Tensor]) -> Tensor:
    """Stack classifier biases (identities,) of the parts: (parts, 1, identities)."""
    return torch.stack(list(tensors)).unsqueeze(1)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate the vectors of the parts."""
    return torch.cat(list(tensors))


def joined_without_bias(tensors: Sequence[Tensor]) -> Tensor:
    """Subtract the biases (second half) from the running means (first half): our heads have no bias."""
    half = len(tensors) // 2
    return torch.cat([mean - bias for mean, bias in zip(tensors[:half], tensors[half:], strict=True)])


def head_rules(ours: str, layer: Sequence[str], norm: Sequence[str], classifier: Sequence[str]) -> list[Rule]:
    """Rules for the heads of all parts.

    Args:
        ours: Regular expression of our module ``layers.chunk_head.ChunkHeads``, with a trailing dot.
        layer: Released linear layer or 1×1 convolution of each part, with bias; no trailing dot.
        norm: Released batch norm of each part.
        classifier: Released classifier of each part.
    """
    means = tuple(f"{module}.running_mean" for module in norm) + tuple(f"{module}.bias" for module in layer)
    return [
        Rule(f"{ours}weight", tuple(f"{module}.weight" for module in layer), stacked),
        Rule(rf"{ours}norm\.running_mean", means, joined_without_bias),
        Rule(rf"{ours}norm\.{COUNTER}", tuple(f"{module}.{COUNTER}" for module in norm), first),
        Rule(rf"{ours}norm\.(weight|bias|running_var)", tuple(rf"{module}.\1" for module in norm), joined),
        Rule(f"{ours}classifier_weight", tuple(f"{m}.weight" for m in classifier), stacked_transposed),
        Rule(f"{ours}classifier_bias", tuple(f"{m}.bias" for m in classifier), stacked_biases),
    ]


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Number of keys that match a regular expression, such as the number of parts."""
    return sum(re.fullmatch(pattern, key) is not None for key in state)


SPARE = (
    r"(visible_module\.visible|thermal_module\.thermal)\.(layer\d|fc)\..*",
    r"base_resnet\.base\.(conv1|bn1|fc)\..*",
)
"""Unused keys of AGW and its successors: their branches are whole ResNets, but only the stem of a branch and
the stages of the trunk have an effect."""

FIRST_BLOCK = {"layer2": 2, "layer3": 3}
"""First residual block with a released non-local block behind it, for each stage of ResNet-50."""


def stem_rules() -> list[Rule]:
    """Rules for one stem per modality."""
    return [
        Rule(r"trunk\.stem\.visible\.(.*)", (r"visible_module.visible.\1",)),
        Rule(r"trunk\.stem\.infrared\.(.*)", (r"thermal_module.thermal.\1",)),
    ]


def trunk_rules() -> list[Rule]:
    """Rules for AGW and its successors: stems, shared stages, neck and classifier."""
    return [
        *stem_rules(),
        Rule(r"trunk\.(layer\d\.\d+\..*)", (r"base_resnet.base.\1",)),
        Rule(r"neck\.(.*)", (r"bottleneck.\1",)),
        Rule(r"(classifier\.weight)", (r"\1",)),
    ]


def nonlocal_rules() -> list[Rule]:
    """Rules for AGW's five non-local blocks in ResNet-50, numbered by stage."""
    rules: list[Rule] = []
    for stage, blocks in (("layer2", 2), ("layer3", 3)):
        for block in range(blocks):
            ours = rf"trunk\.{stage}\.after{FIRST_BLOCK[stage] + block}"
            theirs = f"NL_{stage[-1]}.{block}"
            rules += [
                Rule(rf"{ours}\.g\.(.*)", (rf"{theirs}.g.0.\1",)),
                Rule(rf"{ours}\.out\.(.*)", (rf"{theirs}.W.\1",)),
                Rule(rf"{ours}\.(theta|phi)\.(.*)", (rf"{theirs}.\1.\2",)),
            ]
    return rules
