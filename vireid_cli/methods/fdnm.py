"""FDNM: frequency-domain nuances mining (docs/methods.md#fdnm).

Separate stems, shared layers 1–4; AGP scales phases under the guidance of amplitudes after chosen
stages; ANM makes two maps with learned amplitudes of the last one; each has a global feature and four
horizontal parts, whose neck and classifier serve both branches and modalities. Identity and triplet
losses act on all of them, the centre-guided nuances-mining loss on the centres of both branches. What
the paper leaves open is marked as our reading, with a switch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Stage, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.frequency.agp import AmplitudeGuidedPhase, share_monitors
from vireid_cli.frequency.anm import BRANCHES, AmplitudeNuancesMining, Norm
from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.frequency.fourier import Kind
from vireid_cli.layers.part_heads import PartHeads
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import generalised_mean_stripes, stripes
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, ParameterGroup, ReIdNetwork, Weight, trainable
from vireid_cli.recipe.strict import Strict, as_tuple, refuse_idle
from vireid_cli.types import Batch, Modality

GEM_POWER = 3.0


class Agp(Strict):
    """Amplitude-guided phase (docs/methods.md#agp).

    Attributes:
        after: Stages after which one stands; none: off.
        init, repr, pool: See ``frequency.agp``: start near the identity (our choice) or as the paper;
            the angle itself or a gain on (cos, sin); amplitudes of the half or of the full spectrum.
        rate: Whether the gate learns at the heads' rate (our choice) or at the trunk's.
    """

    after: Annotated[tuple[Stage, ...], BeforeValidator(as_tuple)] = ("layer1", "layer2")
    init: Literal["identity", "open", "paper"] = "identity"
    repr: Literal["angle", "phasor"] = "angle"
    pool: Literal["half", "hermitian"] = "half"
    rate: Literal["heads", "backbone"] = "heads"

    @model_validator(mode="after")
    def _once_each(self) -> Agp:
        if len(set(self.after)) != len(self.after):
            raise ValueError("after names a stage twice")
        return self


class Anm(Strict):
    """Amplitude nuances mining (docs/methods.md#anm); off: one branch, the last map as it is.

    Attributes:
        norm: ``two``: a batch norm for each branch, γ and β shared, as the paper has it; ``joint``: one
            over both branches; ``pooled``: after pooling, for each branch and part, γ and β shared.
        residual, positivity, positivity_on: See ``frequency.anm``; the defaults are our reading.
        pool: Global average, or the generalised mean with p = 3 over the map and over each part. The
            average of a map sees the zero frequency of its spectrum only (docs/methods.md#pooling).
    """

    on: bool = True
    norm: Literal["two", "joint", "pooled"] = "two"
    residual: bool = True
    positivity: Literal["relu", "softplus", "abs", "none"] = "relu"
    positivity_on: Literal["mixed", "sum"] = "mixed"
    pool: Literal["gap", "gem"] = "gap"


class Cnm(Strict):
    """Centre-guided nuances-mining loss, λ2 = ``weight``; see ``losses.nuances``."""

    on: bool = True
    reduction: Literal["sum_pairs", "mean_pairs", "hardest_mean"] = "sum_pairs"
    normalize: bool = False
    margin: Weight = 0.2
    weight: Weight = 0.5


class Parts(Strict):
    """The horizontal parts.

    Attributes:
        n: How many.
        reduce: Mean or sum of their losses (our reading is the mean); the global one's is added.
    """

    n: Annotated[int, Field(ge=1)] = 4
    reduce: Literal["mean", "sum"] = "mean"


class Embed(Strict):
    """The test embedding, on which the paper is silent: all defaults are our reading.

    See docs/methods.md#fdnm-losses-and-embedding.

    Attributes:
        parts: Global feature, local parts, or all that the head has.
        branches: Both branches, the first, or their mean.
        level: After the neck, before it, or both.
        norm: Unit length for each block before they are joined, or for the whole only.
    """

    parts: Literal["all", "global", "local"] = "all"
    branches: Literal["both", "first", "mean"] = "both"
    level: Literal["bn", "pool", "pool+bn"] = "bn"
    norm: Literal["block", "whole"] = "block"


class Options(Strict):
    """Knobs of FDNM; defaults are the paper's.

    Attributes:
        head: Global feature, local parts, or both.
        identity_weight: Factor on the cross-entropy.
        triplet_weight: λ1, factor on the batch-hard triplet loss of margin ``margin``.
        backend: Form of the Fourier transforms: see ``frequency.fourier.spectrum``.
    """

    head: Literal["global", "local", "global+local"] = "global+local"
    agp: Agp = Agp()
    anm: Anm = Anm()
    cnm: Cnm = Cnm()
    parts: Parts = Parts()
    identity_weight: Weight = 1.0
    triplet_weight: Weight = 1.0
    margin: Weight = 0.3
    embed: Embed = Embed()
    backend: Kind = "auto"

    @property
    def mines(self) -> bool:
        """Whether the nuances-mining loss is computed."""
        return self.cnm.on and self.cnm.weight > 0.0

    @model_validator(mode="after")
    def _parts_fit(self) -> Options:
        if self.cnm.on and not self.anm.on:
            raise ValueError("cnm.on compares the branches of ANM: it needs anm.on, or say cnm: {on: false}")
        if self.embed.parts != "all" and self.embed.parts not in self.head:
            raise ValueError(f"embed.parts '{self.embed.parts}' is no part of head '{self.head}'")
        if not (self.identity_weight or self.triplet_weight or self.mines):
            raise ValueError("no loss is left: identity_weight, triplet_weight or cnm.weight must be above 0")
        if "bn" in self.embed.level and not self.identity_weight:
            raise ValueError(f"embed.level '{self.embed.level}' needs identity_weight above 0")
        agp = ("agp.init", "agp.repr", "agp.pool", "agp.rate")
        composition = ("anm.residual", "anm.positivity", "anm.positivity_on")
        same = not self.anm.residual or self.anm.positivity == "none"
        refuse_idle(
            self,
            (not self.agp.after, "agp.after is empty", agp),
            (not self.anm.on, "anm is off", (*composition, "anm.norm", "anm.pool", "embed.branches")),
            (same, "both readings agree without residual or positivity", ("anm.positivity_on",)),
            (not self.cnm.on, "cnm is off", ("cnm.weight",)),
            (not self.mines, "cnm is off", ("cnm.reduction", "cnm.normalize", "cnm.margin")),
            (self.head == "global", "head has no parts", ("parts.n", "parts.reduce")),
            (not self.triplet_weight, "triplet_weight is 0", ("margin",)),
        )
        return self


class Fdnm(ReIdNetwork):
    """Two stems, a shared trunk with AGP, two branches of ANM, heads for the whole map and its parts.

    Args:
        options: Knobs.
        num_identities: Width of the classifiers.
        backbone: The trunk.
    """

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        self.trunk = TwoStream(backbone)
        channels, agp, anm = self.trunk.channels, options.agp, options.anm
        self.agp = nn.ModuleDict(
            {
                stage: AmplitudeGuidedPhase(channels[stage], agp.init, agp.repr, agp.pool, options.backend)
                for stage in agp.after
            }
        )
        features = channels["layer4"]
        self.has_global, self.has_local = "global" in options.head, "local" in options.head
        count = self.has_global + options.parts.n * self.has_local
        self.branches = BRANCHES if anm.on else 1
        if anm.on:
            norm: Norm = "none" if anm.norm == "pooled" else anm.norm
            composition = (anm.residual, anm.positivity, anm.positivity_on)
            self.anm = AmplitudeNuancesMining(features, *composition, norm, options.backend)
        self.pooled_norm = BranchNorm(features, BRANCHES * count) if anm.on and anm.norm == "pooled" else None
        if options.identity_weight:
            self.heads = PartHeads(count, features, num_identities)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted ``identity``, ``triplet`` and ``cnm`` loss: means over branches, global + parts."""
        options = self.options
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        count = batch.visible.shape[0]
        pooled = self._pooled(self.normalise(pixels, masks, batch.erase), count)  # (branches, parts, 2B, D)
        both = batch.labels.repeat(2)
        terms: dict[str, Tensor] = {}
        if options.identity_weight:
            logits = self._classified(pooled)  # (branches, parts, 2B, C)
            identity = self._reduced(logits, lambda part: identity_loss(part.flatten(0, 1), both))
            terms["identity"] = options.identity_weight * identity / self.branches
        if options.triplet_weight:
            triplet = self._reduced(
                pooled, lambda part: batch_hard_triplet(part.flatten(0, 1), both, options.margin)
            )
            terms["triplet"] = options.triplet_weight * triplet / self.branches
        if options.mines:
            switches = (options.cnm.margin, options.cnm.reduction, options.cnm.normalize)
            mined = self._reduced(pooled, lambda part: nuances_mining(part, batch.labels, *switches))
            terms["cnm"] = options.cnm.weight * mined
        return terms

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels → (N, D) of unit length: 2 branches × 5 parts × 2048 in the paper."""
        choice = self.options.embed
        pooled = self._pooled(self.normalise(images), modality)  # (branches, parts, N, D)
        levels = []
        if "pool" in choice.level:
            levels.append(pooled)
        if "bn" in choice.level:
            levels.append(self._necked(pooled))
        chosen = torch.stack([self._parts_of(level) for level in levels]).float()  # (levels, branches, …)
        if choice.branches == "first":
            chosen = chosen[:, :1]
        elif choice.branches == "mean":
            chosen = chosen.mean(dim=1, keepdim=True)
        if choice.norm == "block":
            chosen = F.normalize(chosen, dim=-1)
        return F.normalize(chosen.flatten(0, 2).transpose(0, 1).flatten(1), dim=1)

    def monitors(self) -> dict[str, Tensor]:
        """``agp.<stage>.mean`` and ``.std``: S over the batch, and its deviation over channels."""
        return share_monitors(self.agp)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Necks, classifiers and, with ``agp.rate: heads``, AGP at the full rate; all else as the trunk.

        A gate near 0 has a fourteenth of its slope at one half: at a tenth of the rate it does not move
        (docs/methods.md#agp).
        """
        heads = trainable(self.heads) if self.options.identity_weight else []
        if self.options.agp.rate == "heads":
            heads += trainable(self.agp)
        apart = {id(parameter) for parameter in heads}
        rest = [parameter for parameter in trainable(self) if id(parameter) not in apart]
        return [ParameterGroup(BACKBONE, rest), ParameterGroup("heads", heads)]

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        """Pooled features, (branches, parts, N, D); the global one first where there is one."""
        for stage in STAGES:
            images = self.trunk.run(stage, images, streams)
            if stage in self.agp:
                images = self.agp[stage](images)
        counts = [1] * self.has_global + [self.options.parts.n] * self.has_local
        if not self.options.anm.on:
            pooled = stripes(images, *counts)
        elif self.options.anm.pool == "gap":
            pooled = stripes(self.anm.rows(images).unsqueeze(-1), *counts)  # (branches·N, D, parts)
        else:
            maps = self.anm(images)  # (branches·N, D, h, w)
            pooled = torch.cat([generalised_mean_stripes(maps, n, GEM_POWER) for n in counts], dim=-1)
        features = pooled.unflatten(0, (self.branches, -1)).permute(0, 3, 1, 2)
        if self.pooled_norm is None:
            return features
        return self.pooled_norm.features(features.flatten(0, 1)).unflatten(0, features.shape[:2])

    def _necked(self, pooled: Tensor) -> Tensor:
        """After the necks, one batch norm for all branches: (branches, parts, N, D), likewise."""
        rows = pooled.transpose(0, 1).flatten(1, 2)  # (parts, branches·N, D)
        return self.heads.neck(rows).unflatten(1, (self.branches, -1)).transpose(0, 1)

    def _classified(self, pooled: Tensor) -> Tensor:
        """Logits, (branches, parts, N, C)."""
        rows = self._necked(pooled).transpose(0, 1).flatten(1, 2)  # (parts, branches·N, D)
        return self.heads.classify(rows).unflatten(1, (self.branches, -1)).transpose(0, 1)

    def _parts_of(self, features: Tensor) -> Tensor:
        """The parts that are embedded: (branches, parts, N, D) → (branches, some, N, D)."""
        if self.options.embed.parts == "all":
            return features
        if self.options.embed.parts == "global":
            return features[:, :1]
        return features[:, int(self.has_global) :]

    def _reduced(self, values: Tensor, loss: Any) -> Tensor:
        """Global loss + mean or sum of the parts'; ``loss`` sums over (branches, parts, …)."""
        total: list[Tensor] = []
        if self.has_global:
            total.append(loss(values[:, :1]))
        if self.has_local:
            local = loss(values[:, int(self.has_global) :])
            total.append(local / self.options.parts.n if self.options.parts.reduce == "mean" else local)
        return torch.stack(total).sum()


def build(options: Options, num_identities: int, backbone: BackboneSpec) -> Fdnm:
    """FDNM's network."""
    return Fdnm(options, num_identities, backbone)
