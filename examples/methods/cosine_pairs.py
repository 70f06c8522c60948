"""A method of one's own: a shared network, cross-entropy, and the cosine of a person's two centres."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import global_average
from vireid_cli.losses.distance import in_full_precision
from vireid_cli.losses.identity import identity_loss
from vireid_cli.methods import BACKBONE, ParameterGroup, ReIdNetwork, Weight, trainable
from vireid_cli.recipe.strict import Strict
from vireid_cli.types import Batch, Modality


class Options(Strict):
    """Options of the method.

    Attributes:
        pair_weight: Factor on 1 − cosine of the centres of a person in both modalities.
    """

    pair_weight: Weight = 1.0


@in_full_precision
def pair_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Mean of 1 − cosine of a person's two centres: features (2B, D), visible first, and (B,) labels."""
    same = (labels.unsqueeze(1) == labels).to(features.dtype)  # (B, B)
    visible, infrared = (same @ half for half in features.chunk(2))  # sums; a cosine ignores lengths
    cosines = F.cosine_similarity(visible, infrared)  # (B,)
    return (1.0 - cosines).mean()


class CosinePairs(ReIdNetwork):
    """A shared trunk with one neck and one classifier."""

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        self.trunk = TwoStream(backbone, separate=())
        features = self.trunk.channels["layer4"]
        self.neck = bn_neck(features)
        self.classifier = classifier(features, num_identities)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W), visible first
        pooled = global_average(self.trunk(self.normalise(pixels, masks, batch.erase), len(batch.labels)))
        features = self.neck(pooled)  # (2B, D)
        labels = batch.labels.repeat(2)
        terms = {"identity": identity_loss(self.classifier(features), labels)}
        if self.options.pair_weight:
            terms["pairs"] = self.options.pair_weight * pair_loss(features, batch.labels)
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        pooled = global_average(self.trunk(self.normalise(images), modality))
        return F.normalize(self.neck(pooled).float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        heads = [*trainable(self.neck), *trainable(self.classifier)]
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", heads)]


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> CosinePairs:
    return CosinePairs(options, num_identities, backbone)
