"""HcTri: horizontal stripes and the hetero-centre triplet loss (docs/methods.md#hctri).

Liu et al., "Parameter Sharing Exploration and Hetero-Center Triplet Loss for Visible-Thermal Person
Re-Identification", TMM 2021; code: hijune6/Hetero-center-triplet-loss. Each modality has its own stem and
layer 1; layers 2–4 are shared. The map is cut into six stripes. Each stripe is pooled by a generalised mean
and has its own 1×1 convolution, batch norm, ReLU and classifier. The convolution of a pooled stripe is a
linear layer. It has no bias, because the batch norm would remove it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Stage, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.chunk_head import ChunkHeads
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import GemForm, generalised_mean_stripes
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.losses.identity import identity_loss
from vireid_cli.methods import BACKBONE, GatheredNetwork, Margin, ParameterGroup, Weight, trainable
from vireid_cli.recipe.strict import Number, Strict, refuse_without_effect
from vireid_cli.types import Batch


class Options(Strict):
    """Options of HcTri; the defaults are the values for SYSU-MM01.

    Attributes:
        separate: Number of first stages, counted from the stem, with a copy per modality: stem and layer 1.
        parts: Number of horizontal stripes.
        features: Size of a stripe's embedding.
        gem_power: p of the generalised mean, not learned: 3 on SYSU-MM01, 10 on RegDB.
        gem_form: ``paper`` clamps the features, ``released`` adds a constant to the mean as the released
            code does; see ``layers.pooling.generalised_mean``.
        identity_weight: Factor on the sum of the stripes' cross-entropies.
        label_smoothing: Share of the target distribution that is spread evenly over all identities, in [0,
            1); 0.1 on RegDB.
        joined_weight: Factor on the hetero-centre triplet loss of the concatenated embedding.
        stripe_weight: Factor on the sum of the stripes' hetero-centre triplet losses: 1 on SYSU-MM01, 2 on
            RegDB.
        margin: Margin of both triplet losses, a Euclidean distance.
    """

    separate: Annotated[int, Field(ge=0, le=5)] = 2
    parts: Annotated[int, Field(ge=1)] = 6
    features: Annotated[int, Field(ge=1)] = 256
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    gem_form: GemForm = "paper"
    identity_weight: Weight = 1.0
    label_smoothing: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    joined_weight: Weight = 1.0
    stripe_weight: Weight = 1.0
    margin: Margin = 0.3

    @model_validator(mode="after")
    def _check_losses(self) -> Options:
        if not (self.identity_weight or self.joined_weight or self.stripe_weight):
            raise ValueError(
                "all losses are off: set identity_weight, joined_weight or stripe_weight above 0"
            )
        if self.label_smoothing and not self.identity_weight:
            raise ValueError(
                "label_smoothing has no effect while identity_weight is 0: remove it or raise the weight"
            )
        metric = self.joined_weight or self.stripe_weight
        refuse_without_effect(self, (not metric, "joined_weight and stripe_weight are 0", ("margin",)))
        return self


class HcTri(GatheredNetwork):
    """A trunk with separate first stages, and a head per stripe.

    Args:
        options: Options of the method.
        num_identities: Width of the classifiers.
        backbone: Specification of the trunk.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        separate: tuple[Stage, ...] = STAGES[: options.separate]
        self.trunk = TwoStream(backbone, separate=separate)
        inputs = self.trunk.channels["layer4"]
        identities = num_identities if options.identity_weight else 0
        self.heads = ChunkHeads(options.parts, inputs, options.features, identities, dropout=0.0)
        # Kaiming normal with fan_in, as for a 1×1 convolution.
        nn.init.normal_(self.heads.weight, std=(2.0 / inputs) ** 0.5)

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``pooled`` stripes, (2B, D, parts)."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        images = self.normalise(pixels, masks, batch.erase)
        return {"pooled": self._pooled(images, batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``identity``, ``joined`` and ``stripe`` losses of a P×K batch."""
        options, stripes = self.options, self._stripes(features["pooled"])
        terms: dict[str, Tensor] = {}
        if options.identity_weight:
            logits = self.heads.classify(stripes)  # (parts, 2B, C)
            loss = identity_loss(logits, labels.repeat(2), options.label_smoothing)
            terms["identity"] = options.identity_weight * loss
        if options.joined_weight:
            loss = hetero_center_triplet(_joined(stripes), labels, options.margin)
            terms["joined"] = options.joined_weight * loss
        if options.stripe_weight:
            loss = hetero_center_triplet(stripes, labels, options.margin)
            terms["stripe"] = options.stripe_weight * loss
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels: (N, parts · features) rows of unit length."""
        stripes = self._stripes(self._pooled(self.normalise(images), modality))
        return F.normalize(_joined(stripes).float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Heads at the full learning rate, the trunk in the backbone's group."""
        return [
            ParameterGroup(BACKBONE, trainable(self.trunk)),
            ParameterGroup("heads", trainable(self.heads)),
        ]

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        """Pooled stripes, (N, D, parts)."""
        features = self.trunk(images, streams)  # (N, D, h, w)
        options = self.options
        return generalised_mean_stripes(features, options.parts, options.gem_power, options.gem_form)

    def _stripes(self, pooled: Tensor) -> Tensor:
        """Embeddings of pooled stripes, (N, D, parts) → (parts, N, features)."""
        return self.heads.embed(pooled).relu()


def _joined(stripes: Tensor) -> Tensor:
    """Concatenate the stripes: (parts, N, features) → (N, parts · features)."""
    return stripes.transpose(0, 1).flatten(1)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> HcTri:
    """HcTri's network."""
    return HcTri(options, num_identities, backbone)
