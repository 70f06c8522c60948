"""Rules by which released keys become ours, and the parts that several releases share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COUNTER = "num_batches_tracked"
"""Files of old PyTorch versions lack these counters, and nothing reads them."""

Combine = Callable[[Sequence[Tensor]], Tensor]


def only(tensors: Sequence[Tensor]) -> Tensor:
    """The one tensor that a key comes from."""
    (tensor,) = tensors
    return tensor


def first(tensors: Sequence[Tensor]) -> Tensor:
    """One of several that are the same: counters of norms that run together."""
    return tensors[0]


@dataclass(frozen=True)
class Rule:
    """Where keys of ours come from.

    Attributes:
        ours: Regular expression of whole keys.
        theirs: Released keys, in which ``\\1`` … stand for the groups of ``ours``.
        combine: From the released tensors, in that order, to ours.
    """

    ours: str
    theirs: tuple[str, ...]
    combine: Combine = only

    def sources(self, key: str) -> tuple[str, ...] | None:
        """Released keys of one of ours; None: the rule does not match."""
        match = re.fullmatch(self.ours, key)
        return None if match is None else tuple(match.expand(template) for template in self.theirs)


# Shapes of heads: released networks hold one module for each part, ours one tensor for all of them.


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(features, inputs[, 1, 1]) of each part → (parts, features, inputs)."""
    return torch.stack([tensor.flatten(1) for tensor in tensors])


def stacked_transposed(tensors: Sequence[Tensor]) -> Tensor:
    """Classifier weights (identities, features) of each part → (parts, features, identities)."""
    return torch.stack([tensor.mT for tensor in tensors])


def stacked_biases(tensors: Sequence[Tensor]) -> Tensor:
    """Classifier biases (identities,) of each part → (parts, 1, identities)."""
    return torch.stack(list(tensors)).unsqueeze(1)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Vectors of the parts, one after the other."""
    return torch.cat(list(tensors))


def joined_without_bias(tensors: Sequence[Tensor]) -> Tensor:
    """All parts' running means, then all biases before them → means less biases, which our heads lack."""
    half = len(tensors) // 2
    return torch.cat([mean - bias for mean, bias in zip(tensors[:half], tensors[half:], strict=True)])


def head_rules(ours: str, layer: Sequence[str], norm: Sequence[str], classifier: Sequence[str]) -> list[Rule]:
    """Rules of the heads of all parts.

    Args:
        ours: Our module, ``layers.chunk_head.ChunkHeads``, with its trailing dot, as a regular expression.
        layer: Released linear layer or 1×1 convolution of each part, with bias, without trailing dot.
        norm: Batch norm of each part.
        classifier: Classifier of each part.
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
    """Parts of a released network: how many of its keys match."""
    return sum(re.fullmatch(pattern, key) is not None for key in state)


SPARE = (
    r"(visible_module\.visible|thermal_module\.thermal)\.(layer\d|fc)\..*",
    r"base_resnet\.base\.(conv1|bn1|fc)\..*",
)
"""Unused keys of AGW's family: whole ResNets, of which a branch runs the stem and the trunk the stages."""

FIRST_BLOCK = {"layer2": 2, "layer3": 3}
"""The first residual block of a stage of ResNet-50 that a released non-local block follows."""


def stem_rules() -> list[Rule]:
    """Rules of one stem for each modality."""
    return [
        Rule(r"trunk\.stem\.visible\.(.*)", (r"visible_module.visible.\1",)),
        Rule(r"trunk\.stem\.infrared\.(.*)", (r"thermal_module.thermal.\1",)),
    ]


def trunk_rules() -> list[Rule]:
    """Rules of AGW's family: stems, shared stages, neck and classifier."""
    return [
        *stem_rules(),
        Rule(r"trunk\.(layer\d\.\d+\..*)", (r"base_resnet.base.\1",)),
        Rule(r"neck\.(.*)", (r"bottleneck.\1",)),
        Rule(r"(classifier\.weight)", (r"\1",)),
    ]


def nonlocal_rules() -> list[Rule]:
    """Rules of AGW's non-local blocks: five of them in ResNet-50, numbered by stage."""
    found: list[Rule] = []
    for stage, blocks in (("layer2", 2), ("layer3", 3)):
        for block in range(blocks):
            ours = rf"trunk\.{stage}\.after{FIRST_BLOCK[stage] + block}"
            theirs = f"NL_{stage[-1]}.{block}"
            found += [
                Rule(rf"{ours}\.g\.(.*)", (rf"{theirs}.g.0.\1",)),
                Rule(rf"{ours}\.out\.(.*)", (rf"{theirs}.W.\1",)),
                Rule(rf"{ours}\.(theta|phi)\.(.*)", (rf"{theirs}.\1.\2",)),
            ]
    return found
