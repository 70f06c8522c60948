"""CAJ and CAJ+: channel-augmented joint learning on AGW's network (docs/methods.md#caj).

Ye et al., "Channel Augmented Joint Learning for Visible-Infrared Recognition", ICCV 2021, and its
extension "Channel Augmentation for Visible-Infrared Re-Identification", TPAMI 2023. Each visible image
has two views, V and V'; both pass the visible stem. In V' one channel is copied to all three; in infrared
images, one channel or the luminance. The exchange comes after normalising and erasing, so that the different
means and deviations of the channels are part of the augmentation. Cross-entropy and the enhanced squared
difference act on V, V' and infrared images together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, exchange_channels
from vireid_cli.layers.pooling import GemForm, GeneralisedMean
from vireid_cli.losses.identity import identity_loss, soft_identity_loss
from vireid_cli.losses.triplet import enhanced_squared_difference
from vireid_cli.methods import BACKBONE, GatheredNetwork, ParameterGroup, Weight, trainable
from vireid_cli.recipe.fit import Fit
from vireid_cli.recipe.strict import Number, Strict, refuse_without_effect
from vireid_cli.types import Batch

FIT = Fit(second_view=True, exchange=True)


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


class WrtSq(Strict):
    """Enhanced squared difference, a triplet loss without a margin.

    Attributes:
        weight: Factor on the loss.
        released_eps: Whether to use the softmax of the released code; see ``losses.triplet``.
    """

    weight: Weight = 1.0
    released_eps: bool = False

    @model_validator(mode="after")
    def _released_eps_is_used(self) -> WrtSq:
        if self.released_eps and not self.weight:
            raise ValueError(
                "released_eps has no effect while the weight of wrt_sq is 0: remove it or raise the weight"
            )
        return self


class Options(Strict):
    """Options of CAJ; CAJ+ sets ``kl_weight`` to 1.

    Attributes:
        nl: Non-local blocks.
        gem_power: p of the generalised mean; not learned.
        gem_form: ``paper`` clamps the features, ``released`` adds a constant to the mean as the released
            code does; see ``layers.pooling.generalised_mean``.
        identity_weight: Factor on the cross-entropy.
        wrt_sq: Enhanced squared difference.
        kl_weight: Factor on the cross-entropy between the class distributions of V and V' (the target).
        embed: Feature that is the embedding: after the neck (reported in the literature), or pooled before
            it.
    """

    nl: NonLocalOptions = NonLocalOptions()
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    gem_form: GemForm = "paper"
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    wrt_sq: WrtSq = WrtSq()
    kl_weight: Weight = 0.0
    embed: Literal["neck", "pooled"] = "neck"


class Caj(GatheredNetwork):
    """AGW's network: two stems, non-local blocks, GeM, one neck, one classifier.

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
        """Compute ``pooled`` features (3B, D) of V, V' and infrared images.

        Raises:
            ValueError: The batch has no second view.
        """
        return {"pooled": self._pooled(self._inputs(batch), 2 * batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``identity``, ``wrt_sq`` and optional ``kl`` losses of all views."""
        options, count, pooled = self.options, len(labels), features["pooled"]
        every = labels.repeat(3)
        logits = self.classifier(self.neck(pooled))  # (3B, C)
        terms = {"identity": options.identity_weight * identity_loss(logits, every)}
        if options.wrt_sq.weight:
            loss = enhanced_squared_difference(pooled, every, options.wrt_sq.released_eps)
            terms["wrt_sq"] = options.wrt_sq.weight * loss
        if options.kl_weight:
            loss = soft_identity_loss(logits[:count], logits[count : 2 * count])
            terms["kl"] = options.kl_weight * loss
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

    def _inputs(self, batch: Batch) -> Tensor:
        """Network input of V, V' and infrared images: normalise, erase, then exchange channels."""
        if batch.second is None:
            raise ValueError("CAJ needs two views of each visible image: set augment.second_view to true")
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
    """Build CAJ's network."""
    return Caj(options, num_identities, backbone)
