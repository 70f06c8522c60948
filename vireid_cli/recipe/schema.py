"""The recipe as typed, strict models: what a run is made of, every default written out.

A key that is not here is refused, never ignored. A method's own options are typed in its file
(``methods/<name>.py``: ``Options``) and checked together with the rest by the engine's loader.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from vireid_cli.recipe.augmentation import Augment
from vireid_cli.recipe.strict import Number, Probability, as_tuple, refuse_idle
from vireid_cli.recipe.strict import Strict as Strict
from vireid_cli.types import RESIZE, Resize, Size

MOST_EPOCHS = 1_000_000
"""Largest number of epochs, and of steps in an epoch."""


class Sampler(Strict):
    """P identities without replacement × K images a modality, drawn with replacement."""

    identities: Annotated[int, Field(ge=2, le=4096)] = 8
    images: Annotated[int, Field(ge=1, le=4096)] = 4


class Data(Strict):
    """What is trained on.

    Attributes:
        dataset: Name of a source: ``data/sources/<name>.py``.
        split: Training identities; ``trainval`` is the split of the papers on SYSU-MM01 (395). The other
            datasets have no validation identities: both are the same there. ``all`` includes the test
            identities, for pre-training; the run is then not evaluated on them.
        trial: Which of a dataset's splits, where it has several (RegDB: 1..10); a model of one trial is
            evaluated on that trial only.
        size: (height, width) in pixels of the prepared images.
        resize: Rule by which images are brought to that size: ``lanczos`` (Pillow's, as in every public
            release of the field) or ``bicubic`` (the only rule of earlier versions).
        sampler: The P×K batch.
        augment: Augmentation.
    """

    dataset: str = "sysu"
    split: Literal["train", "trainval", "all"] = "trainval"
    trial: Annotated[int, Field(ge=1, le=1000)] = 1
    size: Annotated[
        tuple[Annotated[int, Field(ge=32, le=1024)], Annotated[int, Field(ge=16, le=1024)]],
        BeforeValidator(as_tuple),
    ] = (288, 144)
    resize: Resize = RESIZE
    sampler: Sampler = Sampler()
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _crop_fits(self) -> Data:
        crop, pad = self.augment.crop, self.augment.pad
        if crop and any(part > whole + 2 * pad for part, whole in zip(crop, self.size, strict=True)):
            raise ValueError(
                f"augment.crop {list(crop)} is larger than the padded image of size {list(self.size)}"
            )
        return self

    @property
    def image_size(self) -> Size:
        """(height, width)."""
        return self.size


class Backbone(Strict):
    """The trunk.

    Attributes:
        name: torchvision's residual network, or ``lightcnn29``, LightCNN-29 v2 for faces.
        weights: ``imagenet`` (torchvision's weights, from torch's cache or fetched; not for
            ``lightcnn29``), ``rendered`` (the shipped trunk, pre-trained on rendered people: ``resnet18`` of
            width 32), ``none``, or the path of a state dict.
        last_stride: Stride of a ResNet's last stage; the field uses 1.
        width: Channels after the stem; 64 is torchvision's, and what published weights fit. Narrower
            networks train in minutes on a CPU; ``vireid export backbone`` makes weights of their width.
    """

    name: Literal["resnet18", "resnet34", "resnet50", "lightcnn29"] = "resnet50"
    weights: str = "imagenet"
    last_stride: Literal[1, 2] = 1
    width: Annotated[int, Field(ge=8, le=256, multiple_of=8)] = 64

    @model_validator(mode="after")
    def _imagenet_is_of_one_width(self) -> Backbone:
        if self.width != 64 and self.weights == "imagenet":
            raise ValueError(
                "ImageNet weights fit width 64 only: set weights to none, rendered, or the path of a file"
            )
        return self

    @model_validator(mode="after")
    def _faces_have_their_own_weights(self) -> Backbone:
        if self.name == "lightcnn29" and self.weights in ("imagenet", "rendered"):
            raise ValueError(f"lightcnn29 has no {self.weights} weights: set the path of its file, or none")
        if self.name == "lightcnn29" and self.last_stride != 1:
            raise ValueError("last_stride is a ResNet's: leave it out for lightcnn29")
        return self


class Method(Strict):
    """A method by its file's name, and its own options."""

    name: str = "baseline"
    options: dict[str, Any] = Field(default_factory=dict)


class Optimizer(Strict):
    """One optimizer; parameter groups come from the method (``lr`` × its group's scale).

    Attributes:
        name: ``sgd``, ``adam`` or ``adamw``.
        lr: Learning rate of parameters with scale 1 (new heads).
        backbone_scale: Factor on ``lr`` for the pretrained trunk (0.1 in the AGW family).
        momentum: SGD only.
        nesterov: SGD only.
        weight_decay: L2 (sgd, adam) or decoupled (adamw).
        grad_clip: Largest gradient norm; 0.0: not clipped.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[Number, Field(gt=0.0)] = 0.1
    backbone_scale: Annotated[Number, Field(gt=0.0)] = 0.1
    momentum: Probability = 0.9
    nesterov: bool = True
    weight_decay: Annotated[Number, Field(ge=0.0)] = 5e-4
    grad_clip: Annotated[Number, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _sgd_alone_has_momentum(self) -> Optimizer:
        if self.name == "sgd" and self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum > 0")
        refuse_idle(self, (self.name != "sgd", f"name is '{self.name}'", ("momentum", "nesterov")))
        return self


class Schedule(Strict):
    """Learning-rate factor as a pure function of the epoch (counted from 0).

    Attributes:
        warmup_epochs: Linear rise over this many epochs: factor
            ``max(warmup_start, (e + 1) / warmup_epochs)``.
        warmup_start: Smallest factor during warm-up.
        kind: ``step`` multiplies by ``gamma`` at each milestone; ``cosine`` falls to 0.
        milestones: Epochs at which the factor drops; ``step`` only.
        gamma: Factor of each drop; ``step`` only.
    """

    warmup_epochs: Annotated[int, Field(ge=0, le=MOST_EPOCHS)] = 10
    warmup_start: Probability = 0.0
    kind: Literal["step", "cosine"] = "step"
    milestones: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = (20, 50)
    gamma: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.1

    @model_validator(mode="after")
    def _keys_act(self) -> Schedule:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must rise strictly")
        cosine = self.kind == "cosine"
        refuse_idle(
            self,
            (cosine and self.milestones, "kind is 'cosine'", ("milestones",)),
            (cosine, "kind is 'cosine'", ("gamma",)),
            (not cosine and not self.milestones, "milestones is empty", ("gamma",)),
            (self.warmup_epochs < 2, f"warmup_epochs is {self.warmup_epochs}", ("warmup_start",)),
        )
        return self


class Train(Strict):
    """How long and how.

    Attributes:
        epochs: Passes; one has floor(N / (P·K)) + 1 batches, N the larger modality's images.
        steps_per_epoch: Batches an epoch; None: the field's count above.
        seed: Everything that is drawn depends on it.
        optimizer: Optimizer.
        schedule: Learning-rate schedule.
        log_every: Steps between two lines of ``train.jsonl``.
        checkpoint_every: Epochs between two checkpoints.
        select: Which checkpoint is evaluated: the ``last`` epoch's, or the one that is best by mAP on the
            validation identities (``val``), measured after each epoch; never by the test identities.
    """

    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 80
    steps_per_epoch: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    log_every: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 10
    checkpoint_every: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 1
    select: Literal["last", "val"] = "last"


class Reported(Strict):
    """A metric that the paper prints, in percent.

    Attributes:
        dataset: The real dataset it was measured on.
        protocol: SYSU-MM01 ``all-single``, ``all-multi``, ``indoor-single``, ``indoor-multi``; RegDB (mean
            over ten trials) and LLCM (as its release computes them) ``v2i``, ``i2v``; faces ``faces``.
        source: Where in the paper.
        rank1, rank5, rank10, rank20, mAP, mINP: Percent; None where the paper is silent.
        vr_far_1, vr_far_01: Verification rate at a false acceptance rate of 1 % and of 0.1 % (faces); in
            a recipe, and among measured metrics, ``vr_far_0.01`` and ``vr_far_0.001``.
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
    """What the paper says its network costs.

    Attributes:
        source: Where in the paper.
        parameters: Millions.
        multiply_adds: 10⁹ for one image; papers often call them FLOPs.
        latency: Milliseconds an image, on the paper's device.
        size: (height, width) of the image they are counted on; None: not said.
    """

    source: str = ""
    parameters: Number | None = None
    multiply_adds: Number | None = None
    latency: Number | None = None
    size: Annotated[tuple[int, int], BeforeValidator(as_tuple)] | None = None


class Recipe(Strict):
    """One experiment, complete.

    Attributes:
        name: The recipe's name; the file's stem where it is not given.
        paper: What it reproduces.
        data, backbone, method, train: The parts.
        reported: The paper's metrics, printed beside ours where dataset and protocol are the same.
        reported_cost: The paper's cost values, printed beside ours by ``evaluate --cost``.
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
    def _name_is_a_folder(cls, name: str) -> str:
        if name.startswith((".", "-")) or any(c in r'/\:*?"<>|' or not c.isprintable() for c in name):
            raise ValueError(
                "a name begins the run folder's: no / \\ : * ? \" < > |, no . or - at its beginning"
            )
        return name

    @model_validator(mode="after")
    def _selection_is_on_others(self) -> Recipe:
        if self.train.select == "val" and self.data.split != "train":
            raise ValueError("train.select: val needs data.split: train, to select on others than it learns")
        return self
