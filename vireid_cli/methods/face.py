"""Faces: FDNM's modules on LightCNN-29, and LightCNN-29 alone (docs/methods.md#faces).

The face setting of FDNM, visible against near-infrared images. Each modality has its own first unit;
the rest is shared. AGP follows the stages of 96 and 192 channels, ANM the last map before its pooling;
each of ANM's two branches goes through the one full connection, and the two outputs are joined. Images
are one grey channel in [0, 1], the luminance of what augmentation leaves: where it copies one channel
of a colour image to all three, that channel. The paper trains "as CAJ", which can't be recovered for
faces: placement, classifier, dropout as in LightCNN, losses and learning rates are our reading.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.lightcnn import EMBEDDING, SIDE, STAGES, Stage, TwoStreamLightCnn
from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.frequency.agp import AmplitudeGuidedPhase, share_monitors
from vireid_cli.frequency.anm import BRANCHES, AmplitudeNuancesMining, Norm
from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.layers.neck import classifier
from vireid_cli.layers.pixels import Normalise, both_modalities, centre_crop, luminance
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, Fit, ParameterGroup, ReIdNetwork, Weight, trainable
from vireid_cli.recipe.strict import Probability, Strict, as_tuple, refuse_idle
from vireid_cli.types import Batch, Modality

FIT = Fit(backbones=("lightcnn29",), input=(SIDE, SIDE))


class Agp(Strict):
    """Amplitude-guided phase modules; see ``frequency.agp``.

    Attributes:
        after: Stages that are followed by one.
    """

    after: Annotated[tuple[Stage, ...], BeforeValidator(as_tuple)] = ("stage1", "stage2")
    init: Literal["identity", "open", "paper"] = "identity"
    repr: Literal["angle", "phasor"] = "angle"
    pool: Literal["half", "hermitian"] = "half"

    @model_validator(mode="after")
    def _each_stage_once(self) -> Agp:
        if len(set(self.after)) != len(self.after):
            raise ValueError("agp.after names a stage twice")
        return self


class Anm(Strict):
    """Amplitude nuances mining after the last stage; see ``frequency.anm``.

    Attributes:
        norm: ``two``, ``joint``: of the maps; ``pooled``: of each branch's 256 features.
    """

    on: bool = True
    norm: Literal["two", "joint", "pooled"] = "two"
    residual: bool = True
    positivity: Literal["relu", "softplus", "abs", "none"] = "relu"
    positivity_on: Literal["mixed", "sum"] = "mixed"


class Cnm(Strict):
    """Centre-guided nuances mining, λ2 = ``weight``; see ``losses.nuances``."""

    weight: Weight = 0.5
    margin: Weight = 0.2
    reduction: Literal["sum_pairs", "mean_pairs", "hardest_mean"] = "sum_pairs"
    normalize: bool = False


class Options(Strict):
    """Knobs of the face setting; the defaults are FDNM's.

    With ``agp.after`` empty, ``anm.on`` false and ``cnm.weight`` 0 it is LightCNN-29 alone.

    Attributes:
        stem: One first unit for each modality, or one for both.
        agp, anm, cnm: FDNM's modules and its loss.
        dropout: Probability that a feature is dropped before the classifier.
        identity_weight: Factor on the cross-entropy.
        triplet_weight: λ1, factor on the batch-hard triplet loss.
        margin: Of the triplet loss, Euclidean.
    """

    stem: Literal["separate", "shared"] = "separate"
    agp: Agp = Agp()
    anm: Anm = Anm()
    cnm: Cnm = Cnm()
    dropout: Probability = 0.5
    identity_weight: Weight = 1.0
    triplet_weight: Weight = 1.0
    margin: Weight = 0.3

    @model_validator(mode="after")
    def _what_is_asked_can_be_trained(self) -> Options:
        if not (self.identity_weight or self.triplet_weight):
            raise ValueError("no loss is left: identity_weight or triplet_weight must be above 0")
        if self.cnm.weight and not self.anm.on:
            raise ValueError("cnm compares ANM's two branches: anm.on is false, so cnm.weight must be 0")
        composition = ("anm.norm", "anm.residual", "anm.positivity", "anm.positivity_on")
        same = not self.anm.residual or self.anm.positivity == "none"
        refuse_idle(
            self,
            (not self.agp.after, "agp.after is empty", ("agp.init", "agp.repr", "agp.pool")),
            (not self.anm.on, "anm is off", composition),
            (same, "both readings agree without residual or positivity", ("anm.positivity_on",)),
            (not self.cnm.weight, "cnm.weight is 0", ("cnm.margin", "cnm.reduction", "cnm.normalize")),
            (not self.identity_weight, "identity_weight is 0", ("dropout",)),
            (not self.triplet_weight, "triplet_weight is 0", ("margin",)),
        )
        return self


class Face(ReIdNetwork):
    """LightCNN-29 of two modalities with FDNM's modules, and a classifier on its 256 features.

    Args:
        options: Knobs.
        num_identities: Width of the classifier, which ANM's branches share.
        backbone: LightCNN-29's width and weights.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        # LightCNN knows no mean and std: pixels in [0, 1] are its normalised space.
        self.normalise = Normalise((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.trunk = TwoStreamLightCnn(backbone, separate=options.stem == "separate")
        agp, anm, channels = options.agp, options.anm, self.trunk.channels
        self.agp = nn.ModuleDict(
            {
                stage: AmplitudeGuidedPhase(channels[stage], agp.init, agp.repr, agp.pool)
                for stage in agp.after
            }
        )
        self.anm, self.feature_norm = None, None
        if anm.on:
            norm: Norm = "none" if anm.norm == "pooled" else anm.norm
            composition = (anm.residual, anm.positivity, anm.positivity_on)
            self.anm = AmplitudeNuancesMining(channels["stage3"], *composition, norm)
            self.feature_norm = BranchNorm(EMBEDDING, BRANCHES) if anm.norm == "pooled" else None
        self.dropout = nn.Dropout(options.dropout)
        # Without an identity loss nothing trains it.
        self.classifier = classifier(EMBEDDING, num_identities) if options.identity_weight else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted ``identity``, ``triplet`` and ``cnm`` loss of a P×K batch, each a mean over branches."""
        options = self.options
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        features = self._features(self.normalise(pixels, masks, batch.erase), batch.visible.shape[0])
        labels, branches = batch.labels.repeat(2), len(features)
        terms: dict[str, Tensor] = {}
        if self.classifier is not None:
            logits = self.classifier(self.dropout(features))  # (branches, 2B, C)
            terms["identity"] = options.identity_weight / branches * identity_loss(logits, labels)
        if options.triplet_weight:
            loss = batch_hard_triplet(features, labels, options.margin)
            terms["triplet"] = options.triplet_weight / branches * loss
        if options.cnm.weight:
            law = options.cnm
            loss = nuances_mining(features, batch.labels, law.margin, law.reduction, law.normalize)
            terms["cnm"] = law.weight * loss
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels, 128 or more a side, whose centre is looked at → unit length.

        (N, 512), the two branches joined; (N, 256) without ANM.
        """
        features = self._features(self.normalise(images), modality)  # (branches, N, 256)
        return F.normalize(features.transpose(0, 1).flatten(1).float(), dim=1)

    def monitors(self) -> dict[str, Tensor]:
        """``agp.<stage>.mean`` and ``.std``: S over the batch, and its deviation over channels."""
        return share_monitors(self.agp)

    def parameter_groups(self) -> list[ParameterGroup]:
        """What is new at the full learning rate, LightCNN with the backbone's."""
        new = trainable(self.agp)
        for module in (self.anm, self.feature_norm, self.classifier):
            new += trainable(module) if module is not None else []
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", new)]

    def _features(self, images: Tensor, streams: Streams) -> Tensor:
        """(N, 3, H, W) → (branches, N, 256)."""
        features = luminance(centre_crop(images, (SIDE, SIDE)))  # (N, 1, 128, 128)
        for stage in STAGES:
            features = self.trunk.run(stage, features, streams)
            if stage in self.agp:
                features = self.agp[stage](features)
        if self.anm is not None:
            features = self.anm(features)  # (2·N, C, 16, 16), branch first
        branches = 1 if self.anm is None else BRANCHES
        heads = self.trunk.head(features).unflatten(0, (branches, -1))
        return heads if self.feature_norm is None else self.feature_norm.features(heads)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Face:
    """The network for faces."""
    return Face(options, num_identities, backbone)
