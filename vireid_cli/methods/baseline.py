"""The baseline: a two-stream ResNet with identity and triplet loss.

This is AGW's ``base`` variant (Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook",
docs/methods.md#agw): a stem per modality, shared layers 1–4, pooling, BN neck, classifier. Metric losses
act on the pooled feature, cross-entropy on the classifier behind the neck. Options add the centre losses of
docs/methods.md#identity-and-metric-losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import GemForm, GeneralisedMean, global_average
from vireid_cli.losses.center import cross_center, hetero_center, hetero_center_triplet
from vireid_cli.losses.identity import cosine_identity_loss, identity_loss
from vireid_cli.losses.spread import excess_cosine
from vireid_cli.losses.triplet import (
    batch_hard_triplet,
    enhanced_squared_difference,
    weighted_regularised_triplet,
)
from vireid_cli.methods import BACKBONE, GatheredNetwork, Margin, ParameterGroup, Weight, trainable
from vireid_cli.recipe.strict import Number, Strict, refuse_without_effect
from vireid_cli.types import Batch


class Options(Strict):
    """Options of the baseline; the defaults are those of AGW's ``base``.

    Attributes:
        stem: A stem per modality, or one shared stem.
        pool: Global average pooling or generalised mean.
        gem_power: p of the generalised mean; 3 in AGW.
        gem_learned: Whether p is learned.
        gem_form: ``paper`` clamps the features, ``released`` adds a constant to the mean as the released
            code does; see ``layers.pooling.generalised_mean``.
        identity_weight: Factor on the cross-entropy.
        label_smoothing: Share of the target distribution that is spread evenly over all identities, in [0,
            1).
        logits: ``linear``, or ``cosine``: scaled cosines with a margin (CosFace).
        logit_scale: Factor on the cosines.
        logit_margin: Margin of the cosine of the true identity.
        triplet: Batch-hard triplet loss, or a loss without a margin: AGW's weighted regularised triplet
            (``wrt``) or CAJ's enhanced squared difference (``wrt_sq``).
        triplet_weight: Factor on the triplet loss.
        margin: Margin of the batch-hard triplet loss, a Euclidean distance.
        released_eps: Whether ``wrt`` and ``wrt_sq`` use the softmax of AGW's released code.
        center: Loss on the centres of identities: hetero-centre (``hc``), cross-centre (``cc``) or
            hetero-centre triplet (``hctri``).
        center_weight: Factor on the centre loss; the published values are 0.5 for ``hc`` and 1 for ``hctri``.
        center_margin: Threshold of ``hc``, m of ``cc``, or margin of ``hctri``. None selects the published
            value: 0, 0.1 or 0.3.
        spread_weight: Factor on the mean cosine of the pooled features of different images above
            ``spread_limit``; see ``losses.spread.excess_cosine``. It is for pre-training.
        spread_limit: Mean cosine without a penalty.
        embed: Feature that is the embedding: after the neck (reported in the literature), or pooled before
            it.
    """

    stem: Literal["separate", "shared"] = "separate"
    pool: Literal["gap", "gem"] = "gap"
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    gem_learned: bool = False
    gem_form: GemForm = "paper"
    identity_weight: Weight = 1.0
    label_smoothing: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    logits: Literal["linear", "cosine"] = "linear"
    logit_scale: Annotated[Number, Field(gt=0.0)] = 30.0
    logit_margin: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.2
    triplet: Literal["batch_hard", "wrt", "wrt_sq"] = "batch_hard"
    triplet_weight: Weight = 1.0
    margin: Margin = 0.3
    released_eps: bool = False
    center: Literal["none", "hc", "cc", "hctri"] = "none"
    center_weight: Weight = 0.5
    center_margin: Margin | None = None
    spread_weight: Weight = 0.0
    spread_limit: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.5
    embed: Literal["neck", "pooled"] = "neck"

    @model_validator(mode="after")
    def _check_trained_embedding(self) -> Options:
        center = self.center != "none" and self.center_weight > 0.0
        if not (self.identity_weight or self.triplet_weight or center):
            raise ValueError(
                "all losses are off: set identity_weight, triplet_weight or center_weight above 0"
            )
        if self.released_eps and self.triplet == "batch_hard":
            raise ValueError("released_eps needs triplet 'wrt' or 'wrt_sq': 'batch_hard' has no softmax")
        if self.embed == "neck" and not self.identity_weight:
            raise ValueError("embed 'neck' needs identity_weight above 0: no other loss trains the neck")
        soft = not self.triplet_weight or self.triplet != "batch_hard"
        refuse_without_effect(
            self,
            (self.pool == "gap", "pool is 'gap'", ("gem_power", "gem_learned", "gem_form")),
            (not self.identity_weight, "identity_weight is 0", ("label_smoothing", "logits")),
            (self.logits == "linear", "logits is 'linear'", ("logit_scale", "logit_margin")),
            (not self.triplet_weight, "triplet_weight is 0", ("triplet", "released_eps")),
            (soft, "the batch-hard triplet loss is off", ("margin",)),
            (self.center == "none", "center is 'none'", ("center_weight",)),
            (not center, "the centre loss is off", ("center_margin",)),
            (not self.spread_weight, "spread_weight is 0", ("spread_limit",)),
        )
        return self


class Baseline(GatheredNetwork):
    """Two stems, a shared trunk, one pooled feature, one neck, one classifier.

    Args:
        options: Options of the method.
        num_identities: Width of the classifier.
        backbone: Specification of the trunk.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        self.trunk = TwoStream(backbone, separate=("stem",) if options.stem == "separate" else ())
        gem = (options.gem_power, options.gem_learned, options.gem_form)
        self.gem = GeneralisedMean(*gem) if options.pool == "gem" else None
        features = self.trunk.channels["layer4"]
        # Only the identity loss trains the neck and the classifier.
        self.heads = options.identity_weight > 0.0
        if self.heads:
            self.neck = bn_neck(features)
            self.classifier = classifier(features, num_identities)

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``pooled`` features (2B, D), visible first."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        images = self.normalise(pixels, masks, batch.erase)
        return {"pooled": self._pooled(images, batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``identity``, ``triplet``, ``center`` and ``spread`` losses of a P×K batch."""
        options, pooled = self.options, features["pooled"]
        both = labels.repeat(2)
        terms: dict[str, Tensor] = {}
        if self.heads:
            terms["identity"] = options.identity_weight * self._identity(self.neck(pooled), both)
        if options.triplet_weight:
            terms["triplet"] = options.triplet_weight * self._triplet(pooled, both)
        if options.center != "none" and options.center_weight:
            center = self._center(pooled, labels)
            terms["center"] = options.center_weight * center
        if options.spread_weight:
            spread = excess_cosine(pooled, options.spread_limit)
            terms["spread"] = options.spread_weight * spread
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels: (N, D) rows of unit length."""
        feature = self._pooled(self.normalise(images), modality)
        if self.options.embed == "neck":
            feature = self.neck(feature)
        return F.normalize(feature.float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Neck and classifier at the full learning rate; all other parameters in the backbone's group."""
        backbone = trainable(self.trunk) + (trainable(self.gem) if self.gem is not None else [])
        heads = trainable(self.neck) + trainable(self.classifier) if self.heads else []
        return [ParameterGroup(BACKBONE, backbone), ParameterGroup("heads", heads)]

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        features = self.trunk(images, streams)  # (N, D, h, w)
        return global_average(features) if self.gem is None else self.gem(features)  # (N, D)

    def _identity(self, feature: Tensor, labels: Tensor) -> Tensor:
        options = self.options
        if options.logits == "linear":
            return identity_loss(self.classifier(feature), labels, options.label_smoothing)
        weight, scale = self.classifier.weight, options.logit_scale
        margin, smoothing = options.logit_margin, options.label_smoothing
        return cosine_identity_loss(feature, weight, labels, scale, margin, smoothing)

    def _triplet(self, pooled: Tensor, labels: Tensor) -> Tensor:
        options = self.options
        if options.triplet == "batch_hard":
            return batch_hard_triplet(pooled, labels, options.margin)
        loss = weighted_regularised_triplet if options.triplet == "wrt" else enhanced_squared_difference
        return loss(pooled, labels, options.released_eps)

    def _center(self, pooled: Tensor, labels: Tensor) -> Tensor:
        kind, margin = self.options.center, self.options.center_margin
        if kind == "hc":
            return hetero_center(pooled, labels, 0.0 if margin is None else margin)
        if kind == "cc":
            return cross_center(pooled, labels, 0.1 if margin is None else margin)
        return hetero_center_triplet(pooled, labels, 0.3 if margin is None else margin)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Baseline:
    """Build the baseline's network."""
    return Baseline(options, num_identities, backbone)
