"""Options of SFCL: a switch for each point that the paper leaves open (docs/methods.md#sfcl)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.methods import Weight
from vireid_cli.recipe.strict import Number, Strict, as_tuple, refuse_without_effect

Positive = Annotated[int, Field(ge=1)]
Path = Literal["cross", "self"]


class CfamOptions(Strict):
    """Cross-modal frequency alignment.

    Attributes:
        on: Whether CFAM is used; without it O is X.
        dim: Width of the tokens. 768 gives the model size of the paper, 256 suits small GPUs.
        phase_repr: See ``layers.cfam``.
    """

    on: bool = True
    dim: Annotated[int, Field(ge=8, multiple_of=8)] = 768
    phase_repr: Literal["sincos", "angle"] = "sincos"


class TransMambaOptions(Strict):
    """Trans-Mamba blocks.

    Attributes:
        depth: Number of blocks.
        state: Size of the state of each scan.
        ratio: Ratio of a block's inner channels to the width of the tokens.
    """

    depth: Positive = 1
    state: Positive = 16
    ratio: Positive = 2


class TransportOptions(Strict):
    """Sinkhorn transport of amplitude tokens from infrared to visible.

    Attributes:
        on: Whether tokens are transported.
        eps, iters: Arguments of ``frequency.transport.sinkhorn``.
        marginals: Even, or each position's share of log(1 + mean amplitude).
        space: Vectors that the cost compares: tokens or amplitudes.
        direction: Infrared to visible only, or also back with the same plan.
        grad: Path of the gradient: through all iterations, or through the transported values only.
    """

    on: bool = True
    eps: Annotated[Number, Field(gt=0.0)] = 0.05
    iters: Positive = 20
    marginals: Literal["uniform", "energy"] = "uniform"
    space: Literal["token", "amplitude"] = "token"
    direction: Literal["n2v", "both"] = "n2v"
    grad: Literal["unroll", "detach_plan"] = "unroll"


class SfimOptions(Strict):
    """Spatial-frequency interaction; see ``layers.sfim``.

    Attributes:
        on: Whether the module is used; without it (X + O)/2 is pooled.
        rank: Number of channels in which the two maps are compared.
        hidden: Number of hidden units of the MLP on the covariance of the maps.
        residual: Whether the pooled spatial map is added; otherwise the feature is the MLP's output.
        norm: Batch norm of the covariance before its power normalisation, or none. It removes the pattern
            that all images share.
    """

    on: bool = True
    rank: Positive = 64
    hidden: Positive = 1536
    residual: bool = True
    norm: Literal["batch", "none"] = "none"


class GaborOptions(Strict):
    """Modulation of O by a radial band-pass; see ``frequency.gabor``.

    Attributes:
        domain: Weigh the frequencies of the map, or its positions, the literal reading.
        keep_dc: Whether the mean of the map has weight 1.
        learn: Whether centre and width of the pass band are learned.
    """

    domain: Literal["spectrum", "rows"] = "spectrum"
    keep_dc: bool = False
    learn: bool = True


class Contrast(Strict):
    """L_cfc; see ``losses.fad.frequency_contrast``.

    Attributes:
        on: Whether the loss is computed.
        weight: Factor on the loss.
        positives: All infrared images of the identity, or the partner alone.
        tau: τ, temperature of the softmax.
        norm: Batch norm of the pooled features before their projection, or none. Without it all features
            share one direction, at which the loss is flat.
    """

    on: bool = True
    weight: Weight = 1.0
    positives: Literal["all", "diag"] = "all"
    tau: Annotated[Number, Field(gt=0.0)] = 0.1
    norm: Literal["batch", "none"] = "batch"


class Consistency(Strict):
    """L_csc; see ``losses.fad.semantic_consistency``.

    Attributes:
        on: Whether the loss is computed.
        weight: Factor on the loss; 0.8 in the paper.
        k: Number of neighbours in the other modality.
        detach: Whether the gradient of the neighbours' mean distribution is stopped.
    """

    on: bool = True
    weight: Weight = 0.8
    k: Positive = 4
    detach: bool = True


class Options(Strict):
    """Options of SFCL; the defaults are the readings of docs/methods.md#sfcl at the paper's size.

    Attributes:
        attn: Weighting of positions in SFIM; see ``layers.sfim``.
        train_paths: ``cross``, ``self`` or both. Identity and triplet losses are averaged over the paths;
            L_cfc and L_csc act on ``cross`` if it is among them.
        inference: Partner of an image that is embedded alone: the image itself, the mean tokens of the
            other modality's training images, to which its tokens are transported, or none (O is X).
        pair: Partner of the k-th visible image of an identity: its k-th infrared image, or one drawn at each
            step. The sampler draws both modalities at random, so the first choice is random too.
        caj_views: Visible views per batch: 1, or 2 as in CAJ, both paired with the same infrared image.
        gem_power: p of the generalised mean; not learned.
        identity_weight: Factor on the cross-entropy.
        triplet_weight: Factor on the weighted regularised triplet loss.
    """

    cfam: CfamOptions = CfamOptions()
    tm: TransMambaOptions = TransMambaOptions()
    ot: TransportOptions = TransportOptions()
    sfim: SfimOptions = SfimOptions()
    gabor: GaborOptions = GaborOptions()
    attn: Literal["shrink", "softmax_gate"] = "shrink"
    cfc: Contrast = Contrast()
    csc: Consistency = Consistency()
    train_paths: Annotated[tuple[Path, ...], BeforeValidator(as_tuple)] = ("cross", "self")
    inference: Literal["self", "prototype", "none"] = "self"
    pair: Literal["same_id_aligned", "same_id_shuffled"] = "same_id_aligned"
    caj_views: Literal[1, 2] = 1
    gem_power: Annotated[Number, Field(gt=0.0)] = 3.0
    identity_weight: Annotated[Weight, Field(gt=0.0)] = 1.0
    triplet_weight: Weight = 1.0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The distinct paths of training. Without CFAM there is one, because no image has a partner."""
        return self.train_paths if self.cfam.on else ("self",)

    @model_validator(mode="after")
    def _switches_fit(self) -> Options:
        if not self.train_paths or len(set(self.train_paths)) != len(self.train_paths):
            raise ValueError("train_paths must list cross, self or both, each once")
        if self.cfc.on and self.cfc.weight and not self.cfam.on:
            raise ValueError("cfc needs the frequency maps of CFAM: set cfc.on to false, or cfam.on to true")
        if self.inference == "prototype" and "cross" not in self.paths:
            raise ValueError("inference 'prototype' needs 'cross' among train_paths, and cfam.on")
        return self

    @model_validator(mode="after")
    def _keys_act(self) -> Options:
        """Refuse options without effect, except for options of cost.

        A light recipe sets widths, states and ``ot.grad``, and its ablation rows switch modules off.
        """
        contrasts, agrees = self.cfc.on and self.cfc.weight, self.csc.on and self.csc.weight
        transport = ("ot.eps", "ot.iters", "ot.marginals", "ot.space", "ot.direction")
        sfim = ("sfim.residual", "sfim.norm", "gabor.domain", "gabor.keep_dc", "gabor.learn", "attn")
        refuse_without_effect(
            self,
            (not self.cfam.on, "cfam is off", ("cfam.phase_repr", "train_paths", "inference")),
            ("cross" not in self.paths, "training does not use the path cross", ("ot.on", *transport)),
            (not self.ot.on, "ot is off", transport),
            (not self.sfim.on, "sfim is off", sfim),
            (not self.cfc.on, "cfc is off", ("cfc.weight",)),
            (not contrasts, "the loss cfc is off", ("cfc.positives", "cfc.tau", "cfc.norm")),
            (not self.csc.on, "csc is off", ("csc.weight",)),
            (not agrees, "the loss csc is off", ("csc.k", "csc.detach")),
        )
        return self
