"""D-SELACFP's network: shared stages with LAM and I-MFPE, a shared and a specific branch."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Stage, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.errors import UsageError
from vireid_cli.frequency.lam import lam
from vireid_cli.layers.imfpe import Imfpe, reduced_channels
from vireid_cli.layers.modality_head import ModalityHead
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import GeneralisedMean
from vireid_cli.layers.purifier import Purified, Purifier, Restitution
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.losses.consistency import (
    distance_graph,
    half_flipped,
    slot_divergence,
    symmetric_divergence,
)
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.orthogonal import cosine_orthogonality, inner_products, weight_orthogonality
from vireid_cli.losses.purification import centre_gap, entropy_gain, relative_centre_gap
from vireid_cli.methods import BACKBONE, ParameterGroup, ReIdNetwork, trainable
from vireid_cli.methods.dselacfp.options import GraphOptions, ImfpeOptions, Options
from vireid_cli.types import Batch, Modality


class Outputs(NamedTuple):
    """A branch's outputs for a batch, visible images first.

    Attributes:
        pooled: (2B, D).
        neck: (2B, D).
        logits: (2B, C).
    """

    pooled: Tensor
    neck: Tensor
    logits: Tensor


class Branch(nn.Module):
    """GeM, neck and classifier of one branch.

    Args:
        features: Channels of the branch's map.
        identities: Width of the classifier.
        power: p of the generalised mean at the start.
    """

    def __init__(self, features: int, identities: int, power: float) -> None:
        super().__init__()
        self.gem = GeneralisedMean(power, learned=True)
        self.neck = bn_neck(features)
        self.classifier = classifier(features, identities)

    def forward(self, features: Tensor) -> Outputs:
        """Compute the outputs of a map (N, D, h, w)."""
        pooled = self.gem(features)
        neck = self.neck(pooled)
        return Outputs(pooled, neck, self.classifier(neck))


class Dselacfp(ReIdNetwork):
    """A stem per modality, shared stages with LAM between them, I-MFPE, a shared and a specific branch.

    Args:
        options: Switches and weights.
        num_identities: Width of the classifiers.
        backbone: Specification of the trunk. The specific branch starts with copies of its stages.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        stages = STAGES[: STAGES.index(options.last) + 1]
        self.trunk = TwoStream(backbone, stages=stages)
        channels = self.trunk.channels
        width = channels[options.last]
        self.specific_stages = nn.ModuleDict(_copies(self.trunk, options))
        self.shared = Branch(width, num_identities, options.gem_power)
        if options.specific.on:
            self.specific = Branch(width, num_identities, options.gem_power)
        self.lam = _lam(options, channels)
        self.imfpe = _imfpe(options.imfpe, channels) if options.imfpe.on else None
        nl = options.imfpe.on and options.imfpe.nl == "after_imfpe"
        self.fusion = NonLocal(channels[options.imfpe.high]) if nl else None
        purify = options.specific.purify if options.specific.on else "none"
        self.purifier = Purifier(width) if purify == "idkl" else None
        self.restitution = Restitution(width) if purify == "restitute" else None
        # No label reaches this classifier: only the entropy term trains it, from PyTorch's weights.
        sure = options.purity.entropy > 0.0
        self.purity_classifier = nn.Linear(width, num_identities, bias=False) if sure else None
        heads = {"shared": options.modality.shared, "specific": options.modality.specific}
        self.modality_heads = nn.ModuleDict({n: ModalityHead(width) for n, w in heads.items() if w})

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the weighted losses. The name of a loss on one branch ends with the name of the branch.

        ``identity_*``, ``hctri_*``, ``modality_*``, ``graph_intra``, ``graph_inter``, ``logit_intra``,
        ``logit_inter``, ``slot_intra``, ``slot_inter``, ``purity_entropy``, ``purity_centroid``, ``ort``.
        """
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        features, split = self._maps(self.normalise(pixels, masks, batch.erase), len(batch.labels))
        shared = self.shared(features)
        terms = self._branch_losses("shared", shared, batch.labels)
        if self.options.specific.on:
            features, purified = self._specific_map(split)
            specific = self.specific(features)
            terms |= self._branch_losses("specific", specific, batch.labels)
            if purified is not None and self.options.purity_on:
                terms |= self._purity(purified, batch.labels)
            if self.options.ort.weight:
                terms["ort"] = self.options.ort.weight * self._orthogonality(shared, specific)
            terms |= self._between_branches(shared, specific, batch.labels)
        return terms | self._between_modalities(shared, batch.labels)

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """Embed (N, 3, H, W) pixels with the shared branch: (N, D) rows of unit length."""
        feature = self.shared.gem(self._maps(self.normalise(images), modality)[0])
        if self.options.embed == "neck":
            feature = self.shared.neck(feature)
        return F.normalize(feature.float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Pretrained stages as backbone, new modules as heads; the paper's Adam has one rate for both."""
        pretrained = trainable(self.trunk) + trainable(self.specific_stages)
        held = {id(parameter) for parameter in pretrained}
        new = [parameter for parameter in trainable(self) if id(parameter) not in held]
        return [ParameterGroup(BACKBONE, pretrained), ParameterGroup("new", new)]

    def _maps(self, images: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """Map of the shared branch, (N, D, h, w), and input of the specific branch."""
        features = split = images
        outputs: dict[str, Tensor] = {}
        for stage in self.trunk.stages:
            if stage in self.lam:
                self._refuse_too_many_parts(stage, features.shape[2])
                features = self.lam[stage](features)
            if stage == self.options.specific.first:
                split = features
            features = outputs[stage] = self.trunk.run(stage, features, streams)
            if self.imfpe is not None and stage == self.options.imfpe.high:
                features = self.imfpe(outputs[self.options.imfpe.low], features)
                features = features if self.fusion is None else self.fusion(features)
        return features, split

    def _specific_map(self, features: Tensor) -> tuple[Tensor, Purified | None]:
        """Map of the specific branch, and the parts of its purification if ``purify`` is ``idkl``."""
        for stage in self.specific_stages.values():
            features = stage(features)
        if self.purifier is not None:
            purified = self.purifier(features)
            return purified.features, purified
        return features if self.restitution is None else self.restitution(features), None

    def _refuse_too_many_parts(self, stage: Stage, rows: int) -> None:
        """Raise ``UsageError`` if the input of a stage has fewer rows than LAM has parts."""
        parts = self.options.lam.parts
        if rows < parts:
            raise UsageError(
                f"method.options.lam.parts: {parts} parts, but the input of {stage} has {rows} rows.",
                "Set fewer parts, or taller images (data.size).",
            )

    def _branch_losses(self, name: str, outputs: Outputs, labels: Tensor) -> dict[str, Tensor]:
        options = self.options
        identity = identity_loss(outputs.logits, labels.repeat(2))
        terms = {f"identity_{name}": options.identity_weight * identity}
        if options.hctri.weight:
            triplet = hetero_center_triplet(outputs.pooled, labels, options.hctri.margin)
            terms[f"hctri_{name}"] = options.hctri.weight * triplet
        if name in self.modality_heads:
            weight = options.modality.shared if name == "shared" else options.modality.specific
            logits = self.modality_heads[name](outputs.neck).float()
            target = modality_target("true" if name == "specific" else options.modality.target, labels)
            terms[f"modality_{name}"] = weight * F.cross_entropy(logits, target)
        return terms

    def _purity(self, purified: Purified, labels: Tensor) -> dict[str, Tensor]:
        options, gem = self.options.purity, self.specific.gem
        terms = {}
        if self.purity_classifier is not None:
            rows = [self.purity_classifier(gem(features)) for features in (purified.masked, purified.before)]
            terms["purity_entropy"] = options.entropy * entropy_gain(rows[0], rows[1])
        if options.centroid:
            loss = relative_centre_gap if options.form == "normalised" else centre_gap
            pooled = [gem(features) for features in (purified.masked_normalized, purified.normalized)]
            terms["purity_centroid"] = options.centroid * loss(pooled[0], pooled[1], labels)
        return terms

    def _orthogonality(self, shared: Outputs, specific: Outputs) -> Tensor:
        options = self.options.ort
        if options.kind == "weights":
            return weight_orthogonality(self.shared.classifier.weight, self.specific.classifier.weight)
        loss = cosine_orthogonality if options.kind == "cosine" else inner_products
        if options.on == "neck":
            return loss(shared.neck, specific.neck)
        return loss(shared.pooled, specific.pooled)

    def _between_modalities(self, shared: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """Consistency of the shared branch's visible and infrared rows."""
        options = self.options.consistency
        visible, infrared = shared.logits.chunk(2)
        terms = {}
        if options.graph.intra:
            terms["graph_intra"] = options.graph.intra * _graph_intra(shared.pooled, options.graph)
        if options.logit.intra:
            terms["logit_intra"] = options.logit.intra * symmetric_divergence(visible, infrared)
        if options.slot.intra:
            terms["slot_intra"] = options.slot.intra * slot_divergence(visible, infrared, labels)
        return terms

    def _between_branches(self, shared: Outputs, specific: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """Consistency of both branches, the sum over the modalities."""
        options = self.options.consistency
        if options.detach == "specific":
            specific = Outputs(*(part.detach() for part in specific))
        logits = list(zip(shared.logits.chunk(2), specific.logits.chunk(2), strict=True))
        terms = {}
        if options.graph.inter:
            pooled = zip(shared.pooled.chunk(2), specific.pooled.chunk(2), strict=True)
            graphs = [[_graph(rows, options.graph) for rows in pair] for pair in pooled]
            terms["graph_inter"] = options.graph.inter * _total(symmetric_divergence(*g) for g in graphs)
        if options.logit.inter:
            terms["logit_inter"] = options.logit.inter * _total(symmetric_divergence(*p) for p in logits)
        if options.slot.inter:
            each = (slot_divergence(*pair, labels) for pair in logits)
            terms["slot_inter"] = options.slot.inter * _total(each)
        return terms


def modality_target(kind: Literal["true", "half", "even"], labels: Tensor) -> Tensor:
    """Targets of a modality head for a batch, visible rows first.

    Args:
        kind: ``true`` labels, labels with one ``half`` flipped in each modality, or ``even`` shares of both.
        labels: (N,) identities of each modality's rows.

    Returns:
        (2N,) int64, or (2N, 2) shares for ``even``.
    """
    if kind == "half":
        return torch.cat([half_flipped(modality.code, labels) for modality in Modality])
    if kind == "even":
        return torch.full((2 * len(labels), 2), 0.5, device=labels.device)
    return torch.arange(2, device=labels.device).repeat_interleave(len(labels))


def _graph_intra(pooled: Tensor, options: GraphOptions) -> Tensor:
    """Divergence of the modalities' graphs, and of both from a mixed one if ``cross`` is ``idkl``."""
    visible, infrared = pooled.chunk(2)
    graphs = _graph(visible, options), _graph(infrared, options)
    loss = symmetric_divergence(*graphs)
    if options.cross == "idkl":
        half = len(visible) // 2
        mixed = _graph(torch.cat([visible[:half], infrared[: len(visible) - half]]), options)
        loss = loss + symmetric_divergence(graphs[0], mixed) + symmetric_divergence(mixed, graphs[1])
    return loss


def _graph(rows: Tensor, options: GraphOptions) -> Tensor:
    return distance_graph(rows, options.sign, options.normalize)


def _total(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()


def _copies(trunk: TwoStream, options: Options) -> dict[str, nn.Module]:
    """Copies of the trunk's stages for the specific branch."""
    if not options.specific.on:
        return {}
    names = trunk.stages[trunk.stages.index(options.specific.first) :]
    copies: dict[str, nn.Module] = {name: copy.deepcopy(trunk.get_submodule(name)) for name in names}
    if options.restarts:
        _restart(list(copies[names[-1]].children())[-1])
    return copies


def _restart(block: nn.Module) -> None:
    """Reinitialise the weights of a residual block like torchvision."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _lam(options: Options, channels: dict[Stage, int]) -> nn.ModuleDict:
    """Local attention modules by the stage that they precede."""
    local = options.lam
    return nn.ModuleDict(
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


def _imfpe(options: ImfpeOptions, channels: dict[Stage, int]) -> Imfpe:
    reduced = reduced_channels(channels["layer4"])
    return Imfpe(channels[options.low], channels[options.high], reduced, options.align, options.residual)
