"""SEPG-Net's network: a shared trunk, its map cut into gated chunks, and a layer 4 per modality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.frequency.products import real
from vireid_cli.frequency.seg import grey_image, released_image, seg_image
from vireid_cli.layers.choice import Choice, choose
from vireid_cli.layers.chunk_head import ChunkHeads, ModalityHeads
from vireid_cli.layers.pixels import Normalise, both_masks
from vireid_cli.layers.pooling import global_average, stripes
from vireid_cli.losses.center import cross_center, hetero_center
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.paba import paba
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, GatheredNetwork, ParameterGroup, trainable
from vireid_cli.methods.sepg.options import Options
from vireid_cli.types import Batch
from vireid_cli.unit_rows import unit


class SepgNet(GatheredNetwork):
    """Shared trunk to layer 3, a layer 4 per modality, heads of chunks and of the specific maps.

    Parts without a loss are not built.

    Args:
        options: Options of the method.
        num_identities: Width of the classifiers.
        backbone: Specification of the trunk, a ResNet. The gate needs a layer 4 of stride 1.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        self._seg = options.seg.model_dump(exclude={"mode", "at_test"})
        self._paba_options = options.paba.model_dump(exclude={"weight", "feature"})
        self._aligned: Tensor | None = None  # features of PABA in the last training step, without gradient
        self.has_specific = options.specific_weight > 0.0
        self.has_layer4 = options.gate or self.has_specific
        stages = STAGES if self.has_layer4 else STAGES[:-1]
        self.trunk = TwoStream(backbone, separate=("layer4",), stages=stages)
        if options.trains_chunks:
            self.chunk_heads = ChunkHeads(
                options.chunks.n,
                self.trunk.channels["layer3"],
                options.chunks.features,
                num_identities if options.chunk_weight else 0,
                options.chunks.dropout,
            )
        if self.has_specific:
            sizes = (self.trunk.channels["layer4"], options.chunks.features, num_identities)
            self.specific_heads = ModalityHeads(*sizes, options.chunks.dropout)

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute pooled ``chunks`` (2B, C, n), and the ``specific`` map (2B, D) if it has a loss."""
        count = batch.visible.shape[0]
        shared, specific = self.maps(self.inputs(batch), count, specific=self.has_layer4)
        features = {"chunks": stripes(shared, self.options.chunks.n)}
        if specific is not None and self.has_specific:
            features["specific"] = global_average(specific)
        return features

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``specific``, ``paba``, ``chunk``, ``cc``, ``hc`` and ``aux_triplet`` losses.

        The total of the paper is λ1 L_ID^spec + λ2 L_PABA + λ3 Σ_i L_ID^chunk(i), with (1, 2.5, 1).
        """
        terms = self._chunk_losses(features["chunks"], labels)
        if "specific" in features:
            logits = self.specific_heads.logits(features["specific"], len(labels))  # (2B, C)
            terms["specific"] = self.options.specific_weight * identity_loss(logits, labels.repeat(2))
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels: (N, D) rows of unit length; D is 12 × 512 in the paper's setting."""
        if self.options.seg.at_test:
            plain = images
            images = choose(modality, lambda: self._enhanced(plain), lambda: plain)
        specialised = "specific" in self.options.embed.parts
        shared, specific = self.maps(self.normalise(images), modality, specific=specialised)
        blocks: list[Tensor] = []  # (parts, N, features) each
        if "chunks" in self.options.embed.parts:
            blocks.append(self.chunk_heads.embed(stripes(shared, self.options.chunks.n)))
        if "specific" in self.options.embed.parts and specific is not None:
            blocks.append(self.specific_heads.embed(global_average(specific), modality))
        embeddings = torch.cat(blocks).float()  # (parts, N, features)
        if self.options.embed.norm == "block":
            embeddings = F.normalize(embeddings, dim=-1)
        return F.normalize(embeddings.transpose(0, 1).flatten(1), dim=1)  # (N, parts·features)

    def monitors(self) -> dict[str, Tensor]:
        """``paba.cosine``: mean cosine between a visible and an infrared chunk, over all pairs of the batch.

        A value of −1 means that the features of the two modalities are opposite, a degenerate minimum of PABA
        (docs/methods.md#paba).
        """
        if self._aligned is None:
            return {}
        visible, infrared = self._aligned.unflatten(1, (2, -1)).mean(2).unbind(1)  # (n, D)
        return {"paba.cosine": (visible * infrared).sum(-1).mean()}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Heads at the full rate, the trunk in the backbone's group (0.03 and 0.003 in the paper)."""
        backbone = {id(parameter) for parameter in self.trunk.parameters()}
        heads = [parameter for parameter in trainable(self) if id(parameter) not in backbone]
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", heads)]

    def inputs(self, batch: Batch) -> Tensor:
        """Network input of both modalities, (2B, 3, H, W): SEG, then erase, then normalise."""
        images = torch.cat([self._enhanced(batch.visible), batch.infrared])
        normalised = self.normalise(images, both_masks(batch), batch.erase)
        if self.options.seg.mode != "released":
            return normalised
        # The released code takes erased and normalised images from its loader.
        count = batch.visible.shape[0]
        return torch.cat([released_image(normalised[:count]), normalised[count:]])

    def _enhanced(self, visible: Tensor) -> Tensor:
        seg = self.options.seg
        if seg.mode == "gray_only":
            return grey_image(visible)
        if seg.mode != "paper":
            return visible
        return seg_image(visible, **self._seg)

    def maps(self, images: Tensor, streams: Streams, specific: bool) -> tuple[Tensor, Tensor | None]:
        """The shared map after layer 3, gated, and the specific map after layer 4.

        Layer 4 runs with the gate or if ``specific``; otherwise the specific map is None.
        """
        for stage in STAGES[:-1]:
            images = self.trunk.run(stage, images, streams)
        if not (specific or self.options.gate):
            return images, None
        own = self.trunk.run("layer4", images, streams)  # (N, D, h, w)
        if self.options.gate:
            images = images * own.mean(dim=1, keepdim=True).sigmoid()
        return images, own

    def _chunk_losses(self, pooled: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute all losses on chunks. ``pooled`` is (2B, C, n), visible first."""
        options = self.options
        terms: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}
        if options.aligns("pooled"):
            features["pooled"] = unit(real(pooled.permute(2, 0, 1)))  # (n, 2B, C)
        if options.trains_chunks:
            embeddings = self.chunk_heads.embed(pooled)  # (n, 2B, features)
            dropped = self.chunk_heads.dropout(embeddings)
            if options.chunk_weight:
                loss = identity_loss(self.chunk_heads.classify(dropped), labels.repeat(2))
                terms["chunk"] = options.chunk_weight * loss
            if options.pulls_embeddings:
                metric = dropped if options.chunks.metric_feature == "after_dropout" else embeddings
                features["embedding"] = unit(real(metric))
        return terms | self._metric_losses(features, labels)

    def _metric_losses(self, features: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute metric losses on unit features ``pooled`` or ``embedding``: (n, 2B, D), visible first."""
        options = self.options
        terms: dict[str, Tensor] = {}
        if options.paba.weight:
            aligned = features[options.paba.feature]
            self._aligned = aligned.detach() if self.training else None
            terms["paba"] = options.paba.weight * paba(aligned, labels, **self._paba_options)
        if options.cc.weight:
            loss = cross_center(features["embedding"], labels, options.cc.margin, options.cc.centre_gap)
            terms["cc"] = options.cc.weight * loss
        if options.hc.weight:
            loss = hetero_center(features[options.hc.feature], labels, options.hc.margin)
            terms["hc"] = options.hc.weight * loss
        if options.aux_triplet.weight:
            both, margin = labels.repeat(2), options.aux_triplet.margin
            terms["aux_triplet"] = options.aux_triplet.weight * batch_hard_triplet(
                features["embedding"], both, margin
            )
        return terms
