"""AGW: non-local attention, generalised-mean pooling, weighted regularised triplet (docs/methods.md#agw).

Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021; code:
mangye16/Cross-Modal-Re-ID-baseline. Each modality has its own stem. Non-local blocks follow the last two
blocks of layer 2 and the last three of layer 3. GeM with p = 3 and a BN neck follow. Cross-entropy acts
behind the neck and the triplet loss before it, with equal weights.
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
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import GemForm, GeneralisedMean
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.triplet import weighted_regularised_triplet
from vireid_cli.methods import BACKBONE, GatheredNetwork, ParameterGroup, Weight, trainable
from vireid_cli.recipe.strict import Number, Strict, refuse_without_effect
from vireid_cli.types import Batch


class NonLocalOptions(Strict):
    """Positions of the non-local blocks in the trunk, and their inner width.

    Attributes:
        layer2: Number of the last residual blocks of layer 2 that a non-local block follows.
        layer3: The same number for layer 3. If a stage has fewer blocks, a non-local block follows each.
        inter: Channels in which positions are compared: 1 as in the released code, or half the stage's.
    """

    layer2: Annotated[int, Field(ge=0)] = 2
    layer3: Annotated[int, Field(ge=0)] = 3
    inter: Literal[1, "C/2"] = 1

    @model_validator(mode="after")
    def _inter_is_used(self) -> NonLocalOptions:
        refuse_without_effect(self, (not (self.layer2 or self.layer3), "layer2 and layer3 are 0", ("inter",)))
        return self


class Wrt(Strict):
    """Weighted regularised triplet loss.

    Attributes:
        weight: Factor on the loss.
        released_eps: Whether to use the softmax of the released code; see ``losses.triplet``.
    """

    weight: Weight = 1.0
    released_eps: bool = False


class Options(Strict):
    """Options of AGW.

    Attributes:
        nl: Non-local blocks.
        gem_power: p of the generalised mean; not learned.
        gem_form: ``paper`` clamps the features, ``released`` adds a constant to the mean as the released
            code does; see ``layers.pooling.generalised_mean``.
        identity_weight: Factor on the cross-entropy.
        wrt: Weighted regularised triplet loss.
        embed: Feature that is the embedding: after the neck (reported in the literature), or pooled before
            it.
    """

    nl: NonLocalOptions = NonLocalOptions()
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    gem_form: GemForm = "paper"
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    wrt: Wrt = Wrt()
    embed: Literal["neck", "pooled"] = "neck"

    @model_validator(mode="after")
    def _released_eps_is_used(self) -> Options:
        if self.wrt.released_eps and not self.wrt.weight:
            raise ValueError(
                "wrt.released_eps has no effect while wrt.weight is 0: remove it or raise the weight"
            )
        return self


class Agw(GatheredNetwork):
    """Two stems, a shared trunk with non-local blocks, GeM, one neck, one classifier.

    Args:
        options: Options of the method.
        num_identities: Width of the classifier.
        backbone: Specification of the trunk.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        self.trunk = TwoStream(backbone)
        self.trunk.insert("layer2", options.nl.layer2, lambda channels: NonLocal(channels, options.nl.inter))
        self.trunk.insert("layer3", options.nl.layer3, lambda channels: NonLocal(channels, options.nl.inter))
        self.gem = GeneralisedMean(options.gem_power, form=options.gem_form)
        features = self.trunk.channels["layer4"]
        self.neck = bn_neck(features)
        self.classifier = classifier(features, num_identities)

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``pooled`` features (2B, D), visible first."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        images = self.normalise(pixels, masks, batch.erase)
        return {"pooled": self._pooled(images, batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``identity`` and ``wrt`` losses of a P×K batch."""
        options, pooled = self.options, features["pooled"]
        both = labels.repeat(2)
        logits = self.classifier(self.neck(pooled))  # (2B, C)
        terms = {"identity": options.identity_weight * identity_loss(logits, both)}
        if options.wrt.weight:
            loss = weighted_regularised_triplet(pooled, both, options.wrt.released_eps)
            terms["wrt"] = options.wrt.weight * loss
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels: (N, D) rows of unit length."""
        feature = self._pooled(self.normalise(images), modality)
        if self.options.embed == "neck":
            feature = self.neck(feature)
        return F.normalize(feature.float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Neck and classifier at the full rate; non-local blocks in the backbone's group, as released."""
        heads = trainable(self.neck) + trainable(self.classifier)
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", heads)]

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        return self.gem(self.trunk(images, streams))  # (N, D)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Agw:
    """Build AGW's network."""
    return Agw(options, num_identities, backbone)
