"""Options of FDNM: a switch for each point that the paper leaves open (docs/methods.md#fdnm)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.backbones.spec import Stage
from vireid_cli.frequency.fourier import Kind
from vireid_cli.methods import Margin, Weight
from vireid_cli.recipe.strict import Strict, as_tuple, refuse_without_effect


class Agp(Strict):
    """Amplitude-guided phase (docs/methods.md#agp).

    Attributes:
        after: Stages that an AGP module follows. Empty switches AGP off.
        init: Start of the gate, on which the paper is silent: 0.018 (``identity``), 0.12 (``open``), or near
            0.5 (``paper``, random weights).
        repr: Scale the angle, or (cos, sin), which is a gain on the channel.
        pool: Amplitudes that the gate averages: half of the spectrum, or the full plane.
        rate: Learning rate of the gate: that of the heads (our choice) or that of the trunk.
    """

    after: Annotated[tuple[Stage, ...], BeforeValidator(as_tuple)] = ("layer1", "layer2")
    init: Literal["identity", "open", "paper"] = "identity"
    repr: Literal["angle", "phasor"] = "angle"
    pool: Literal["half", "hermitian"] = "half"
    rate: Literal["heads", "backbone"] = "heads"

    @model_validator(mode="after")
    def _once_each(self) -> Agp:
        if len(set(self.after)) != len(self.after):
            raise ValueError("agp.after lists a stage twice")
        return self


class Anm(Strict):
    """Amplitude nuances mining (docs/methods.md#anm).

    Attributes:
        on: Whether the last map has two branches; false leaves it unchanged, in one branch.
        norm: ``two`` is a batch norm per branch with shared γ and β, as in the paper. ``joint`` is one batch
            norm over both branches. ``pooled`` acts after pooling, per branch and part, with shared γ and β.
        residual: Whether the amplitude itself is added to the mined one.
        positivity: Function that keeps the mined amplitudes from being negative.
        positivity_on: Argument of this function: the mined amplitude, or its sum with the amplitude itself.
        pool: Global average, or the generalised mean with p = 3 over the map and over each part. The
            average of a map depends on the zero frequency of its spectrum only (docs/methods.md#pooling).
    """

    on: bool = True
    norm: Literal["two", "joint", "pooled"] = "two"
    residual: bool = True
    positivity: Literal["relu", "softplus", "abs", "none"] = "relu"
    positivity_on: Literal["mixed", "sum"] = "mixed"
    pool: Literal["gap", "gem"] = "gap"


class Cnm(Strict):
    """Centre-guided nuances-mining loss; see ``losses.nuances``.

    Attributes:
        on: Whether the loss is computed; it needs both branches of ANM.
        reduction: Sum over ordered pairs of identities, as printed in the paper, mean over pairs, or the
            nearest other identity and mean over identities.
        normalize: Whether features are scaled to unit length before their centres.
        margin: Margin of the loss, a Euclidean distance.
        weight: λ2, factor on the loss.
    """

    on: bool = True
    reduction: Literal["sum_pairs", "mean_pairs", "hardest_mean"] = "sum_pairs"
    normalize: bool = False
    margin: Margin = 0.2
    weight: Weight = 0.5


class Parts(Strict):
    """The horizontal parts.

    Attributes:
        n: Number of parts.
        reduce: Mean (our reading) or sum of the parts' losses; the global loss is added to it.
    """

    n: Annotated[int, Field(ge=1)] = 4
    reduce: Literal["mean", "sum"] = "mean"


class Embed(Strict):
    """The test embedding, on which the paper is silent: all defaults are our reading.

    See docs/methods.md#fdnm-losses-and-embedding.

    Attributes:
        parts: Global feature, local parts, or both if the head has both.
        branches: Both branches, the first, or their mean.
        level: After the neck, before it, or both.
        norm: Scale each block to unit length before concatenation, or only the whole embedding.
    """

    parts: Literal["all", "global", "local"] = "all"
    branches: Literal["both", "first", "mean"] = "both"
    level: Literal["bn", "pool", "pool+bn"] = "bn"
    norm: Literal["block", "whole"] = "block"


class Options(Strict):
    """Options of FDNM; the defaults are the paper's, and ours where it is silent.

    Attributes:
        head: Features of the network: global feature, local parts, or both.
        identity_weight: Factor on the cross-entropy.
        triplet_weight: λ1, factor on the batch-hard triplet loss.
        margin: Margin of the triplet loss, a Euclidean distance.
        backend: Implementation of the Fourier transforms; see ``frequency.fourier.spectrum``.
    """

    head: Literal["global", "local", "global+local"] = "global+local"
    agp: Agp = Agp()
    anm: Anm = Anm()
    cnm: Cnm = Cnm()
    parts: Parts = Parts()
    identity_weight: Weight = 1.0
    triplet_weight: Weight = 1.0
    margin: Margin = 0.3
    embed: Embed = Embed()
    backend: Kind = "auto"

    @property
    def mines(self) -> bool:
        """Whether the nuances-mining loss is computed."""
        return self.cnm.on and self.cnm.weight > 0.0

    @model_validator(mode="after")
    def _parts_fit(self) -> Options:
        if self.cnm.on and not self.anm.on:
            raise ValueError("cnm.on compares the branches of ANM: set anm.on to true, or cnm.on to false")
        if self.embed.parts != "all" and self.embed.parts not in self.head:
            raise ValueError(f"embed.parts '{self.embed.parts}' is not a feature of head '{self.head}'")
        if not (self.identity_weight or self.triplet_weight or self.mines):
            raise ValueError("all losses are off: set identity_weight, triplet_weight or cnm.weight above 0")
        if "bn" in self.embed.level and not self.identity_weight:
            raise ValueError(f"embed.level '{self.embed.level}' needs identity_weight above 0")
        agp = ("agp.init", "agp.repr", "agp.pool", "agp.rate")
        composition = ("anm.residual", "anm.positivity", "anm.positivity_on")
        equivalent = not self.anm.residual or self.anm.positivity == "none"
        refuse_without_effect(
            self,
            (not self.agp.after, "agp.after is empty", agp),
            (not self.anm.on, "anm is off", (*composition, "anm.norm", "anm.pool", "embed.branches")),
            (equivalent, "both readings agree without residual or positivity", ("anm.positivity_on",)),
            (not self.cnm.on, "cnm is off", ("cnm.weight",)),
            (not self.mines, "cnm is off", ("cnm.reduction", "cnm.normalize", "cnm.margin")),
            (self.head == "global", "head has no parts", ("parts.n", "parts.reduce")),
            (not self.triplet_weight, "triplet_weight is 0", ("margin",)),
        )
        return self
