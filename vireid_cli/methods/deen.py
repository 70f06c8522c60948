"""DEEN: generated embeddings, kept different from each other and aligned across the modalities.

Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark for
Visible-Infrared Person Re-identification", CVPR 2023; code: ZYK100/LLCM; docs/methods.md#deen. MFA blocks
fuse each stage's input with its output. Before the last stage DEE adds two generated branches, which
triples the batch.

Memory: all layers after DEE have three times the activations of a ResNet-50 with the same batch, in
training and when embedding. Most of them belong to the last stage.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.counts import size_name
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.mfa import Diversify, Fusion
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import global_average
from vireid_cli.losses.cpm import centre_pair_mining
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.orthogonal import inner_products
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, GatheredNetwork, Margin, ParameterGroup, Weight, trainable
from vireid_cli.recipe.fit import Fit
from vireid_cli.recipe.strict import Probability, Strict, refuse_without_effect
from vireid_cli.types import Batch, Size


class Dee(Strict):
    """Diverse embedding expansion, with dropout on the tripled batch.

    Attributes:
        on: Whether the two branches are generated.
        dropout: Probability that a value of the tripled batch is dropped.
    """

    on: bool = True
    dropout: Probability = 0.01


class Cpm(Strict):
    """Centre-guided pair mining; see ``losses.cpm``.

    Attributes:
        weight: Factor on the loss.
        margin: Margin of the loss, a Euclidean distance.
    """

    weight: Weight = 0.8
    margin: Margin = 0.2


MIXED = {"pooled": 0.1, "neck": 0.9}
"""Weights of the cosines of each level in the second score of the released code."""


class Embed(Strict):
    """The test embedding: concatenated blocks of unit length. Inner products are means of their cosines.

    The released code adds the blocks of the mirrored image: ``vireid evaluate --flip sum``. In a recipe
    ``embed: mixed`` is short for ``embed: {score: mixed}``.

    Attributes:
        branches: The original and both generated branches, or the original alone.
        level: Pooled features, features after the neck, or both. With all branches, both levels give the
            six cosines that the released code sums.
        score: Weights of the cosines in the mean. ``blocks`` weighs all blocks equally, the first score of
            the released code. ``mixed`` weighs pooled features by 0.1 and features after the neck by 0.9,
            its second score.
    """

    branches: Literal["all", "original"] = "all"
    level: Literal["pooled+neck", "pooled", "neck"] = "pooled+neck"
    score: Literal["blocks", "mixed"] = "blocks"

    @model_validator(mode="before")
    @classmethod
    def _score_alone(cls, value: Any) -> Any:
        return {"score": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _score_acts(self) -> Embed:
        single = self.level != "pooled+neck"
        refuse_without_effect(self, (single, f"level '{self.level}' has one kind of cosine", ("score",)))
        return self


def _former_switch(value: Any) -> Any:
    """Convert the boolean of earlier versions; true selects the plain form, with which they trained."""
    if isinstance(value, bool):
        return "plain" if value else "off"
    return value


class Options(Strict):
    """Options of DEEN.

    Attributes:
        last: Last stage of the trunk. ``layer3``, for RegDB, also removes the third MFA block.
        mfa: Fusion of each stage with its input: ``plain``, ``released`` as in the published code (see
            ``layers.mfa.PositionFusion``), or ``off``.
        dee: Generated branches.
        identity_weight: Factor on the cross-entropy over all branches.
        triplet_weight: Factor on the batch-hard triplet loss over all branches.
        margin: Margin of the triplet loss, a Euclidean distance.
        cpm: Centre-guided pair mining, applied to each generated branch.
        ort_weight: Factor on Σ <f₁, f₂> / 3B of the pooled features of the two generated branches.
        embed: The test embedding.
    """

    last: Literal["layer3", "layer4"] = "layer4"
    mfa: Annotated[Literal["released", "plain", "off"], BeforeValidator(_former_switch)] = "plain"
    dee: Dee = Dee()
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    triplet_weight: Weight = 1.0
    margin: Margin = 0.3
    cpm: Cpm = Cpm()
    ort_weight: Weight = 0.01
    embed: Embed = Embed()

    @model_validator(mode="after")
    def _check_generated_branches(self) -> Options:
        if not self.dee.on and (self.cpm.weight or self.ort_weight):
            raise ValueError(
                "dee is off: set cpm.weight and ort_weight to 0, because they act on its branches"
            )
        if not self.dee.on and self.embed.branches == "all":
            raise ValueError("dee is off: set embed.branches to 'original'")
        refuse_without_effect(
            self,
            (not self.dee.on, "dee is off", ("dee.dropout",)),
            (not self.cpm.weight, "cpm.weight is 0", ("cpm.margin",)),
            (not self.triplet_weight, "triplet_weight is 0", ("margin",)),
        )
        return self


def _odd_maps(options: Strict, size: Size) -> str:
    """Message about the maps of an input size that the released fusion cannot halve, or an empty string."""
    assert isinstance(options, Options)
    if options.mfa != "released":
        return ""
    odd, (height, width) = [], size
    for stage in STAGES[: STAGES.index(options.last)]:
        for _ in range({"stem": 2, "layer1": 0}.get(stage, 1)):
            height, width = -(-height // 2), -(-width // 2)
        if height * width % 2:
            odd.append(f"{size_name((height, width))} after {stage}")
    if not odd:
        return ""
    return f"mfa 'released' halves its maps and needs an even number of positions: {', '.join(odd)}."


FIT = Fit(ends_early=(("last", "layer3"),), size_problem=_odd_maps)


class Deen(GatheredNetwork):
    """Two stems, shared stages fused with their inputs, DEE before the last stage, one neck.

    Args:
        options: Options of the method.
        num_identities: Width of the classifier.
        backbone: Specification of the trunk.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        stages = STAGES[: STAGES.index(options.last) + 1]
        self.trunk = TwoStream(backbone, stages=stages)
        channels = self.trunk.channels
        self.mfa = nn.ModuleDict()
        if options.mfa != "off":
            for before, stage in itertools.pairwise(stages[:-1]):
                self.mfa[stage] = Fusion(channels[stage], channels[before], options.mfa)
        self.dee = Diversify(channels[stages[-2]], options.dee.dropout) if options.dee.on else None
        self.neck = bn_neck(channels[options.last])
        self.classifier = classifier(channels[options.last], num_identities)

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``pooled`` features of each branch, (6B, D), or (2B, D) without generated branches."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        images = self.normalise(pixels, masks, batch.erase)
        return {"pooled": self._pooled(images, batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``identity``, ``triplet``, ``cpm`` and ``ort`` losses over all branches."""
        options, pooled = self.options, features["pooled"]
        all_labels = labels.repeat(len(pooled) // len(labels))  # (6B,)
        identity = identity_loss(self.classifier(self.neck(pooled)), all_labels)
        terms = {"identity": options.identity_weight * identity}
        if options.triplet_weight:
            terms["triplet"] = options.triplet_weight * batch_hard_triplet(pooled, all_labels, options.margin)
        if options.cpm.weight:
            original, first, second = pooled.chunk(3)
            margin = options.cpm.margin
            mined = [centre_pair_mining(original, branch, labels, margin) for branch in (first, second)]
            terms["cpm"] = options.cpm.weight * (mined[0] + mined[1])
        if options.ort_weight:
            _, first, second = pooled.chunk(3)
            terms["ort"] = options.ort_weight * inner_products(first, second) / 3
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels: (N, blocks·D) rows of unit length, 6 × 2048 with all blocks."""
        return F.normalize(self._blocks(self.normalise(images), modality).flatten(1), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Neck and classifier at the full learning rate; MFA and DEE in the backbone's group, as released."""
        backbone = trainable(self.trunk) + trainable(self.mfa)
        backbone += trainable(self.dee) if self.dee is not None else []
        heads = trainable(self.neck) + trainable(self.classifier)
        return [ParameterGroup(BACKBONE, backbone), ParameterGroup("heads", heads)]

    def _pooled(self, images: Tensor, streams: Streams, original_only: bool = False) -> Tensor:
        """Pool (N, 3, H, W) to (3N, D), one branch after another, or to (N, D) if ``original_only``."""
        features = images
        for stage in self.trunk.stages:
            low = features
            if stage == self.options.last and self.dee is not None and not original_only:
                low = self.dee(low)
            features = self.trunk.run(stage, low, streams)
            if stage in self.mfa:
                features = self.mfa[stage](features, low)
        return global_average(features)

    def _blocks(self, images: Tensor, modality: Choice) -> Tensor:
        """Unit blocks, scaled by the square root of their weight if mixed: (N, blocks, D) float32."""
        options = self.options.embed
        pooled = self._pooled(images, modality, options.branches == "original")
        levels = [pooled] if "pooled" in options.level else []
        levels += [self.neck(pooled)] if "neck" in options.level else []
        count = 1 if options.branches == "original" else 3
        blocks = torch.cat([level.unflatten(0, (count, -1)) for level in levels])  # (blocks, N, D)
        unit = F.normalize(blocks.float().transpose(0, 1), dim=-1)
        if options.score == "mixed":
            pooled, neck = unit.chunk(2, dim=1)
            # The inner product of two blocks scaled by √w is w times their cosine.
            unit = torch.cat([pooled * MIXED["pooled"] ** 0.5, neck * MIXED["neck"] ** 0.5], dim=1)
        return unit


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Deen:
    """Build DEEN's network."""
    return Deen(options, num_identities, backbone)
