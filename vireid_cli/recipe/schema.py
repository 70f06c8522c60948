"""Schema of a recipe as strict, typed models with all defaults.

Unknown keys are refused, never ignored. The options of a method have their schema in the method's module
(``methods/<name>.py``: ``Options``); the engine's loader validates both together.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from vireid_cli.counts import size_name
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.recipe.optimizer import MOST_EPOCHS as MOST_EPOCHS
from vireid_cli.recipe.optimizer import Optimizer as Optimizer
from vireid_cli.recipe.optimizer import Schedule as Schedule
from vireid_cli.recipe.strict import SIZE_FORM, Number, as_tuple
from vireid_cli.recipe.strict import Strict as Strict
from vireid_cli.types import RESIZE, Resize, Size

NAME_BYTES = 120
"""Longest name of a recipe: with dataset and time it stays below a file system's limit of 255 bytes."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("name each logger once")
    return names


class Sampler(Strict):
    """Batches of P identities without replacement × K images per modality with replacement.

    Attributes:
        identities: P, number of identities per batch.
        images: K, number of images per identity and modality.
    """

    identities: Annotated[int, Field(ge=2, le=4096)] = 8
    images: Annotated[int, Field(ge=1, le=4096)] = 4


class Data(Strict):
    """Training data.

    Attributes:
        dataset: Name of a source: ``data/sources/<name>.py``.
        split: Training identities. Papers on SYSU-MM01 use ``trainval`` (395). Other datasets have no
            validation identities; ``train`` and ``trainval`` are equivalent. ``all`` includes the test
            identities, for pre-training; the run can't be evaluated on them.
        trial: Number of the split, for datasets with several (RegDB: 1..10). A model is evaluated only on
            the trial of its training.
        size: HEIGHTxWIDTH of the prepared images in pixels, such as ``288x144``.
        resize: Resize filter: ``lanczos`` (Pillow's, as in all published code) or ``bicubic`` (the only one
            of earlier versions).
        sampler: P×K batches.
        augment: Augmentation.
    """

    dataset: str = "sysu"
    split: Literal["train", "trainval", "all"] = "trainval"
    trial: Annotated[int, Field(ge=1, le=1000)] = 1
    size: Annotated[
        tuple[Annotated[int, Field(ge=32, le=1024)], Annotated[int, Field(ge=16, le=1024)]],
        *SIZE_FORM,
    ] = (288, 144)
    resize: Resize = RESIZE
    sampler: Sampler = Sampler()
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _check_crop(self) -> Data:
        crop, pad = self.augment.crop, self.augment.pad
        if crop and any(part > whole + 2 * pad for part, whole in zip(crop, self.size, strict=True)):
            raise ValueError(
                f"augment.crop {size_name(crop)} is larger than the padded image of size "
                f"{size_name(self.size)}"
            )
        return self

    @property
    def image_size(self) -> Size:
        """(height, width) in pixels."""
        return self.size


class Backbone(Strict):
    """Trunk of the network.

    Attributes:
        name: Residual network of torchvision, or ``lightcnn29``, LightCNN-29 v2 for faces.
        weights: ``imagenet`` (torchvision's weights, from torch's cache or downloaded; not for
            ``lightcnn29``), ``rendered`` (the shipped trunk, pre-trained on rendered people: ``resnet18`` of
            width 32), ``none``, or the path of a state dict.
        last_stride: Stride of a ResNet's last stage; papers use 1.
        width: Number of channels after the stem; torchvision's published weights have 64. Narrower networks
            train in minutes on a CPU; ``vireid export backbone`` writes weights of their width.
    """

    name: Literal["resnet18", "resnet34", "resnet50", "lightcnn29"] = "resnet50"
    weights: str = "imagenet"
    last_stride: Literal[1, 2] = 1
    width: Annotated[int, Field(ge=8, le=256, multiple_of=8)] = 64

    @model_validator(mode="after")
    def _check_imagenet_width(self) -> Backbone:
        if self.width != 64 and self.weights == "imagenet":
            raise ValueError(
                "ImageNet weights need width 64: set weights to none, rendered or the path of a file"
            )
        return self

    @model_validator(mode="after")
    def _check_lightcnn(self) -> Backbone:
        if self.name == "lightcnn29" and self.weights in ("imagenet", "rendered"):
            raise ValueError(f"lightcnn29 has no {self.weights} weights: set the path of its file, or none")
        if self.name == "lightcnn29" and self.last_stride != 1:
            raise ValueError("last_stride applies to ResNets: remove it for lightcnn29")
        return self


class Method(Strict):
    """Method and its options.

    Attributes:
        name: Name of the method: that of its module, or of a module of a plugin.
        options: Options of the method; its defaults are the paper's.
    """

    name: str = "baseline"
    options: dict[str, Any] = Field(default_factory=dict)


class Train(Strict):
    """Length, seed, optimizer and checkpoints of a training.

    Attributes:
        epochs: Number of epochs.
        steps_per_epoch: Batches per epoch; None for floor(N / (P·K)) + 1, with N the number of images of the
            larger modality.
        seed: Seed of all random draws.
        optimizer: Optimizer.
        schedule: Learning-rate schedule.
        log_every: Steps between two lines of ``train.jsonl``.
        checkpoint_every: Epochs between two checkpoints.
        select: Checkpoint for evaluation: that of the ``last`` epoch, or the one with the best mAP on the
            validation identities (``val``), computed after each epoch. Test identities are never used for
            the selection.
        patience: Epochs without a better validation after which the training stops; 0 never stops it.
            ``select: val`` only.
        ema: Decay of an exponential moving average of the weights, kept in each checkpoint and validated
            beside them; ``vireid evaluate --ema`` evaluates it. 0.0 keeps none.
        accumulate: Chunks of whole identities in which the gradients of a batch are computed, to save memory.
            The losses see the whole batch (GradCache); batch norms before the features see one chunk.
        checkpoint_activations: Recompute the activations of residual blocks in the backward pass, to save
            memory; the gradients are the same.
        compile: ``trunk`` compiles the stages of the trunk on a GPU, after a check of their gradients.
        loggers: Programs that receive the rows of ``train.jsonl``, results and figures: ``tensorboard``,
            ``mlflow``, ``wandb`` (offline by default).
    """

    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 80
    steps_per_epoch: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    log_every: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 10
    checkpoint_every: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 1
    select: Literal["last", "val"] = "last"
    patience: Annotated[int, Field(ge=0, le=MOST_EPOCHS)] = 0
    ema: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    checkpoint_activations: bool = False
    compile: Literal["off", "trunk"] = "off"
    loggers: Annotated[
        tuple[Literal["tensorboard", "mlflow", "wandb"], ...],
        BeforeValidator(as_tuple),
        AfterValidator(_distinct),
    ] = ()

    @model_validator(mode="after")
    def _check_patience(self) -> Train:
        if self.patience and self.select != "val":
            raise ValueError("patience counts validations: it needs select: val")
        return self


class Reported(Strict):
    """Metrics of the paper, in percent.

    Attributes:
        dataset: Name of the real dataset.
        protocol: SYSU-MM01 ``all-single``, ``all-multi``, ``indoor-single``, ``indoor-multi``; RegDB (mean
            over ten trials) and LLCM (as computed by its release) ``v2i``, ``i2v``; faces ``faces``.
        source: Table or section of the paper.
        rank1, rank5, rank10, rank20, mAP, mINP: Percent; None if the paper has no value.
        vr_far_1, vr_far_01: Verification rate at false acceptance rates of 1 % and 0.1 % (faces). Their names
            in recipes and in evaluations are ``vr_far_0.01`` and ``vr_far_0.001``.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    dataset: str
    protocol: str
    source: str = ""
    rank1: Number | None = None
    rank5: Number | None = None
    rank10: Number | None = None
    rank20: Number | None = None
    mAP: Number | None = None
    mINP: Number | None = None
    vr_far_1: Annotated[Number | None, Field(alias="vr_far_0.01")] = None
    vr_far_01: Annotated[Number | None, Field(alias="vr_far_0.001")] = None


class ReportedCost(Strict):
    """Cost of the network in the paper.

    Attributes:
        source: Table or section of the paper.
        parameters: Millions of parameters.
        multiply_adds: 10⁹ multiply-adds per image; papers often call them FLOPs.
        latency: Milliseconds per image on the paper's device.
        size: (height, width) of the image, or None if the paper does not state it.
    """

    source: str = ""
    parameters: Number | None = None
    multiply_adds: Number | None = None
    latency: Number | None = None
    size: Annotated[tuple[int, int], *SIZE_FORM] | None = None


class Recipe(Strict):
    """A complete experiment.

    Attributes:
        name: Name of the recipe, by default the stem of its file.
        paper: The reproduced paper.
        data, backbone, method, train: Sections of the recipe.
        reported: Metrics of the paper, printed beside measured ones of the same dataset and protocol.
        reported_cost: Cost values of the paper, printed beside measured ones by ``evaluate --cost``.
    """

    name: str = ""
    paper: str = ""
    data: Data = Data()
    backbone: Backbone = Backbone()
    method: Method = Method()
    train: Train = Train()
    reported: Annotated[tuple[Reported, ...], BeforeValidator(as_tuple)] = ()
    reported_cost: ReportedCost | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name.startswith((".", "-")) or any(c in r'/\:*?"<>|' or not c.isprintable() for c in name):
            raise ValueError(
                "the name is part of a folder name: it can't contain / \\ : * ? \" < > | or begin with . or -"
            )
        if name != name.strip() or len(os.fsencode(name)) > NAME_BYTES:
            raise ValueError(
                f"a name begins the run folder's: at most {NAME_BYTES} bytes, no blank at its beginning "
                "or end"
            )
        return name

    @model_validator(mode="after")
    def _check_selection(self) -> Recipe:
        if self.train.select == "val" and self.data.split != "train":
            raise ValueError("train.select: val needs data.split: train, without the validation identities")
        return self
