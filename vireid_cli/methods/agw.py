"""AGW: non-local attention, generalised-mean pooling, weighted regularised triplet (docs/methods.md#agw).

Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021; code:
mangye16/Cross-Modal-Re-ID-baseline. One stem for each modality; non-local blocks after the last two
blocks of layer 2 and the last three of layer 3; GeM with p = 3; BN neck; cross-entropy behind the neck
and the triplet loss before it, weighted alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import GemForm, GeneralisedMean
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.triplet import weighted_regularised_triplet
from vireid_cli.methods import BACKBONE, ParameterGroup, ReIdNetwork, Weight, trainable
from vireid_cli.recipe.strict import Number, Strict, refuse_idle
from vireid_cli.types import Batch, Modality


class NonLocalOptions(Strict):
    """Where positions attend to each other.

    Attributes:
        layer2: Blocks of layer 2, counted from its end, that are followed by a non-local block.
        layer3: The same for layer 3; a stage with fewer blocks gets one after each.
        inter: Channels of the comparison: 1 as released, or half the stage's.
    """

    layer2: Annotated[int, Field(ge=0)] = 2
    layer3: Annotated[int, Field(ge=0)] = 3
    inter: Literal[1, "C/2"] = 1

    @model_validator(mode="after")
    def _inter_is_used(self) -> NonLocalOptions:
        refuse_idle(self, (not (self.layer2 or self.layer3), "there is no non-local block", ("inter",)))
        return self


class Wrt(Strict):
    """Weighted regularised triplet loss; ``released_eps``: see ``losses.triplet``."""

    weight: Weight = 1.0
    released_eps: bool = False


class Options(Strict):
    """Knobs of AGW.

    Attributes:
        nl: Non-local blocks.
        gem_power: p of the generalised mean, fixed.
        gem_form: Clamped features, or the released code's addend (``layers.pooling.generalised_mean``).
        identity_weight: Factor on the cross-entropy.
        wrt: Weighted regularised triplet loss.
        embed: After the neck, what the literature quotes, or pooled before it.
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
            raise ValueError("wrt.released_eps changes a loss whose weight is 0")
        return self


class Agw(ReIdNetwork):
    """Two stems, a shared trunk with non-local blocks, GeM, one neck, one classifier.

    Args:
        options: Knobs.
        num_identities: Width of the classifier.
        backbone: The trunk.
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

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted ``identity`` and ``wrt`` loss of a P×K batch."""
        options = self.options
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        pooled = self._pooled(self.normalise(pixels, masks, batch.erase), batch.visible.shape[0])  # (2B, D)
        labels = batch.labels.repeat(2)
        logits = self.classifier(self.neck(pooled))  # (2B, C)
        terms = {"identity": options.identity_weight * identity_loss(logits, labels)}
        if options.wrt.weight:
            loss = weighted_regularised_triplet(pooled, labels, options.wrt.released_eps)
            terms["wrt"] = options.wrt.weight * loss
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels → (N, D) of unit length."""
        feature = self._pooled(self.normalise(images), modality)
        if self.options.embed == "neck":
            feature = self.neck(feature)
        return F.normalize(feature.float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Neck and classifier at the full rate; the non-local blocks learn with the backbone, as released."""
        heads = trainable(self.neck) + trainable(self.classifier)
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", heads)]

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        return self.gem(self.trunk(images, streams))  # (N, D)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Agw:
    """AGW's network."""
    return Agw(options, num_identities, backbone)
