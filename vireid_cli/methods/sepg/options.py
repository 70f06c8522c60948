"""Options of SEPG-Net: a switch for each point that the paper leaves open or its code does differently."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.methods import Margin, Weight
from vireid_cli.recipe.strict import Number, Probability, Strict, bare_off, refuse_without_effect

Feature = Literal["pooled", "embedding"]
"""Feature of a chunk: the pooled feature, or the embedding of the chunk's head."""


class Seg(Strict):
    """Replacement of the visible image (docs/methods.md#seg).

    Attributes:
        mode: ``paper`` is the grey level plus the phase image, ``gray_only`` the grey level, ``off`` the
            unchanged image, ``released`` the image of the public code, which depends on the whole batch.
        amplitude, phase_source, abs, weight, clip: See ``frequency.seg.seg_image``. The amplitude ``mean``
            is our reading.
        at_test: Whether embedding replaces the image too; the released code omits this.
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
    def _keys_act(self) -> Seg:
        phase = ("amplitude", "phase_source", "abs", "clip")
        refuse_without_effect(
            self,
            (self.mode != "paper", f"mode '{self.mode}' has no phase image", (*phase, "weight")),
            (self.mode == "paper" and not self.weight, "weight is 0", phase),
            (self.mode == "off", "mode is 'off'", ("at_test",)),
        )
        return self


class Chunks(Strict):
    """The horizontal chunks and their heads.

    Attributes:
        n: Number of chunks.
        features: Number of outputs of each chunk's head.
        dropout: Probability that a value is dropped before a classifier.
        metric_feature: Input of the metric losses: the embedding before dropout (our choice), or after it
            (released code).
    """

    n: Annotated[int, Field(ge=1)] = 12
    features: Annotated[int, Field(ge=1)] = 512
    dropout: Probability = 0.5
    metric_feature: Literal["before_dropout", "after_dropout"] = "before_dropout"


class Paba(Strict):
    """Pseudo Anchor-guided Bidirectional Aggregation (Eq. 7–8); see ``losses.paba``.

    Attributes:
        weight: λ2, factor on the loss.
        margin: Margin in the unit of the distance; 0.5 in the paper, for ``l2``.
        dist: Euclidean distance, its square, or the cosine distance.
        negative: Nearest sample, or nearest centre, of another identity in the other modality.
        anchor_grad: Whether the anchor, a centre, has a gradient.
        feature: The chunk's normalised pooled feature, as in the paper's equations, or the normalised
            embedding of its head (docs/methods.md#paba).
    """

    weight: Weight = 2.5
    margin: Margin = 0.5
    dist: Literal["l2", "l2sq", "cos"] = "l2"
    negative: Literal["sample", "centre"] = "sample"
    anchor_grad: bool = True
    feature: Feature = "pooled"


class HeteroCenter(Strict):
    """Hetero-centre loss on chunks, the paper's CC row; off in the full method.

    Attributes:
        weight: Factor on the loss; 0 switches it off.
        margin: Squared distance of two centres up to which the loss is 0.
        feature: The chunk's normalised pooled feature, or the normalised embedding of its head.
    """

    weight: Weight = 0.0
    margin: Margin = 0.0
    feature: Feature = "pooled"


class CrossCenter(Strict):
    """Cross-centre loss on chunk embeddings; the released code uses it (weight 2.5) instead of PABA.

    Attributes:
        weight: Factor on the loss; 0 switches it off.
        margin: Squared distance up to which the loss is 0.
        centre_gap: Factor on the added ||c_v − c_n||²; 0.5 in the released code.
    """

    weight: Weight = 0.0
    margin: Margin = 0.0
    centre_gap: Margin = 0.5


class AuxTriplet(Strict):
    """Batch-hard triplet loss on chunks; part of the released code, not of the paper.

    Attributes:
        weight: Factor on the loss; 1 in the released code, 0 switches it off.
        margin: Margin of the loss, a Euclidean distance.
    """

    weight: Weight = 0.0
    margin: Margin = 0.3


class Embed(Strict):
    """The test embedding. The paper does not define it; the defaults are the released code's.

    Attributes:
        parts: Chunk embeddings, the modality's specific embedding, or both.
        norm: Scale each block to unit length before concatenation, so that inner products are means of the
            blocks' cosines, or only the whole embedding.
    """

    parts: Literal["chunks", "specific", "chunks+specific"] = "chunks"
    norm: Literal["block", "whole"] = "block"


class Options(Strict):
    """Options of SEPG-Net; the defaults are the paper's.

    Attributes:
        gate: Multiply the shared map by the sigmoid of the channel mean of the modality's layer 4. The
            released code does this, the paper does not. Without the gate the test embedding does not
            depend on layer 4.
        chunk_weight: λ3, factor on the sum of the chunks' identity losses.
        specific_weight: λ1, factor on the identity loss of the specific branches (2 when released).
    """

    seg: Seg = Seg()
    gate: bool = False
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
        return self.pulls_embeddings or self.chunk_weight > 0.0

    @property
    def pulls_embeddings(self) -> bool:
        """Whether a metric loss acts on the embeddings of the chunk heads."""
        return self.aligns("embedding") or any((self.cc.weight, self.aux_triplet.weight))

    def aligns(self, feature: Feature) -> bool:
        """Whether PABA or the hetero-centre loss acts on this feature of the chunks."""
        return any(term.weight > 0.0 and term.feature == feature for term in (self.paba, self.hc))

    @model_validator(mode="after")
    def _check_trained_embedding(self) -> Options:
        if "chunks" in self.embed.parts and not self.trains_chunks:
            raise ValueError("embed.parts holds 'chunks', but no loss reaches the chunk heads")
        if "specific" in self.embed.parts and not self.specific_weight:
            raise ValueError("embed.parts holds 'specific', but specific_weight is 0")
        return self

    @model_validator(mode="after")
    def _keys_act(self) -> Options:
        pulled = self.pulls_embeddings
        after = pulled and self.chunks.metric_feature == "after_dropout"
        dropped = after or any((self.chunk_weight, self.specific_weight))
        chunks = self.trains_chunks or any((self.paba.weight, self.hc.weight))
        single = self.embed.parts == "specific" or (self.embed.parts == "chunks" and self.chunks.n == 1)
        paba = ("paba.margin", "paba.dist", "paba.negative", "paba.anchor_grad", "paba.feature")
        refuse_without_effect(
            self,
            (not self.paba.weight, "paba.weight is 0", paba),
            (not self.cc.weight, "cc.weight is 0", ("cc.margin", "cc.centre_gap")),
            (not self.hc.weight, "hc.weight is 0", ("hc.margin", "hc.feature")),
            (not self.aux_triplet.weight, "aux_triplet.weight is 0", ("aux_triplet.margin",)),
            (not pulled, "no metric loss is on the chunks' embeddings", ("chunks.metric_feature",)),
            (not self.chunks.dropout, "chunks.dropout is 0", ("chunks.metric_feature",)),
            (not dropped, "chunk_weight and specific_weight are 0", ("chunks.dropout",)),
            (not chunks, "no loss is on the chunks", ("chunks.n", "gate")),
            (single, "one block is embedded", ("embed.norm",)),
        )
        return self
