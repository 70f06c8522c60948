"""Faces: FDNM's modules on LightCNN-29, and LightCNN-29 alone (docs/methods.md#faces).

This is FDNM's face setting, visible against near-infrared images. Each modality has its own first unit; all
other layers are shared. AGP follows the stages of 96 and 192 channels; ANM acts on the last map before its
pooling. Both branches of ANM pass the same fully connected layer, and the two outputs are concatenated. The
network takes one grey channel in [0, 1], the luminance of the augmented image; if augmentation has copied
one colour channel to all three, this is that channel. The paper trains "as CAJ", which leaves the face
setting open: the places of the modules, the classifier, the dropout (LightCNN's), losses and learning rates
are our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.lightcnn import EMBEDDING, SIDE, STAGES, Stage, TwoStreamLightCnn
from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.frequency.agp import AmplitudeGuidedPhase, share_monitors
from vireid_cli.frequency.anm import BRANCHES, AmplitudeNuancesMining, Norm
from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.neck import classifier
from vireid_cli.layers.pixels import Normalise, both_modalities, centre_crop, luminance
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, GatheredNetwork, Margin, ParameterGroup, Weight, trainable
from vireid_cli.recipe.fit import Fit
from vireid_cli.recipe.strict import Probability, Strict, as_tuple, refuse_without_effect
from vireid_cli.types import Batch

FIT = Fit(backbones=("lightcnn29",), input=(SIDE, SIDE))


class Agp(Strict):
    """Amplitude-guided phase modules; see ``frequency.agp``.

    Attributes:
        after: Stages that an AGP module follows. Empty switches AGP off.
        init: Start of the gate, on which the paper is silent: 0.018 (``identity``), 0.12 (``open``), or near
            0.5 (``paper``, random weights).
        repr: Scale the angle, or (cos, sin), which is a gain on the channel.
        pool: Amplitudes that the gate averages: half of the spectrum, or the full plane.
    """

    after: Annotated[tuple[Stage, ...], BeforeValidator(as_tuple)] = ("stage1", "stage2")
    init: Literal["identity", "open", "paper"] = "identity"
    repr: Literal["angle", "phasor"] = "angle"
    pool: Literal["half", "hermitian"] = "half"

    @model_validator(mode="after")
    def _each_stage_once(self) -> Agp:
        if len(set(self.after)) != len(self.after):
            raise ValueError("agp.after lists a stage twice")
        return self


class Anm(Strict):
    """Amplitude nuances mining after the last stage; see ``frequency.anm``.

    Attributes:
        on: Whether the map has two branches; false leaves it unchanged.
        norm: Batch norm per branch with shared γ and β, on the 256 features of each branch (``pooled``) or on
            the maps (``two``); ``joint`` is one batch norm over the maps of both branches. The fully
            connected layer sees the whole map, in which each branch has a constant pattern, so that with
            the norms on maps the branches stay far apart and the nuances-mining loss is 0
            (docs/methods.md#faces).
        residual: Whether the amplitude itself is added to the mined one.
        positivity: Function that keeps the mined amplitudes from being negative.
        positivity_on: Argument of this function: the mined amplitude, or its sum with the amplitude itself.
    """

    on: bool = True
    norm: Literal["two", "joint", "pooled"] = "pooled"
    residual: bool = True
    positivity: Literal["relu", "softplus", "abs", "none"] = "relu"
    positivity_on: Literal["mixed", "sum"] = "mixed"


class Cnm(Strict):
    """Centre-guided nuances mining; see ``losses.nuances``.

    Attributes:
        reduction: Sum over ordered pairs of identities, as printed in the paper, mean over pairs, or the
            nearest other identity and mean over identities.
        normalize: Whether features are scaled to unit length before their centres.
        margin: Margin of the loss, a Euclidean distance.
        weight: λ2, factor on the loss.
    """

    weight: Weight = 0.5
    margin: Margin = 0.2
    reduction: Literal["sum_pairs", "mean_pairs", "hardest_mean"] = "sum_pairs"
    normalize: bool = False


class Options(Strict):
    """Options of the face setting; the defaults are FDNM's.

    With ``agp.after`` empty, ``anm.on`` false and ``cnm.weight`` 0 the network is LightCNN-29 alone.

    Attributes:
        stem: A first unit per modality, or one shared first unit.
        agp, anm, cnm: FDNM's two modules and its nuances-mining loss.
        dropout: Probability that a feature is dropped before the classifier.
        identity_weight: Factor on the cross-entropy.
        triplet_weight: λ1, factor on the batch-hard triplet loss.
        margin: Margin of the triplet loss, a Euclidean distance.
    """

    stem: Literal["separate", "shared"] = "separate"
    agp: Agp = Agp()
    anm: Anm = Anm()
    cnm: Cnm = Cnm()
    dropout: Probability = 0.5
    identity_weight: Weight = 1.0
    triplet_weight: Weight = 1.0
    margin: Margin = 0.3

    @model_validator(mode="after")
    def _check_losses_and_modules(self) -> Options:
        if not (self.identity_weight or self.triplet_weight):
            raise ValueError("all losses are off: set identity_weight or triplet_weight above 0")
        if self.cnm.weight and not self.anm.on:
            raise ValueError("cnm compares the two branches of ANM, and anm.on is false: set cnm.weight to 0")
        composition = ("anm.norm", "anm.residual", "anm.positivity", "anm.positivity_on")
        equivalent = not self.anm.residual or self.anm.positivity == "none"
        refuse_without_effect(
            self,
            (not self.agp.after, "agp.after is empty", ("agp.init", "agp.repr", "agp.pool")),
            (not self.anm.on, "anm is off", composition),
            (equivalent, "both readings agree without residual or positivity", ("anm.positivity_on",)),
            (not self.cnm.weight, "cnm.weight is 0", ("cnm.margin", "cnm.reduction", "cnm.normalize")),
            (not self.identity_weight, "identity_weight is 0", ("dropout",)),
            (not self.triplet_weight, "triplet_weight is 0", ("margin",)),
        )
        return self


class Face(GatheredNetwork):
    """LightCNN-29 for two modalities with FDNM's modules and a classifier on its 256 features.

    Args:
        options: Options of the method.
        num_identities: Width of the classifier that both branches of ANM share.
        backbone: Width and weights of LightCNN-29.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        # LightCNN uses no mean and std: its input is pixels in [0, 1].
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
        # Only the identity loss trains the classifier.
        self.classifier = classifier(EMBEDDING, num_identities) if options.identity_weight else None

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the ``heads`` of each branch before the feature norm, (branches·2B, 256)."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        return {"heads": self._heads(self.normalise(pixels, masks, batch.erase), batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted ``identity``, ``triplet`` and ``cnm`` losses, each a mean over branches."""
        options, of_branches = self.options, self._branches(features["heads"])
        both, branches = labels.repeat(2), len(of_branches)
        terms: dict[str, Tensor] = {}
        if self.classifier is not None:
            logits = self.classifier(self.dropout(of_branches))  # (branches, 2B, C)
            terms["identity"] = options.identity_weight / branches * identity_loss(logits, both)
        if options.triplet_weight:
            loss = batch_hard_triplet(of_branches, both, options.margin)
            terms["triplet"] = options.triplet_weight / branches * loss
        if options.cnm.weight:
            cnm = options.cnm
            loss = nuances_mining(of_branches, labels, cnm.margin, cnm.reduction, cnm.normalize)
            terms["cnm"] = cnm.weight * loss
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed the central 128x128 pixels of (N, 3, H, W) images: rows of unit length.

        The result is (N, 512), both branches concatenated, or (N, 256) without ANM.
        """
        features = self._branches(self._heads(self.normalise(images), modality))  # (branches, N, 256)
        return F.normalize(features.transpose(0, 1).flatten(1).float(), dim=1)

    def monitors(self) -> dict[str, Tensor]:
        """``agp.<stage>.mean`` and ``.std``: mean of S over the batch, and its deviation over channels."""
        return share_monitors(self.agp)

    def parameter_groups(self) -> list[ParameterGroup]:
        """New modules at the full learning rate, LightCNN in the backbone's group."""
        new = trainable(self.agp)
        for module in (self.anm, self.feature_norm, self.classifier):
            new += trainable(module) if module is not None else []
        return [ParameterGroup(BACKBONE, trainable(self.trunk)), ParameterGroup("heads", new)]

    def _heads(self, images: Tensor, streams: Streams) -> Tensor:
        """Features of each branch before their norm: (N, 3, H, W) → (branches·N, 256)."""
        features = luminance(centre_crop(images, (SIDE, SIDE)))  # (N, 1, 128, 128)
        for stage in STAGES:
            features = self.trunk.run(stage, features, streams)
            if stage in self.agp:
                features = self.agp[stage](features)
        if self.anm is not None:
            features = self.anm(features)  # (2·N, C, 16, 16), branch first
        return self.trunk.head(features)

    def _branches(self, heads: Tensor) -> Tensor:
        """Features of each branch: (branches·N, 256) → (branches, N, 256)."""
        features = heads.unflatten(0, (1 if self.anm is None else BRANCHES, -1))
        return features if self.feature_norm is None else self.feature_norm.features(features)


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Face:
    """Build the network for faces."""
    return Face(options, num_identities, backbone)
