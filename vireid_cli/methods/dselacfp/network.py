"""D-SELACFP's network: shared stages with LAM and I-MFPE, a shared and a specific branch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Stage, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.errors import UsageError
from vireid_cli.frequency.lam import lam
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.imfpe import Imfpe, reduced_channels
from vireid_cli.layers.modality_head import ModalityHead
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.purifier import Purified, Purifier, Restitution
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.losses.consistency import half_flipped
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.orthogonal import cosine_orthogonality, inner_products, weight_orthogonality
from vireid_cli.losses.purification import centre_gap, entropy_gain, relative_centre_gap
from vireid_cli.methods import BACKBONE, GatheredNetwork, ParameterGroup, trainable
from vireid_cli.methods.dselacfp.branch import Branch, Outputs
from vireid_cli.methods.dselacfp.consistency import between_branches, between_modalities
from vireid_cli.methods.dselacfp.options import ImfpeOptions, Options
from vireid_cli.types import Batch, Modality


class Dselacfp(GatheredNetwork):
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

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute pooled features (2B, D): ``shared``, ``specific``, parts of ``Purified``."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        maps, split = self.maps(self.normalise(pixels, masks, batch.erase), len(batch.labels))
        features = {"shared": self.shared.gem(maps)}
        if self.options.specific.on:
            maps, purified = self._specific_map(split)
            features["specific"] = self.specific.gem(maps)
            if purified is not None:
                used = self._purity_maps()
                features |= {name: self.specific.gem(getattr(purified, name)) for name in used}
        return features

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted losses. The name of a loss on one branch ends with the name of the branch.

        ``identity_*``, ``hctri_*``, ``modality_*``, ``graph_intra``, ``graph_inter``, ``logit_intra``,
        ``logit_inter``, ``slot_intra``, ``slot_inter``, ``purity_entropy``, ``purity_centroid``, ``ort``.
        """
        shared = self.shared(features["shared"])
        terms = self._branch_losses("shared", shared, labels)
        if self.options.specific.on:
            specific = self.specific(features["specific"])
            terms |= self._branch_losses("specific", specific, labels)
            terms |= self._purity(features, labels)
            if self.options.ort.weight:
                terms["ort"] = self.options.ort.weight * self._orthogonality(shared, specific)
            terms |= between_branches(self.options.consistency, shared, specific, labels)
        return terms | between_modalities(self.options.consistency, shared, labels)

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels with the shared branch: (N, D) rows of unit length."""
        feature = self.shared.gem(self.maps(self.normalise(images), modality)[0])
        if self.options.embed == "neck":
            feature = self.shared.neck(feature)
        return F.normalize(feature.float(), dim=1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Pretrained stages as backbone, new modules as heads; the paper's Adam has one rate for both."""
        pretrained = trainable(self.trunk) + trainable(self.specific_stages)
        held = {id(parameter) for parameter in pretrained}
        new = [parameter for parameter in trainable(self) if id(parameter) not in held]
        return [ParameterGroup(BACKBONE, pretrained), ParameterGroup("new", new)]

    def maps(self, images: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
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

    def _purity_maps(self) -> tuple[str, ...]:
        """Names of the maps in ``Purified`` that have a loss."""
        entropy = ("masked", "before") if self.purity_classifier is not None else ()
        return entropy + (("masked_normalized", "normalized") if self.options.purity.centroid else ())

    def _purity(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Losses of the purification, on pooled features; empty without purification."""
        options, terms = self.options.purity, {}
        if self.purity_classifier is not None and "masked" in features:
            rows = [self.purity_classifier(features[name]) for name in ("masked", "before")]
            terms["purity_entropy"] = options.entropy * entropy_gain(rows[0], rows[1])
        if options.centroid and "normalized" in features:
            loss = relative_centre_gap if options.form == "normalised" else centre_gap
            pooled = [features[name] for name in ("masked_normalized", "normalized")]
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
