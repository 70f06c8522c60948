"""The training loop, shared by all methods.

The loop uses a method through ``losses``, ``monitors``, ``calibrate`` and ``embed``. Losses stay on the
device until a logged step, which copies the losses of all steps since the previous logged step and checks
that they are finite.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from vireid_cli.data.sampler import EpochPlan, IdentitySampler
from vireid_cli.engine.checkpoint import Position
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime, seed_of
from vireid_cli.engine.train.estimate import RemainingTime
from vireid_cli.engine.train.feed import Feed
from vireid_cli.engine.train.interrupt import StopRequested
from vireid_cli.engine.train.optimizer import apply_factor, factor
from vireid_cli.engine.train.step import Gradients
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Train
from vireid_cli.results.training_schema import EpochRow, StepRow
from vireid_cli.types import Batch


class NotFinite(Exception):
    """A loss term became NaN or infinite.

    Attributes:
        term: Name of the term.
        value: NaN or an infinity.
        position: Position of the failed step.
    """

    def __init__(self, term: str, value: float, position: Position) -> None:
        super().__init__(f"{term} = {value}")
        self.term, self.value, self.position = term, value, position


@dataclass(slots=True)
class Hooks:
    """Functions that the loop calls.

    Attributes:
        append_row: Appends a row to the log.
        save_checkpoint: Saves a checkpoint of the current state.
        reporter: Receives progress.
        validate: Validates the network after an epoch and saves it if it is the best; None
            disables validation.
        calibrate: Computes the network's buffers for ``embed`` before a checkpoint or a validation.
        average: Adds the weights after a number of steps to their average; None: there is none.
        exhausted: Whether validations no longer improve; called after each epoch.
    """

    append_row: Callable[[StepRow | EpochRow], None]
    save_checkpoint: Callable[[], None]
    reporter: Reporter
    validate: Callable[[Position], dict[str, float]] | None = None
    calibrate: Callable[[], None] = lambda: None
    average: Callable[[int], None] | None = None
    exhausted: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class Meter:
    """Pending terms and monitors (on the device), and the epoch's running sums (on the host).

    Attributes:
        names: Names of the loss terms, in the order of the columns of ``pending``.
        monitor_names: Names of the monitors, in the columns after the terms.
        pending: (terms + monitors,) values of each step since the last reading.
        positions: Position of each of these steps.
        sums: Sums of the terms over the running epoch.
        steps: Number of steps in ``sums``.
    """

    names: list[str] = field(default_factory=list)
    monitor_names: list[str] = field(default_factory=list)
    pending: list[Tensor] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0

    def add(self, losses: dict[str, Tensor], monitors: dict[str, Tensor], position: Position) -> None:
        """Add one step's terms and monitors, without a host synchronisation."""
        self.names, self.monitor_names = list(losses), list(monitors)
        values = (*losses.values(), *monitors.values())
        self.pending.append(torch.stack([value.detach().float() for value in values]))
        self.positions.append(position)

    def read(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the means of the pending steps, by term and by monitor, and clear them.

        Synchronises with the device. Monitors that are not finite are omitted.

        Raises:
            NotFinite: A term is NaN or infinite; names the first one.
        """
        rows = torch.stack(self.pending).cpu().numpy().astype(np.float64)  # (steps, terms + monitors)
        values, monitor_values = np.split(rows, [len(self.names)], axis=1)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            raise NotFinite(self.names[column], float(values[row, column]), self.positions[row])
        for name, total in zip(self.names, values.sum(axis=0), strict=True):
            self.sums[name] = self.sums.get(name, 0.0) + float(total)
        self.steps += len(values)
        means = dict(zip(self.names, values.mean(axis=0).tolist(), strict=True))
        monitor_means = dict(zip(self.monitor_names, monitor_values.mean(axis=0).tolist(), strict=True))
        self.pending.clear()
        self.positions.clear()
        return means, {name: value for name, value in monitor_means.items() if math.isfinite(value)}

    def epoch_means(self) -> dict[str, float]:
        """Return the means of the terms over the running epoch, and reset the sums."""
        means = {name: total / max(1, self.steps) for name, total in self.sums.items()}
        self.sums, self.steps = {}, 0
        return means


@dataclass(slots=True)
class Loop:
    """The steps of one training; ``Trainer`` creates it.

    Attributes:
        network: Network in training, on the runtime's device.
        optimizer: Optimiser of the network's parameters.
        gradients: Computes the losses of a batch and their gradients.
        scaler: Gradient scaler; disabled unless the precision is fp16.
        sampler: Plans the batches of each epoch.
        feed: Loads the batches of a plan onto the device.
        recipe: Training section of the recipe.
        runtime: Device and precision.
        hooks: Functions that the loop calls.
        meter: Loss terms since the last reading, and sums of the running epoch.
        position: Position of the next step.
    """

    network: ReIdNetwork
    optimizer: torch.optim.Optimizer
    gradients: Gradients
    scaler: torch.amp.GradScaler
    sampler: IdentitySampler
    feed: Feed
    recipe: Train
    runtime: Runtime
    hooks: Hooks
    meter: Meter = field(default_factory=Meter)
    position: Position = field(default_factory=Position)

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train from ``position`` to the last epoch.

        Args:
            stop: Called after each step; True stops the training.

        Raises:
            NotFinite: A loss term is NaN or infinite.
            StopRequested: ``stop`` returned True; a checkpoint was saved first.
        """
        remaining = RemainingTime(self.hooks.reporter.info, self.runtime.device.type)
        for epoch in range(self.position.epoch, self.recipe.epochs):
            self.network.train()
            plan = self.sampler.plan(epoch)
            lr_factor = factor(self.recipe.schedule, epoch, self.recipe.epochs)
            apply_factor(self.optimizer, lr_factor)
            self._epoch(plan, self.recipe.optimizer.lr * lr_factor, remaining, stop)
            exhausted = self.hooks.exhausted()
            if exhausted or self._saves_after(epoch):
                self.hooks.save_checkpoint()
            if exhausted:
                return

    def _saves_after(self, epoch: int) -> bool:
        """Whether a checkpoint follows this epoch."""
        done = epoch + 1
        return done % self.recipe.checkpoint_every == 0 or done == self.recipe.epochs

    def _epoch(self, plan: EpochPlan, lr: float, remaining: RemainingTime, stop: Callable[[], bool]) -> None:
        """Train the remaining steps of one epoch."""
        position = self.position
        steps, images = len(plan), 2 * plan.labels.shape[1]
        monitors: dict[str, float] = {}
        logged_step, logged_time = position.step, time.perf_counter()
        estimated_until = position.step  # steps of the epoch that the estimate includes
        remaining.start_epoch(logged_time)
        for step in range(position.step, steps):
            batch = self.feed.batch(plan, position.epoch, step)
            self._step(batch, self.feed.labels(plan, step), position)
            position = Position(position.epoch, step + 1, position.global_step + 1)
            self.position = position
            stopping = self.runtime.world.any(stop())
            logged = stopping or position.global_step % self.recipe.log_every == 0 or step + 1 == steps
            if logged:
                means, monitors = self.meter.read()
                now = time.perf_counter()
                speed = (step + 1 - logged_step) * images / max(now - logged_time, 1e-9)
                logged_step, logged_time = step + 1, now
                self._log(position, steps, lr, means, monitors, speed)
            if logged or remaining.starting:
                self.runtime.synchronize()
                left = self.recipe.epochs * steps - position.global_step
                epochs_left = self.recipe.epochs - position.epoch - 1
                remaining.add(step + 1 - estimated_until, time.perf_counter(), left, epochs_left)
                estimated_until = step + 1
            if stopping:
                self.hooks.save_checkpoint()
                raise StopRequested
        self.position = Position(position.epoch + 1, 0, position.global_step)
        if self.hooks.validate or self._saves_after(position.epoch):
            self.hooks.calibrate()
        validated = self.hooks.validate(self.position) if self.hooks.validate else None
        self._log_epoch(position, steps, lr, monitors, validated)

    def _step(self, batch: Batch, labels: Tensor, position: Position) -> None:
        """Compute the losses and their gradients, and update the parameters."""
        torch.manual_seed(seed_of(self.recipe.seed, "network", position.epoch, position.step))
        self.optimizer.zero_grad(set_to_none=True)
        losses, monitors = self.gradients(batch, labels)
        self.meter.add(losses, monitors, position)
        if self.recipe.optimizer.grad_clip > 0.0:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.hooks.average:
            self.hooks.average(position.global_step + 1)

    def _log(
        self,
        next_position: Position,
        steps: int,
        lr: float,
        means: dict[str, float],
        monitors: dict[str, float],
        speed: float,
    ) -> None:
        """Append the row of the step before ``next_position`` to the log, and advance the progress bar."""
        loss = math.fsum(means.values())
        row = StepRow(
            kind="step",
            epoch=next_position.epoch,
            step=next_position.step,
            global_step=next_position.global_step,
            lr=lr,
            loss=loss,
            losses=means,
        )
        if monitors:
            row["monitors"] = monitors
        self.hooks.append_row(row)
        # in the order of their importance: a narrow terminal omits the last ones
        shown = {"loss": f"{loss:.3f}", **{name: f"{value:.3f}" for name, value in means.items()}}
        shown |= {
            "epoch": f"{next_position.epoch + 1}/{self.recipe.epochs}",
            "images/s": f"{speed:.0f}",
        }
        self.hooks.reporter.advance(
            "training", next_position.epoch * steps + next_position.step, self.recipe.epochs * steps, shown
        )

    def _log_epoch(
        self,
        next_position: Position,
        steps: int,
        lr: float,
        monitors: dict[str, float],
        val: dict[str, float] | None,
    ) -> None:
        """Append the epoch's row to the log."""
        means = self.meter.epoch_means()
        row = EpochRow(
            kind="epoch",
            epoch=next_position.epoch,
            steps=steps,
            global_step=next_position.global_step,
            lr=lr,
            loss=math.fsum(means.values()),
            losses=means,
        )
        if monitors:
            row["monitors"] = monitors
        if val is not None:
            row["val"] = val
        self.hooks.append_row(row)
