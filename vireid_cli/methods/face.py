"""Faces: LightCNN-29 for visible and near-infrared images (METHODS 7).

The face setting of FDNM (its Oulu-CASIA and BUAA tables). Each modality has its own first unit; the
rest is shared. Images are one grey channel in [0, 1], the luminance of what augmentation leaves; where
it copies one channel of a colour image to all three, the luminance is that channel. The paper trains
"as CAJ", which can't be recovered for faces: classifier, dropout as in LightCNN, losses and learning
rates are our reading.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from vireid_cli.backbones.lightcnn import EMBEDDING, SIDE, STAGES, TwoStreamLightCnn
from vireid_cli.backbones.two_stream import BackboneSpec, Streams
from vireid_cli.layers.neck import classifier
from vireid_cli.layers.pixels import Normalise, both_modalities, centre_crop, luminance
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, Fit, ParameterGroup, Weight, trainable
from vireid_cli.recipe.schema import Probability, Strict
from vireid_cli.types import Batch, Modality

FIT = Fit(backbones=("lightcnn29",), input=(SIDE, SIDE))


class Options(Strict):
    """Knobs of the face setting.

    Attributes:
        stem: One first unit for each modality, or one for both.
        dropout: Probability that a feature is dropped before the classifier.
        identity_weight: Factor on the cross-entropy.
        triplet_weight: λ1, factor on the batch-hard triplet loss.
        margin: Of the triplet loss, Euclidean.
    """

    stem: Literal["separate", "shared"] = "separate"
    dropout: Probability = 0.5
    identity_weight: Weight = 1.0
    triplet_weight: Weight = 1.0
    margin: Weight = 0.3

    @model_validator(mode="after")
    def _something_is_trained(self) -> Options:
        if not (self.identity_weight or self.triplet_weight):
            raise ValueError("no loss is left: identity_weight or triplet_weight must be above 0")
        return self


class Face(nn.Module):
    """LightCNN-29 of two modalities and a classifier on its 256 features.

    Args:
        options: Knobs.
        num_identities: Width of the classifier.
        backbone: LightCNN-29's width and weights.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        # LightCNN knows no mean and std: pixels in [0, 1] are its normalised space.
        self.normalise = Normalise((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.trunk = TwoStreamLightCnn(backbone, separate=options.stem == "separate")
        self.dropout = nn.Dropout(options.dropout)
        # Without an identity loss nothing trains it.
        self.classifier = classifier(EMBEDDING, num_identities) if options.identity_weight else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted ``identity`` and ``triplet`` loss of a P×K batch."""
        options = self.options
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        features = self._features(self.normalise(pixels, masks, batch.erase), batch.visible.shape[0])
        labels = batch.labels.repeat(2)
        terms: dict[str, Tensor] = {}
        if self.classifier is not None:
            logits = self.classifier(self.dropout(features))  # (2B, C)
            terms["identity"] = options.identity_weight * identity_loss(logits, labels)
        if options.triplet_weight:
            loss = batch_hard_triplet(features, labels, options.margin)
            terms["triplet"] = options.triplet_weight * loss
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels, 128 or more a side → (N, 256) of unit length; the centre is looked at."""
        return F.normalize(self._features(self.normalise(images), modality).float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The classifier at the full learning rate, LightCNN with the backbone's."""
        heads = trainable(self.classifier) if self.classifier is not None else []
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", heads)]

    def _features(self, images: Tensor, streams: Streams) -> Tensor:
        """(N, 3, H, W) → (N, 256)."""
        features = luminance(centre_crop(images, (SIDE, SIDE)))  # (N, 1, 128, 128)
        for stage in STAGES:
            features = self.trunk.run(stage, features, streams)
        return self.trunk.head(features)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Face:
    """The network for faces."""
    return Face(options, num_identities, backbone)
