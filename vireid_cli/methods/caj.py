"""CAJ and CAJ+: channel-augmented joint learning on AGW's network (docs/methods.md#caj).

Ye et al., "Channel Augmented Joint Learning for Visible-Infrared Recognition", ICCV 2021, and its
extension "Channel Augmentation for Visible-Infrared Re-Identification", TPAMI 2023. Each visible image
has two views, V and V'; both go through the visible stem. In V' one channel is copied to all three,
in infrared images one channel or the luminance: after normalising and erasing, so that the channels'
different means and deviations are part of the augmentation. Cross-entropy and the enhanced squared
difference act on V, V' and infrared images together.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, exchange_channels
from vireid_cli.layers.pooling import GemForm, GeneralisedMean
from vireid_cli.losses.identity import identity_loss, soft_identity_loss
from vireid_cli.losses.triplet import wrt_sq
from vireid_cli.methods import BACKBONE, Fit, ParameterGroup, ReIdNetwork, Weight, trainable
from vireid_cli.recipe.strict import Number, Strict, refuse_idle
from vireid_cli.types import Batch, Modality

FIT = Fit(second_view=True, exchange=True)


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


class WrtSq(Strict):
    """Enhanced squared difference; ``released_eps``: see ``losses.triplet``."""

    weight: Weight = 1.0
    released_eps: bool = False

    @model_validator(mode="after")
    def _released_eps_is_used(self) -> WrtSq:
        if self.released_eps and not self.weight:
            raise ValueError("released_eps changes a loss whose weight is 0")
        return self


class Options(Strict):
    """Knobs of CAJ; CAJ+ sets ``kl_weight`` to 1.

    Attributes:
        nl: Non-local blocks.
        gem_power: p of the generalised mean, fixed.
        gem_form: Clamped features, or the released code's addend (``layers.pooling.generalised_mean``).
        identity_weight: Factor on the cross-entropy.
        wrt_sq: Enhanced squared difference.
        kl_weight: Factor on the cross-entropy of V against the distribution of V'.
        embed: After the neck, what the literature quotes, or pooled before it.
    """

    nl: NonLocalOptions = NonLocalOptions()
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    gem_form: GemForm = "paper"
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    wrt_sq: WrtSq = WrtSq()
    kl_weight: Weight = 0.0
    embed: Literal["neck", "pooled"] = "neck"


class Caj(ReIdNetwork):
    """AGW's network: two stems, non-local blocks, GeM, one neck, one classifier.

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
        """Weighted ``identity``, ``wrt_sq`` and, if chosen, ``kl`` loss of V, V' and infrared images.

        Raises:
            ValueError: The batch has no second view.
        """
        options, count = self.options, batch.visible.shape[0]
        pooled = self._pooled(self._inputs(batch), 2 * count)  # (3B, D): V, V', infrared
        labels = batch.labels.repeat(3)
        logits = self.classifier(self.neck(pooled))  # (3B, C)
        terms = {"identity": options.identity_weight * identity_loss(logits, labels)}
        if options.wrt_sq.weight:
            loss = wrt_sq(pooled, labels, options.wrt_sq.released_eps)
            terms["wrt_sq"] = options.wrt_sq.weight * loss
        if options.kl_weight:
            loss = soft_identity_loss(logits[:count], logits[count : 2 * count])
            terms["kl"] = options.kl_weight * loss
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

    def _inputs(self, batch: Batch) -> Tensor:
        """V, V' and infrared images: normalised, then erased, then their channels exchanged."""
        if batch.second is None:
            raise ValueError("CAJ learns from two views of a visible image: augment.second_view is off")
        pixels = torch.cat([batch.visible, batch.second, batch.infrared])  # (3B, 3, H, W)
        masks, erase, exchange = None, batch.erase, batch.exchange
        if erase is not None and erase.second is not None:
            masks = torch.cat([erase.visible, erase.second, erase.infrared])
        images = self.normalise(pixels, masks, erase)
        if exchange is None or exchange.second is None:
            return images
        unchanged = torch.zeros_like(exchange.second)
        return exchange_channels(images, torch.cat([unchanged, exchange.second, exchange.infrared]))

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        return self.gem(self.trunk(images, streams))  # (N, D)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Caj:
    """CAJ's network."""
    return Caj(options, num_identities, backbone)
