"""Options of D-SELACFP: a switch for each reading, because the paper has no equations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.layers.imfpe import Align
from vireid_cli.losses.consistency import Sign
from vireid_cli.methods import Margin, Weight
from vireid_cli.recipe.strict import Number, Strict, as_tuple, bare_off, refuse_without_effect

Place = Literal["layer1", "layer2", "layer3", "layer4"]


class LamOptions(Strict):
    """Local attention.

    Attributes:
        before: Stages that local attention precedes. Empty switches it off. The paper states layers 2 and 3
            for RegDB; the same for SYSU-MM01 is our reading.
        parts: Number of horizontal parts; not stated in the paper.
        freq, dc_norm: FcaNet's frequencies and the scale of their DC term, for ``descriptor``; see
            ``frequency.dct.part_descriptors``.
        residual: y = x + attended x.
        kind: Channel attention from a DCT descriptor, or a learned mask between DCT and inverse DCT, another
            reading of the paper's "reconstruction"; see ``frequency.lam``.
    """

    before: Annotated[tuple[Place, ...], BeforeValidator(as_tuple)] = ("layer2", "layer3")
    parts: Annotated[int, Field(ge=1)] = 4
    freq: Literal["top16", "low16", "top1"] = "top16"
    dc_norm: bool = True
    residual: bool = False
    kind: Literal["descriptor", "idct"] = "descriptor"

    @model_validator(mode="after")
    def _switches_act(self) -> LamOptions:
        if len(set(self.before)) != len(self.before):
            raise ValueError("lam.before lists a stage twice")
        idle = ("parts", "freq", "dc_norm", "residual", "kind")
        refuse_without_effect(self, (not self.before, "before is empty", idle))
        if self.kind == "idct" and (self.freq, self.dc_norm) != ("top16", True):
            raise ValueError("kind 'idct' weighs all frequencies: remove freq and dc_norm")
        return self


class ImfpeOptions(Strict):
    """Cross-scale extraction and guided feature; see ``layers.imfpe``.

    Attributes:
        on: Whether cross-scale features are used.
        low, high: Stages of the shallow and the deep map. We read "between layer2 and layer3" as the maps of
            these two stages. The other reading, a module between the stages, uses layer1 and layer2. BGNet,
            the source of these modules, uses layers 1 and 4.
        align: The deep map upsampled, or the shallow one max-pooled.
        residual: Whether the deep map is added to its guided form.
        nl: "Multi-granularity non-local fusion" of the paper's abstract and conclusion: AGW's block on the
            guided map, or none.
    """

    on: bool = True
    low: Literal["layer1", "layer2", "layer3"] = "layer2"
    high: Literal["layer2", "layer3", "layer4"] = "layer3"
    align: Align = "up"
    residual: bool = True
    nl: Annotated[Literal["off", "after_imfpe"], BeforeValidator(bare_off)] = "after_imfpe"

    @model_validator(mode="after")
    def _low_comes_first(self) -> ImfpeOptions:
        if self.low >= self.high:
            raise ValueError(f"low must be a stage before high, not {self.low} and {self.high}")
        if not self.on and self != ImfpeOptions.model_construct(on=False):
            raise ValueError(
                "imfpe.on is false, and the other keys of imfpe have no effect while it is off: remove them"
            )
        return self


class SpecificOptions(Strict):
    """The specific branch, one for both modalities; only the losses use it.

    Attributes:
        on: Whether the network has the branch.
        first: First stage of the branch, a copy of the shared stage. ``layer3`` splits after layer2 as IDKL.
        purify: "Modal purification restorer": IDKL's masks, instance normalisation with restitution, or
            none; see ``layers.purifier``.
    """

    on: bool = True
    first: Literal["layer3", "layer4"] = "layer3"
    purify: Literal["idkl", "restitute", "none"] = "idkl"


class PurityOptions(Strict):
    """Losses on the masks of ``purify: idkl``; see ``losses.purification``.

    Attributes:
        entropy: Weight of the entropy gain.
        centroid: Weight of the centre gap.
        form: Gap relative to the gap before purification, or the literal difference, which has no gradient
            at the start.
    """

    entropy: Weight = 0.1
    centroid: Weight = 0.1
    form: Literal["normalised", "literal"] = "normalised"


class ModalityOptions(Strict):
    """Heads that classify the modality, part of the "modal consistency guider".

    Attributes:
        specific: Weight of the specific branch's head, trained on the true modality.
        shared: Weight of the shared branch's head.
        target: Training target of the shared head: labels with one half flipped, or equal shares of both
            modalities, the expectation of the former.
    """

    specific: Weight = 1.0
    shared: Weight = 1.0
    target: Literal["half", "even"] = "half"


class GraphOptions(Strict):
    """Consistency of distance graphs; see ``losses.consistency.distance_graph``.

    Attributes:
        intra: Weight between the modalities, in the shared branch.
        inter: Weight between the branches, in each modality.
        sign: Softmax over distances, as released, or over negated distances.
        normalize: Whether rows are scaled to unit length before their distances.
        cross: ``idkl`` also compares with a graph of the first half of the visible rows and the first half of
            the infrared rows; its rows do not match the other graphs by identity. ``off`` omits this.
    """

    intra: Weight = 1.0
    inter: Weight = 0.6
    sign: Sign = "far"
    normalize: bool = False
    cross: Annotated[Literal["off", "idkl"], BeforeValidator(bare_off)] = "off"


class LogitOptions(Strict):
    """Consistency of class posteriors.

    Attributes:
        intra: Weight between the modalities, in the shared branch.
        inter: Weight between the branches, in each modality.
    """

    intra: Weight = 1.0
    inter: Weight = 0.8


class ConsistencyOptions(Strict):
    """The "modal consistency guider" in IDKL's form; see ``losses.consistency``.

    Attributes:
        graph: Consistency of the distances between the samples of a modality.
        logit: Consistency of each sample's class posterior.
        slot: Consistency of the posteriors of one sample per identity, normalised together.
        detach: ``specific`` stops the gradient of the inter terms at the specific branch.
    """

    graph: GraphOptions = GraphOptions()
    logit: LogitOptions = LogitOptions()
    slot: LogitOptions = LogitOptions()
    detach: Literal["none", "specific"] = "none"


class HcTriOptions(Strict):
    """Hetero-centre triplet loss on each branch's pooled feature.

    Attributes:
        weight: Factor on the loss.
        margin: Margin of the loss, a Euclidean distance.
    """

    weight: Weight = 1.0
    margin: Margin = 0.3


class OrtOptions(Strict):
    """Orthogonal loss; the paper does not define its two operands.

    Attributes:
        kind: ``cosine`` is the squared cosine of shared and specific feature (our reading), ``deen`` their
            inner product, to be weighted by 0.01, ``weights`` acts on the rows of both classifiers.
        on: Features that are compared: pooled features, which are never negative, so that orthogonal
            features have disjoint channels, or features after the necks.
        weight: λ_o, factor on the loss.
    """

    kind: Literal["cosine", "deen", "weights"] = "cosine"
    on: Literal["pooled", "neck"] = "pooled"
    weight: Weight = 0.1


class Options(Strict):
    """Options of D-SELACFP.

    Attributes:
        last: Last stage of the trunk. ``layer3``, for RegDB, is the stage that both branches copy.
        lam: Local attention.
        imfpe: Cross-scale features.
        specific: The specific branch and its purification.
        purity: Losses on the purification.
        modality: Heads that classify the modality.
        consistency: Consistency of modalities and branches.
        gem_power: p of the generalised mean at the start; each branch learns its own.
        identity_weight: Factor on the cross-entropy of each branch.
        hctri: Hetero-centre triplet loss.
        ort: Orthogonal loss.
        embed: Feature that is the embedding: the shared feature after its neck, or before it.
    """

    last: Literal["layer3", "layer4"] = "layer4"
    lam: LamOptions = LamOptions()
    imfpe: ImfpeOptions = ImfpeOptions()
    specific: SpecificOptions = SpecificOptions()
    purity: PurityOptions = PurityOptions()
    modality: ModalityOptions = ModalityOptions()
    consistency: ConsistencyOptions = ConsistencyOptions()
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    hctri: HcTriOptions = HcTriOptions()
    ort: OrtOptions = OrtOptions()
    embed: Literal["neck", "pooled"] = "neck"

    @property
    def purity_on(self) -> bool:
        """Whether any loss acts on the purification."""
        return self.purity.entropy > 0.0 or self.purity.centroid > 0.0

    @property
    def restarts(self) -> bool:
        """Whether the specific branch needs new weights in its last block instead of an exact copy.

        cos² of two equal features is 1, a stationary point at which the orthogonal loss has no gradient.
        """
        features = self.ort.weight > 0.0 and self.ort.kind != "weights"
        return self.specific.on and self.specific.purify == "none" and features

    @model_validator(mode="after")
    def _stages_exist(self) -> Options:
        if any(place > self.last for place in self.lam.before):
            raise ValueError(f"lam.before lists a stage after {self.last}, the last one")
        if self.imfpe.on and self.imfpe.high > self.last:
            raise ValueError(f"imfpe.high is a stage after {self.last}, the last one")
        if self.specific.first > self.last:
            raise ValueError(f"specific.first is a stage after {self.last}, the last one")
        return self

    @model_validator(mode="after")
    def _terms_have_their_branch(self) -> Options:
        graph, logit, slot = self.consistency.graph, self.consistency.logit, self.consistency.slot
        between = {
            "ort.weight": self.ort.weight,
            "modality.specific": self.modality.specific,
            "consistency.graph.inter": graph.inter,
            "consistency.logit.inter": logit.inter,
            "consistency.slot.inter": slot.inter,
        }
        masks = {"purity.entropy": self.purity.entropy, "purity.centroid": self.purity.centroid}
        if not self.specific.on:
            _refuse_weights(between | masks, "need the specific branch, but specific.on is false")
        elif self.specific.purify != "idkl":
            _refuse_weights(masks, "act on the masks of specific.purify: idkl")
        return self

    @model_validator(mode="after")
    def _keys_act(self) -> Options:
        graph = self.consistency.graph
        inter = (graph.inter, self.consistency.logit.inter, self.consistency.slot.inter)
        refuse_without_effect(
            self,
            (not self.hctri.weight, "hctri.weight is 0", ("hctri.margin",)),
            (not self.ort.weight, "ort.weight is 0", ("ort.kind", "ort.on")),
            (self.ort.kind == "weights", "ort.kind is 'weights'", ("ort.on",)),
            (not self.specific.on, "specific is off", ("specific.first", "specific.purify")),
            (not self.purity.centroid, "purity.centroid is 0", ("purity.form",)),
            (not self.modality.shared, "modality.shared is 0", ("modality.target",)),
            (not graph.intra, "consistency.graph.intra is 0", ("consistency.graph.cross",)),
            (
                not graph.intra and not graph.inter,
                "consistency.graph has no weight",
                ("consistency.graph.sign", "consistency.graph.normalize"),
            ),
            (not any(inter), "all inter weights are 0", ("consistency.detach",)),
        )
        return self


def _refuse_weights(weights: dict[str, float], why: str) -> None:
    """Raise ``ValueError`` that lists the weights that are not 0."""
    wrong = [key for key, weight in weights.items() if weight]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} {why}: set them to 0")
