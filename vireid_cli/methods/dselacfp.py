"""D-SELACFP: local attention in the DCT domain, cross-scale features, a shared and a specific branch.

WJIMT 8(7) 2025, doi 10.53469/wjimt.2025.08(07).09 (METHODS 4). The paper has no equations, no ablation
and no code, so that most of what is written here is a reading of ours: where LAM and I-MFPE stand, the
number of parts, the specific branch as a second copy of the last stage, between what the orthogonal loss
acts, and the weights of the losses. Each is a switch. Its "modal purification restorer" and "modal
consistency guider" are named but nowhere described: they are left out. Its figures can't be expected to
come out of this text.
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal, cast

import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Stage, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.errors import UsageError
from vireid_cli.frequency.lam import lam
from vireid_cli.layers.imfpe import Imfpe, reduced_channels
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import GeneralisedMean
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.orthogonal import cosine_orthogonality, inner_products, weight_orthogonality
from vireid_cli.methods import BACKBONE, Fit, ParameterGroup, ReIdNetwork, Weight, trainable
from vireid_cli.recipe.strict import Number, Strict, as_tuple, bare_off, refuse_idle
from vireid_cli.types import Batch, Modality

FIT = Fit(ends_early=(("last", "layer3"),))

Place = Literal["layer1", "layer2", "layer3", "layer4"]


class Lam(Strict):
    """Local attention (METHODS 4.2).

    Attributes:
        before: Stages whose input it attends to; none: it is off. The paper says layers 2 and 3 for
            RegDB; the same for SYSU-MM01 is our reading.
        parts: Horizontal parts; the paper gives no number.
        freq, dc_norm: FcaNet's frequencies and the scale of their DC term, for ``descriptor``; see
            ``frequency.dct.part_descriptors``.
        residual: y = x + attended x.
        kind: Channel attention from a DCT descriptor, or a learned mask between DCT and inverse DCT,
            which the paper's "reconstruction" could mean; see ``frequency.lam``.
    """

    before: Annotated[tuple[Place, ...], BeforeValidator(as_tuple)] = ("layer2", "layer3")
    parts: Annotated[int, Field(ge=1)] = 4
    freq: Literal["top16", "low16", "top1"] = "top16"
    dc_norm: bool = True
    residual: bool = False
    kind: Literal["descriptor", "idct"] = "descriptor"

    @model_validator(mode="after")
    def _switches_act(self) -> Lam:
        if len(set(self.before)) != len(self.before):
            raise ValueError("before names a stage twice")
        idle = ("parts", "freq", "dc_norm", "residual", "kind")
        refuse_idle(self, (not self.before, "before is empty", idle))
        if self.kind == "idct" and (self.freq, self.dc_norm) != ("top16", True):
            raise ValueError("kind 'idct' weighs all frequencies: leave freq and dc_norm out")
        return self


class ImfpeOptions(Strict):
    """Cross-scale extraction and guided feature (METHODS 4.3); see ``layers.imfpe``.

    Attributes:
        on: Whether there is any.
        low, high: Stages of the shallow and the deep map; BGNet, where it comes from, has layers 1 and 4.
        align: The deep map upsampled, or the shallow one max-pooled.
        residual: Whether the deep map is added to its guided form.
        nl: The "multi-granularity non-local fusion" of the text, which it doesn't place: AGW's block on
            the guided map, or none.
    """

    on: bool = True
    low: Literal["layer1", "layer2", "layer3"] = "layer2"
    high: Literal["layer2", "layer3", "layer4"] = "layer3"
    align: Literal["up", "pool"] = "up"
    residual: bool = True
    nl: Annotated[Literal["off", "after_imfpe"], BeforeValidator(bare_off)] = "off"

    @model_validator(mode="after")
    def _low_comes_first(self) -> ImfpeOptions:
        if self.low >= self.high:
            raise ValueError(f"low must be a stage before high, not {self.low} and {self.high}")
        if not self.on and self != ImfpeOptions.model_construct(on=False):
            raise ValueError("its other keys change nothing while it is off: leave them out")
        return self


class HcTri(Strict):
    """Hetero-centre triplet loss on each branch's pooled feature; the margin is Euclidean."""

    weight: Weight = 1.0
    margin: Weight = 0.3


class Ort(Strict):
    """Orthogonal loss; the paper doesn't say between what (METHODS 4.4).

    Attributes:
        kind: ``cosine``: squared cosine of shared and specific feature (our reading); ``deen``: their
            inner product, to be weighted by 0.01; ``weights``: the rows of both classifiers.
        weight: λ_o.
    """

    kind: Literal["cosine", "deen", "weights"] = "cosine"
    weight: Weight = 0.1


class Options(Strict):
    """Knobs of D-SELACFP.

    Attributes:
        last: The last stage; ``layer3`` for RegDB, whose branches are two copies of it.
        lam: Local attention.
        imfpe: Cross-scale features.
        specific: A second branch that only the losses see, one for both modalities.
        gem_power: p of the generalised mean at the start; each branch learns its own.
        identity_weight: Factor on the cross-entropy of each branch.
        hctri: Hetero-centre triplet loss.
        ort: Orthogonal loss.
        embed: The shared feature after its neck, or before it.
    """

    last: Literal["layer3", "layer4"] = "layer4"
    lam: Lam = Lam()
    imfpe: ImfpeOptions = ImfpeOptions()
    specific: bool = True
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    hctri: HcTri = HcTri()
    ort: Ort = Ort()
    embed: Literal["neck", "pooled"] = "neck"

    @model_validator(mode="after")
    def _parts_are_built(self) -> Options:
        if any(place > self.last for place in self.lam.before):
            raise ValueError(f"lam.before names a stage after {self.last}, which is the last")
        if self.imfpe.on and self.imfpe.high > self.last:
            raise ValueError(f"imfpe.high names a stage after {self.last}, which is the last")
        if self.ort.weight and not self.specific:
            raise ValueError("the orthogonal loss needs the specific branch: set ort.weight to 0")
        refuse_idle(
            self,
            (not self.hctri.weight, "hctri.weight is 0", ("hctri.margin",)),
            (not self.ort.weight, "ort.weight is 0", ("ort.kind",)),
        )
        return self


class Branch(nn.Module):
    """GeM, neck and classifier of one branch.

    Args:
        features: Channels of its map.
        identities: Width of the classifier.
        power: p of the generalised mean at the start.
    """

    def __init__(self, features: int, identities: int, power: float) -> None:
        super().__init__()
        self.gem = GeneralisedMean(power, learned=True)
        self.neck = bn_neck(features)
        self.classifier = classifier(features, identities)

    def logits(self, pooled: Tensor) -> Tensor:
        """(N, D) pooled features → (N, C)."""
        return cast(Tensor, self.classifier(self.neck(pooled)))


class Dselacfp(ReIdNetwork):
    """Own stems, shared stages with LAM between them, I-MFPE, a shared and a specific last stage.

    Args:
        options: Knobs.
        num_identities: Width of the classifiers.
        backbone: The trunk; the specific branch starts as a copy of its last stage.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        stages = STAGES[: STAGES.index(options.last) + 1]
        self.trunk = TwoStream(backbone, stages=stages)
        channels = self.trunk.channels
        if options.specific:
            self.specific_stage = copy.deepcopy(self.trunk.get_submodule(options.last))
            self.specific = Branch(channels[options.last], num_identities, options.gem_power)
        self.shared = Branch(channels[options.last], num_identities, options.gem_power)
        local = options.lam
        self.lam = nn.ModuleDict(
            {
                place: lam(
                    channels[STAGES[STAGES.index(place) - 1]],
                    local.parts,
                    kind=local.kind,
                    frequencies=local.freq,
                    dc_norm=local.dc_norm,
                    residual=local.residual,
                )
                for place in local.before
            }
        )
        self.imfpe = _imfpe(options.imfpe, channels) if options.imfpe.on else None
        nl = options.imfpe.nl == "after_imfpe"
        self.fusion = NonLocal(channels[options.imfpe.high]) if nl else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity`` and ``hctri`` of both branches and ``ort``, weighted; a branch's has its name."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        count = batch.visible.shape[0]
        images = self.normalise(pixels, masks, batch.erase)
        shared_map, before = self._maps(images, count)
        shared = self.shared.gem(shared_map)  # (2B, D)
        terms = self._branch_losses("shared", self.shared, shared, batch.labels)
        if self.options.specific:
            specific = self.specific.gem(self.specific_stage(before))  # (2B, D)
            terms |= self._branch_losses("specific", self.specific, specific, batch.labels)
            if self.options.ort.weight:
                terms["ort"] = self.options.ort.weight * self._orthogonality(shared, specific)
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels → (N, D) of unit length, from the shared branch alone."""
        feature = self.shared.gem(self._maps(self.normalise(images), modality)[0])
        if self.options.embed == "neck":
            feature = self.shared.neck(feature)
        return F.normalize(feature.float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """What has pretrained weights, and everything new; the paper's Adam has one rate for both."""
        pretrained = trainable(self.trunk)
        if self.options.specific:
            pretrained += trainable(self.specific_stage)
        held = {id(parameter) for parameter in pretrained}
        new = [parameter for parameter in trainable(self) if id(parameter) not in held]
        return [ParameterGroup(BACKBONE, pretrained), ParameterGroup("new", new)]

    def _maps(self, images: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """The shared branch's map, (N, D, h, w), and what enters the last stage of both branches."""
        features = before = images
        kept: dict[str, Tensor] = {}
        for stage in self.trunk.stages:
            if stage in self.lam:
                self._refuse_too_many_parts(stage, features.shape[2])
                features = self.lam[stage](features)
            before = features
            features = kept[stage] = self.trunk.run(stage, features, streams)
            if self.imfpe is not None and stage == self.options.imfpe.high:
                features = self.imfpe(kept[self.options.imfpe.low], features)
                features = features if self.fusion is None else self.fusion(features)
        return features, before

    def _refuse_too_many_parts(self, stage: Stage, rows: int) -> None:
        """Raise ``UsageError`` where the input of a stage has fewer rows than LAM has parts."""
        parts = self.options.lam.parts
        if rows < parts:
            raise UsageError(
                f"method.options.lam.parts: {parts} parts, but {stage} gets a map of {rows} rows.",
                "Take fewer parts, or higher images (data.size).",
            )

    def _branch_losses(self, name: str, branch: Branch, pooled: Tensor, labels: Tensor) -> dict[str, Tensor]:
        options = self.options
        identity = identity_loss(branch.logits(pooled), labels.repeat(2))
        terms = {f"identity_{name}": options.identity_weight * identity}
        if options.hctri.weight:
            triplet = hetero_center_triplet(pooled, labels, options.hctri.margin)
            terms[f"hctri_{name}"] = options.hctri.weight * triplet
        return terms

    def _orthogonality(self, shared: Tensor, specific: Tensor) -> Tensor:
        kind = self.options.ort.kind
        if kind == "weights":
            return weight_orthogonality(self.shared.classifier.weight, self.specific.classifier.weight)
        return (cosine_orthogonality if kind == "cosine" else inner_products)(shared, specific)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Dselacfp:
    """D-SELACFP's network."""
    return Dselacfp(options, num_identities, backbone)


def _imfpe(options: ImfpeOptions, channels: dict[Stage, int]) -> Imfpe:
    reduced = reduced_channels(channels["layer4"])
    return Imfpe(channels[options.low], channels[options.high], reduced, options.align, options.residual)
