"""Schema of a recipe's optimizer and of its learning rate over the epochs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.recipe.strict import Number, Probability, Strict, as_tuple, refuse_without_effect

MOST_EPOCHS = 1_000_000
"""Largest number of epochs, and of steps per epoch."""


class Optimizer(Strict):
    """Optimizer; the method defines the parameter groups.

    Attributes:
        name: ``sgd``, ``adam`` or ``adamw``.
        lr: Learning rate of parameters with scale 1 (new heads).
        backbone_scale: Factor on ``lr`` for the pretrained trunk (0.1 in the AGW family).
        momentum: Momentum; SGD only.
        nesterov: Whether to use Nesterov momentum; SGD only.
        weight_decay: Weight decay: L2 (sgd, adam) or decoupled (adamw).
        grad_clip: Largest gradient norm; 0.0 disables clipping.
        fused: Whether one kernel updates all weights. None: on a GPU only, because it rounds differently.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[Number, Field(gt=0.0)] = 0.1
    backbone_scale: Annotated[Number, Field(gt=0.0)] = 0.1
    momentum: Probability = 0.9
    nesterov: bool = True
    weight_decay: Annotated[Number, Field(ge=0.0)] = 5e-4
    grad_clip: Annotated[Number, Field(ge=0.0)] = 0.0
    fused: bool | None = None

    @model_validator(mode="after")
    def _check_momentum(self) -> Optimizer:
        if self.name == "sgd" and self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum > 0")
        refuse_without_effect(self, (self.name != "sgd", f"name is '{self.name}'", ("momentum", "nesterov")))
        return self


class Schedule(Strict):
    """Learning-rate factor as a pure function of the epoch, counted from 0.

    Attributes:
        warmup_epochs: Number of epochs of linear warm-up, with factor
            ``max(warmup_start, (e + 1) / warmup_epochs)``.
        warmup_start: Smallest factor during warm-up.
        kind: ``step`` multiplies by ``gamma`` at each milestone; ``cosine`` decreases to 0; ``restarts``
            repeats cosines from 1 to 0 (SGDR, Loshchilov and Hutter, ICLR 2017).
        milestones: Epochs of the steps; ``step`` only.
        gamma: Factor of each step; ``step`` only.
        period: Epochs of the first cosine after warm-up; ``restarts`` only.
        period_factor: Factor of each period to the one before; ``restarts`` only.
    """

    warmup_epochs: Annotated[int, Field(ge=0, le=MOST_EPOCHS)] = 10
    warmup_start: Probability = 0.0
    kind: Literal["step", "cosine", "restarts"] = "step"
    milestones: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = (20, 50)
    gamma: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.1
    period: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 10
    period_factor: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _check_keys(self) -> Schedule:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must be strictly increasing")
        smooth, reason = self.kind != "step", f"kind is '{self.kind}'"
        refuse_without_effect(
            self,
            (smooth and self.milestones, reason, ("milestones",)),
            (smooth, reason, ("gamma",)),
            (not smooth and not self.milestones, "milestones is empty", ("gamma",)),
            (self.kind != "restarts", reason, ("period", "period_factor")),
            (self.warmup_epochs < 2, f"warmup_epochs is {self.warmup_epochs}", ("warmup_start",)),
        )
        return self
