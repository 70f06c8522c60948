"""FDNM's network: a shared trunk with AGP, two branches of ANM, heads for the whole map and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Streams
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.frequency.agp import AmplitudeGuidedPhase, share_monitors
from vireid_cli.frequency.anm import BRANCHES, AmplitudeNuancesMining, Norm
from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.part_heads import PartHeads
from vireid_cli.layers.pixels import Normalise, both_modalities
from vireid_cli.layers.pooling import generalised_mean_stripes, stripes
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods import BACKBONE, GatheredNetwork, ParameterGroup, trainable
from vireid_cli.methods.fdnm.options import Options
from vireid_cli.types import Batch

GEM_POWER = 3.0


class Fdnm(GatheredNetwork):
    """Two stems, a shared trunk with AGP, two branches of ANM, heads for the whole map and its parts.

    Args:
        options: Options of the method.
        num_identities: Width of the classifiers.
        backbone: Specification of the trunk.
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

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``pooled`` features of each branch and part before their norm, (branches·2B, D, parts)."""
        pixels, masks = both_modalities(batch)  # (2B, 3, H, W)
        return {"pooled": self._pooled(self.normalise(pixels, masks, batch.erase), batch.visible.shape[0])}

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Weighted ``identity``, ``triplet`` and ``cnm`` losses: means over branches, global + parts."""
        options, pooled = self.options, self._parted(features["pooled"])  # (branches, parts, 2B, D)
        both = labels.repeat(2)
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
            mined = self._reduced(pooled, lambda part: nuances_mining(part, labels, *switches))
            terms["cnm"] = options.cnm.weight * mined
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels: (N, D) unit rows; D is 2 branches × 5 parts × 2048 in the paper."""
        choice = self.options.embed
        pooled = self.pool(self.normalise(images), modality)  # (branches, parts, N, D)
        levels = []
        if "pool" in choice.level:
            levels.append(pooled)
        if "bn" in choice.level:
            levels.append(self.apply_necks(pooled))
        chosen = torch.stack([self._parts_of(level) for level in levels]).float()  # (levels, branches, …)
        if choice.branches == "first":
            chosen = chosen[:, :1]
        elif choice.branches == "mean":
            chosen = chosen.mean(dim=1, keepdim=True)
        if choice.norm == "block":
            chosen = F.normalize(chosen, dim=-1)
        return F.normalize(chosen.flatten(0, 2).transpose(0, 1).flatten(1), dim=1)

    def monitors(self) -> dict[str, Tensor]:
        """``agp.<stage>.mean`` and ``.std``: mean of S over the batch, and its deviation over channels."""
        return share_monitors(self.agp)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Necks, classifiers and, with ``agp.rate: heads``, AGP at the full rate; the rest at the trunk's.

        A sigmoid near 0 has a fourteenth of its slope at one half. At a tenth of the learning rate the gate
        does not move (docs/methods.md#agp).
        """
        heads = trainable(self.heads) if self.options.identity_weight else []
        if self.options.agp.rate == "heads":
            heads += trainable(self.agp)
        ids = {id(parameter) for parameter in heads}
        backbone = [parameter for parameter in trainable(self) if id(parameter) not in ids]
        return [ParameterGroup(BACKBONE, backbone), ParameterGroup("heads", heads)]

    def pool(self, images: Tensor, streams: Streams) -> Tensor:
        """Pooled features, (branches, parts, N, D). The global feature, if any, is the first part."""
        return self._parted(self._pooled(images, streams))

    def _pooled(self, images: Tensor, streams: Streams) -> Tensor:
        """Pooled features before their norm, (branches·N, D, parts)."""
        for stage in STAGES:
            images = self.trunk.run(stage, images, streams)
            if stage in self.agp:
                images = self.agp[stage](images)
        counts = [1] * self.has_global + [self.options.parts.n] * self.has_local
        if not self.options.anm.on:
            return stripes(images, *counts)
        if self.options.anm.pool == "gap":
            return stripes(self.anm.rows(images).unsqueeze(-1), *counts)
        maps = self.anm(images)  # (branches·N, D, h, w)
        return torch.cat([generalised_mean_stripes(maps, n, GEM_POWER) for n in counts], dim=-1)

    def _parted(self, pooled: Tensor) -> Tensor:
        """Order and normalise pooled features: (branches·N, D, parts) → (branches, parts, N, D)."""
        features = pooled.unflatten(0, (self.branches, -1)).permute(0, 3, 1, 2)
        if self.pooled_norm is None:
            return features
        return self.pooled_norm.features(features.flatten(0, 1)).unflatten(0, features.shape[:2])

    def apply_necks(self, pooled: Tensor) -> Tensor:
        """Apply the necks: (branches, parts, N, D), same shape. Branches share a part's batch norm."""
        rows = pooled.transpose(0, 1).flatten(1, 2)  # (parts, branches·N, D)
        return self.heads.neck(rows).unflatten(1, (self.branches, -1)).transpose(0, 1)

    def _classified(self, pooled: Tensor) -> Tensor:
        """Logits, (branches, parts, N, C)."""
        rows = self.apply_necks(pooled).transpose(0, 1).flatten(1, 2)  # (parts, branches·N, D)
        return self.heads.classify(rows).unflatten(1, (self.branches, -1)).transpose(0, 1)

    def _parts_of(self, features: Tensor) -> Tensor:
        """Select the parts of the embedding: (branches, parts, N, D) → (branches, selected, N, D)."""
        if self.options.embed.parts == "all":
            return features
        if self.options.embed.parts == "global":
            return features[:, :1]
        return features[:, int(self.has_global) :]

    def _reduced(self, values: Tensor, loss: Any) -> Tensor:
        """Global loss plus the mean or sum of the parts' losses; ``loss`` sums over (branches, parts, …)."""
        total: list[Tensor] = []
        if self.has_global:
            total.append(loss(values[:, :1]))
        if self.has_local:
            local = loss(values[:, int(self.has_global) :])
            total.append(local / self.options.parts.n if self.options.parts.reduce == "mean" else local)
        return torch.stack(total).sum()
