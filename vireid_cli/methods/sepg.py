"""SEPG-Net: spectral enhancement and part-based bidirectional alignment (METHODS 2).

The visible image becomes its SEG image (grey level plus phase); one stem and layers 1–3 serve both
modalities; each modality has its own layer 4, which learns from an identity loss of its own and gates
the shared map; the shared map is cut into 12 horizontal chunks with a head each; PABA aligns the chunks
of the two modalities. Where the paper and its released code differ, or the paper is silent, a switch
says so; the defaults are the paper's, and what it leaves open is marked as our reading.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.two_stream import STAGES, BackboneSpec, Streams, TwoStream
from vireid_cli.errors import UsageError
from vireid_cli.frequency.seg import grey_image, released_image, seg_image
from vireid_cli.layers.chunk_head import ChunkHeads, ModalityHeads
from vireid_cli.layers.pixels import Normalise, both_masks
from vireid_cli.layers.pooling import global_average, stripes
from vireid_cli.losses.center import cross_center, hetero_center
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.paba import paba
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, ParameterGroup, Weight, trainable
from vireid_cli.recipe.schema import Number, Probability, Strict, bare_off
from vireid_cli.types import Batch, Modality


class Seg(Strict):
    """What replaces the visible image (METHODS 2.2).

    Attributes:
        mode: ``paper``: grey level plus phase image; ``gray_only``: the grey level; ``off``: the image
            itself; ``released``: what the public code computes, which depends on the whole batch.
        amplitude, phase_source, abs, weight, clip: See ``frequency.seg.seg_image``; an amplitude of
            ``mean`` is our reading.
        at_test: Also when embedding; the released code forgets it there.
    """

    mode: Annotated[Literal["paper", "released", "gray_only", "off"], BeforeValidator(bare_off)] = "paper"
    amplitude: Literal["mean", "unit", "one_over_rms"] = "mean"
    phase_source: Literal["rgb", "gray"] = "rgb"
    abs: bool = False
    weight: Number = 1.0
    clip: bool = True
    at_test: bool = True

    @model_validator(mode="after")
    def _released_never_at_test(self) -> Seg:
        if self.mode == "released" and self.at_test:
            raise ValueError("mode 'released' needs at_test: false, because it mixes the images of a batch")
        return self

    @model_validator(mode="after")
    def _only_a_phase_image_has_them(self) -> Seg:
        chosen = [key for key in ("amplitude", "phase_source", "abs", "weight", "clip") if self._differs(key)]
        if self.mode != "paper" and chosen:
            raise ValueError(f"mode '{self.mode}' has no phase image: leave {', '.join(chosen)} out")
        return self

    def _differs(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].default)


class Chunks(Strict):
    """The n horizontal parts, their heads of ``features`` outputs, and the dropout before classifiers.

    Attributes:
        metric_feature: Metric losses see the embedding before dropout (our choice), or after it (the
            released code).
    """

    n: Annotated[int, Field(ge=1)] = 12
    features: Annotated[int, Field(ge=1)] = 512
    dropout: Probability = 0.5
    metric_feature: Literal["before_dropout", "after_dropout"] = "before_dropout"


class Paba(Strict):
    """Part-based bidirectional alignment, λ2 = ``weight`` (Eq. 7–8, METHODS 2.4); see ``losses.paba``.

    Attributes:
        feature: The chunk's normalised embedding, or its normalised pooled feature.
    """

    weight: Weight = 2.5
    margin: Weight = 0.5
    dist: Literal["l2", "l2sq", "cos"] = "l2"
    negative: Literal["sample", "centre"] = "sample"
    anchor_grad: bool = True
    feature: Literal["embedding", "pooled"] = "embedding"


class HeteroCenter(Strict):
    """Hetero-centre loss on chunks: what the paper cites for its CC row; off in the full method."""

    weight: Weight = 0.0
    margin: Weight = 0.0


class CrossCenter(HeteroCenter):
    """Cross-centre loss on chunks: in the released code (weight 2.5) in the place of PABA.

    Attributes:
        centre_gap: Factor of the added ||c_v − c_n||²; 0.5 in the released code.
    """

    centre_gap: Weight = 0.5


class AuxTriplet(Strict):
    """Batch-hard triplet loss on chunks: in the released code (weight 1), not in the paper."""

    weight: Weight = 0.0
    margin: Weight = 0.3


class Embed(Strict):
    """The test embedding; the paper is silent, the defaults are the released code's (METHODS 2.1).

    Attributes:
        parts: Chunk embeddings, the modality's specific embedding, or both.
        norm: Unit length for each block before they are joined (the product is then the mean of the
            blocks' cosines), or for the whole only.
    """

    parts: Literal["chunks", "specific", "chunks+specific"] = "chunks"
    norm: Literal["block", "whole"] = "block"


class Options(Strict):
    """Knobs of SEPG-Net; defaults are the paper's.

    Attributes:
        gate: Multiply the shared map by the sigmoid of the mean channel of the modality's layer 4, as
            the released code does; without it layer 4 has no part in the test embedding.
        chunk_weight: λ3, factor on the sum of the chunks' identity losses.
        specific_weight: λ1, factor on the identity loss of the specific branches (2 when released).
    """

    seg: Seg = Seg()
    gate: bool = True
    chunks: Chunks = Chunks()
    chunk_weight: Weight = 1.0
    specific_weight: Weight = 1.0
    paba: Paba = Paba()
    cc: CrossCenter = CrossCenter()
    hc: HeteroCenter = HeteroCenter()
    aux_triplet: AuxTriplet = AuxTriplet()
    embed: Embed = Embed()

    @property
    def trains_chunks(self) -> bool:
        """Whether any loss reaches the chunk heads."""
        aligned = self.paba.weight > 0.0 and self.paba.feature == "embedding"
        return aligned or any((self.chunk_weight, self.cc.weight, self.hc.weight, self.aux_triplet.weight))

    @model_validator(mode="after")
    def _what_is_embedded_is_trained(self) -> Options:
        if "chunks" in self.embed.parts and not self.trains_chunks:
            raise ValueError("embed.parts holds 'chunks', but no loss reaches the chunk heads")
        if "specific" in self.embed.parts and not self.specific_weight:
            raise ValueError("embed.parts holds 'specific', but specific_weight is 0")
        return self


class SepgNet(nn.Module):
    """Shared trunk to layer 3, a layer 4 a modality, chunk and specific heads; no part without a loss."""

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
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

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted ``specific``, ``paba``, ``chunk``, ``cc``, ``hc`` and ``aux_triplet`` losses.

        The total of the paper is λ1 L_ID^spec + λ2 L_PABA + λ3 Σ_i L_ID^chunk(i), with (1, 2.5, 1).
        """
        count = batch.visible.shape[0]
        shared, specific = self._maps(self._inputs(batch), count)
        pooled = stripes(shared, self.options.chunks.n)  # (2B, C, n)
        terms = self._chunk_losses(pooled, batch.labels)
        if specific is not None and self.has_specific:
            logits = self.specific_heads.logits(global_average(specific), count)  # (2B, C)
            terms["specific"] = self.options.specific_weight * identity_loss(logits, batch.labels.repeat(2))
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels → (N, D) of unit length: 12 × 512 in the paper's setting."""
        if modality is Modality.VISIBLE and self.options.seg.at_test:
            images = self._enhanced(images)
        shared, specific = self._maps(self.normalise(images), modality)
        blocks: list[Tensor] = []  # (parts, N, features) each
        if "chunks" in self.options.embed.parts:
            blocks.append(self.chunk_heads.embed(stripes(shared, self.options.chunks.n)))
        if "specific" in self.options.embed.parts and specific is not None:
            blocks.append(self.specific_heads.embed(global_average(specific), modality))
        embeddings = torch.cat(blocks).float()  # (parts, N, features)
        if self.options.embed.norm == "block":
            embeddings = F.normalize(embeddings, dim=-1)
        return F.normalize(embeddings.transpose(0, 1).flatten(1), dim=1)  # (N, parts·features)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Heads at the full learning rate, the trunk with the backbone's (0.03 and 0.003 in the paper)."""
        backbone = {id(parameter) for parameter in self.trunk.parameters()}
        heads = [parameter for parameter in trainable(self) if id(parameter) not in backbone]
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", heads)]

    def _inputs(self, batch: Batch) -> Tensor:
        """Network input of both modalities: SEG, then erase, then normalise; (2B, 3, H, W)."""
        images = torch.cat([self._enhanced(batch.visible), batch.infrared])
        normalised = self.normalise(images, both_masks(batch), batch.erase)
        if self.options.seg.mode != "released":
            return normalised
        # The released code works on what its loader hands over: erased and normalised.
        count = batch.visible.shape[0]
        return torch.cat([released_image(normalised[:count]), normalised[count:]])

    def _enhanced(self, visible: Tensor) -> Tensor:
        seg = self.options.seg
        if seg.mode == "gray_only":
            return grey_image(visible)
        if seg.mode != "paper":
            return visible
        return seg_image(visible, **seg.model_dump(exclude={"mode", "at_test"}))

    def _maps(self, images: Tensor, streams: Streams) -> tuple[Tensor, Tensor | None]:
        """The shared map after layer 3, gated, and the specific map after layer 4, if there is one."""
        for stage in STAGES[:-1]:
            images = self.trunk.run(stage, images, streams)
        if not self.has_layer4:
            return images, None
        specific = self.trunk.run("layer4", images, streams)  # (N, D, h, w)
        if self.options.gate:
            images = images * specific.mean(dim=1, keepdim=True).sigmoid()
        return images, specific

    def _chunk_losses(self, pooled: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """All terms on chunks; ``pooled`` is (2B, C, n), visible first."""
        options = self.options
        terms: dict[str, Tensor] = {}
        metric = pooled.permute(2, 0, 1)  # (n, 2B, C)
        if options.trains_chunks:
            embeddings = self.chunk_heads.embed(pooled)  # (n, 2B, features)
            dropped = self.chunk_heads.dropout(embeddings)
            if options.chunk_weight:
                loss = identity_loss(self.chunk_heads.classify(dropped), labels.repeat(2))
                terms["chunk"] = options.chunk_weight * loss
            metric = dropped if options.chunks.metric_feature == "after_dropout" else embeddings
        metric = F.normalize(metric.float(), dim=-1)
        if options.paba.weight:
            terms["paba"] = options.paba.weight * self._paba(pooled, metric, labels)
        if options.cc.weight:
            loss = cross_center(metric, labels, options.cc.margin, options.cc.centre_gap)
            terms["cc"] = options.cc.weight * loss
        if options.hc.weight:
            terms["hc"] = options.hc.weight * hetero_center(metric, labels, options.hc.margin)
        if options.aux_triplet.weight:
            loss = batch_hard_triplet(metric, labels.repeat(2), options.aux_triplet.margin)
            terms["aux_triplet"] = options.aux_triplet.weight * loss
        return terms

    def _paba(self, pooled: Tensor, metric: Tensor, labels: Tensor) -> Tensor:
        options = self.options.paba
        if options.feature == "pooled":
            metric = F.normalize(pooled.permute(2, 0, 1).float(), dim=-1)  # (n, 2B, C)
        return paba(metric, labels, **options.model_dump(exclude={"weight", "feature"}))


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> SepgNet:
    """SEPG-Net's network.

    Raises:
        UsageError: The gate needs a layer 4 of stride 1.
    """
    if options.gate and backbone.last_stride != 1:
        raise UsageError(
            "method.options.gate: layer 4 gates the map of layer 3, so both must have one size.",
            "--set backbone.last_stride=1, or --set method.options.gate=false",
        )
    return SepgNet(options, num_identities, backbone)
