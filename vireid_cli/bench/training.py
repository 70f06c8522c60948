"""Speed and memory of whole training steps of a recipe, on random pixels."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vireid_cli.bench.memory import PeakMemory
from vireid_cli.bench.timing import seconds_of
from vireid_cli.data.augment import augment_batch
from vireid_cli.engine.cost import IDENTITIES
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import generator
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.allocator import keep_freed_memory
from vireid_cli.engine.train.average import WeightAverage
from vireid_cli.engine.train.compiled import compile_trunk
from vireid_cli.engine.train.gradients import gradients_of
from vireid_cli.engine.train.optimizer import build_optimizer
from vireid_cli.engine.world import ONE
from vireid_cli.recipe.schema import Recipe
from vireid_cli.types import Batch, Modality

GPU_CALLS = 10
"""Steps per repetition on a GPU, which receives the work of the next step while it computes."""


class TrainingStep:
    """Augmentation, losses, gradients and update of a recipe, as in a training, with random weights.

    Args:
        recipe: The recipe; its starting weights are not loaded.
        session: Device and precision.

    Attributes:
        compiled: Whether the trunk is compiled.
    """

    def __init__(self, recipe: Recipe, session: Session) -> None:
        runtime = replace(session.runtime, world=ONE)
        self.recipe, self._runtime = recipe, runtime
        self._network = build_network(recipe, IDENTITIES, runtime).train()
        self._scaler = runtime.scaler()
        self._gradients = gradients_of(recipe, self._network, runtime, self._scaler)
        self.optimizer = build_optimizer(self._network.parameter_groups(), recipe.train.optimizer)
        self._average = WeightAverage(self._network, recipe.train.ema) if recipe.train.ema else None
        options = recipe.data.sampler
        labels = torch.arange(options.identities).repeat_interleave(options.images)
        self._labels = labels.to(runtime.device)
        image = torch.from_numpy(random_pixels(recipe)[:1]).to(runtime.device)
        self._sides = [image.expand(len(labels), -1, -1, -1) for _ in Modality]
        self._random = generator(torch.device("cpu"), "bench")
        self.compiled = False
        if recipe.train.compile == "trunk":
            self.compiled = compile_trunk(self._network, self._compute, replace(session, runtime=runtime))

    @property
    def images(self) -> int:
        """Images per step, of both modalities."""
        return 2 * len(self._labels)

    @property
    def channels_last(self) -> bool:
        """Whether all weights of convolutions are in channels-last memory."""
        weights = [m.weight for m in self._network.modules() if isinstance(m, nn.Conv2d)]
        return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)

    @property
    def fused(self) -> bool:
        """Whether one kernel updates all weights."""
        return bool(self.optimizer.defaults.get("fused"))

    def augment(self) -> Batch:
        """Augment one batch on the device."""
        images = augment_batch(self._sides[0], self._sides[1], self.recipe.data.augment, self._random)
        return Batch(**images._asdict(), labels=self._labels)

    def __call__(self) -> None:
        """Run one training step."""
        batch = self.augment()
        self.optimizer.zero_grad(set_to_none=True)
        self._gradients(batch, self._labels)
        if self.recipe.train.optimizer.grad_clip > 0.0:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self.recipe.train.optimizer.grad_clip)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._average is not None:
            self._average.update(1)

    def _compute(self) -> None:
        """Compute the gradients of a fixed batch."""
        torch.manual_seed(0)
        self._random.manual_seed(0)
        self._gradients(self.augment(), self._labels)


def train(session: Session, *, recipe: str, settings: list[str], repeats: int) -> dict[str, Any]:
    """Measure a whole training step of a recipe on random pixels, and the share of augmentation.

    Args:
        session: Session with device and precision.
        recipe: Name or path of the recipe.
        settings: ``KEY=VALUE`` changes of the recipe.
        repeats: Interleaved repetitions.

    Raises:
        UsageError: The recipe does not exist or is invalid.
    """
    return step_values(load_recipe(recipe, tuple(settings)), session, repeats)


def step_values(recipe: Recipe, session: Session, repeats: int) -> dict[str, Any]:
    """Measure training steps of a recipe: time with its quartiles, memory, and what makes it fast.

    Args:
        recipe: The recipe.
        session: Session with device and precision.
        repeats: Interleaved repetitions.
    """
    runtime = session.runtime
    memory = PeakMemory(runtime.device)
    keep_freed_memory(runtime.device)  # training does the same
    step = TrainingStep(recipe, session)
    calls = GPU_CALLS if runtime.device.type == "cuda" else 1
    seconds = seconds_of({"step": step, "augment": step.augment}, repeats, runtime, calls=calls)
    median = statistics.median(seconds["step"])
    low, high = np.percentile(seconds["step"], (25, 75)).tolist()
    return {
        **about(recipe),
        "images_per_step": step.images,
        "images_per_second": step.images / median,
        "seconds_per_step": median,
        "seconds_per_step_quartiles": [low, high],
        "augmentation_share": statistics.median(seconds["augment"]) / median,
        "peak_memory_bytes": memory.read(),
        "peak_memory_of": memory.kind,
        "precision": runtime.precision,
        "compile": "trunk" if step.compiled else "off",
        "channels_last": step.channels_last,
        "fused_optimizer": step.fused,
    }


def random_pixels(recipe: Recipe) -> np.ndarray:
    """Draw random pixels for a batch of one modality, (B, H, W, 3) uint8."""
    count = recipe.data.sampler.identities * recipe.data.sampler.images
    return np.random.default_rng(0).integers(0, 256, (count, *recipe.data.image_size, 3), dtype=np.uint8)


def about(recipe: Recipe) -> dict[str, Any]:
    """Return name, method, backbone and image size of a recipe."""
    height, width = recipe.data.image_size
    return {
        "recipe": recipe.name,
        "method": recipe.method.name,
        "backbone": recipe.backbone.name,
        "size": f"{height}x{width}",
    }
