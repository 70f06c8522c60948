"""A training in a run folder: builds its parts, saves and restores its state, and runs it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import cast

import torch

from vireid_cli import files
from vireid_cli.counts import counted
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint
from vireid_cli.engine.checkpoint_average import average_of
from vireid_cli.engine.checkpoint_fit import check_weights, load_optimizer, load_scaler, load_weights
from vireid_cli.engine.loggers.figures import drawn
from vireid_cli.engine.loggers.run_loggers import OFF, training_loggers
from vireid_cli.engine.reporter import duration
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.allocator import keep_freed_memory
from vireid_cli.engine.train.average import WeightAverage
from vireid_cli.engine.train.calibration import calibration
from vireid_cli.engine.train.compiled import compile_trunk
from vireid_cli.engine.train.data import TrainingData
from vireid_cli.engine.train.feed import Feed, Pixels
from vireid_cli.engine.train.gradient_mean import broadcast_weights
from vireid_cli.engine.train.gradients import gradients_of, rows_of
from vireid_cli.engine.train.interrupt import StopRequested, stop_on_signals
from vireid_cli.engine.train.loop import Hooks, Loop, NotFinite
from vireid_cli.engine.train.optimizer import build_optimizer
from vireid_cli.engine.train.validation import Selection
from vireid_cli.errors import Interrupted, ReportedElsewhere, VireidError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.printable import shell_line
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import run as runs
from vireid_cli.results.run import RunFolder
from vireid_cli.results.training_schema import EpochRow, StepRow

Watch = Callable[[int, Mapping[str, float]], None]
"""Receives the number of finished epochs and the metrics of their validation."""

_log = logging.getLogger(__name__)


class Trainer:
    """Optimiser, scaler, batches, loop and model selection of one training.

    Args:
        run: The run folder; receives the log and the checkpoints.
        session: Device, reporter and folders.
        recipe: The run's recipe.
        data: The training images and identities.
        network: The network, on the device.
        identity_hashes: Hashes of all training identities, including those of the starting weights.
        watch: Receives each validation, after it is logged; None: nobody.
    """

    def __init__(
        self,
        run: RunFolder,
        session: Session,
        recipe: Recipe,
        data: TrainingData,
        network: ReIdNetwork,
        identity_hashes: list[str],
        watch: Watch | None = None,
    ) -> None:
        self.run, self.session, self.recipe, self.network = run, session, recipe, network
        self._identity_hashes, self._is_latest = identity_hashes, False
        self._watch, self._loggers = watch, OFF
        runtime, size = session.runtime, recipe.data.image_size
        self.world, rows = runtime.world, rows_of(recipe, runtime.world)
        self.scaler = runtime.scaler()
        gradients = gradients_of(recipe, network, runtime, self.scaler)
        decay = recipe.train.ema
        self.average = WeightAverage(network, decay) if decay else None
        self.optimizer = build_optimizer(network.parameter_groups(), recipe.train.optimizer)
        self.selection: Selection | None = None
        if recipe.train.select == "val":
            save_best = functools.partial(self.save, checkpoints.BEST)
            self.selection = Selection(
                network, session, data.store, size, save_best, recipe.train.patience, self.average
            )
        pixels = Pixels(data.store, size, data.rows, runtime)
        camids = data.store.records.camids
        feed = Feed(pixels, data.rows, camids, recipe.data.augment, recipe.train.seed, runtime, rows)
        hooks = Hooks(
            self._append,
            self.save,
            session.reporter,
            self.selection.validate if self.selection else None,
            calibration(network, data, size, runtime),
            self.average.update if self.average else None,
            lambda: self.selection is not None and self.selection.exhausted,
        )
        self.loop = Loop(
            network, self.optimizer, gradients, self.scaler, data.sampler, feed, recipe.train, runtime, hooks
        )

    def _append(self, row: StepRow | EpochRow) -> None:
        """Append a row to ``train.jsonl``, and pass it to the loggers."""
        if self.world.first:
            runs.append_row(self.run.log, row)
            self._loggers.row(row)
        _log.debug("step %d: loss %.6g", row["global_step"], row["loss"])
        if row["kind"] == "epoch":
            self._end_epoch(cast(EpochRow, row))

    def _end_epoch(self, row: EpochRow) -> None:
        """Log the end of an epoch, and pass its validation to ``watch``."""
        done = row["epoch"] + 1
        _log.info("epoch %d: loss %.6g, learning rate %.6g", done, row["loss"], row["lr"])
        if self._watch is not None and "val" in row:
            self._watch(done, {name: value for name, value in row["val"].items() if value is not None})

    def state(self) -> Checkpoint:
        """Return the complete state; after ``restore`` the training continues bit-identically."""
        extra = {
            "scaler": self.scaler.state_dict(),
            "sums": self.loop.meter.sums,
            "steps": self.loop.meter.steps,
            "training_identities": self._identity_hashes,
            "best": self.selection.best if self.selection else {},
            "stopped_early": bool(self.selection and self.selection.exhausted),
        }
        model = checkpoints.model_state(self.network)
        tensors = self.average.tensors() if self.average else {}
        return Checkpoint(model, self.optimizer.state_dict(), self.loop.position, extra, tensors)

    def restore(self, saved: Checkpoint) -> None:
        """Load weights, optimiser, scaler, position, running sums and best validation of a checkpoint.

        Raises:
            DataError: The checkpoint does not fit the recipe's network or optimiser.
        """
        folder = self.run.checkpoints / checkpoints.LAST
        load_weights(self.network, saved.model, folder, self.run.recipe_file)
        load_optimizer(self.optimizer, saved, folder)
        load_scaler(self.scaler, saved, folder)
        if self.average:
            check_weights(self.network, average_of(saved.tensors), folder, self.run.recipe_file)
            self.average.restore(saved.tensors)
        self.loop.position = saved.position
        self.loop.meter.sums = dict(saved.extra["sums"])
        self.loop.meter.steps = int(saved.extra["steps"])
        if self.selection:
            self.selection.best = dict(saved.extra["best"])

    def save(self, name: str = checkpoints.LAST) -> None:
        """Save the state as the checkpoint ``name`` on rank 0; the first one makes the run the latest."""
        if not self.world.first:
            return
        began = time.perf_counter()
        checkpoints.save_checkpoint(self.run.checkpoints / name, self.state())
        _log.info(
            "saved checkpoint %s at step %d in %.2f s",
            name,
            self.loop.position.global_step,
            time.perf_counter() - began,
        )
        if name == checkpoints.LAST and not self._is_latest:
            runs.set_latest(self.run)
            self._is_latest = True

    def fit(self) -> RunFolder:
        """Train to the last epoch.

        Raises:
            Interrupted: A signal stopped the training; names the checkpoint and the command that resumes.
            VireidError: A loss became NaN or infinite; names the file of the saved batch.
            ReportedElsewhere: The same on another rank than 0.
        """
        start = self.loop.position.global_step
        with training_loggers(self.run, self.recipe, self.session, start) as self._loggers:
            run = self._fit()
            self._loggers.figures(
                lambda: drawn(("curves",), run, self.session), self.loop.position.global_step
            )
            return run

    def _fit(self) -> RunFolder:
        """Train to the last epoch; raises as ``fit``."""
        if self.world.several:
            broadcast_weights(self.network)
            if not self._has_checkpoint:
                self.save()  # a rank that fails within a step leaves no consistent state to the others
        keep_freed_memory(self.session.runtime.device)
        began = time.perf_counter()
        try:
            if self.recipe.train.compile == "trunk":
                compile_trunk(self.network, self._first_gradients, self.session)
            with stop_on_signals(quiet=not self.world.first) as stop:
                self.loop.run(stop)
        except (StopRequested, KeyboardInterrupt) as error:
            if not self.world.first:
                raise ReportedElsewhere(Interrupted.exit_code) from error
            raise self._interruption_error(isinstance(error, StopRequested)) from error
        except NotFinite as error:
            if not self.world.first:
                raise ReportedElsewhere(VireidError.exit_code) from error
            raise self._loss_error(error) from error
        seconds = time.perf_counter() - began
        self.session.reporter.info(
            f"trained {counted(self.loop.position.epoch, 'epoch')} in {duration(seconds)}"
        )
        return self.run

    def _first_gradients(self) -> None:
        """Compute the gradients of the next batch, without a step."""
        loop, position = self.loop, self.loop.position
        plan = loop.sampler.plan(position.epoch)
        self.network.train()
        torch.manual_seed(0)
        loop.gradients(loop.feed.batch(plan, position.epoch, 0), loop.feed.labels(plan, 0))

    @property
    def _has_checkpoint(self) -> bool:
        return (self.run.checkpoints / checkpoints.LAST).exists()

    def _interruption_error(self, graceful: bool) -> Interrupted:
        """Return the error of an interrupted training; it names the command that resumes.

        Args:
            graceful: Whether the loop saved a checkpoint first; False: the step was cut off.
        """
        folder = self.run.folder
        if not self._has_checkpoint:
            return Interrupted(
                f"Stopped at once; {folder} has no checkpoint yet.", "Start the training again."
            )
        data = files.data_option(self.session.data_dir)
        last = self.run.checkpoints / checkpoints.LAST
        message = f"Stopped; saved a checkpoint to {last}."
        if not graceful:
            message = f"Stopped within a step; the previous checkpoint is {last}."
        return Interrupted(message, f"Resume: vireid train --resume {shell_line([str(folder)])}{data}")

    def _loss_error(self, error: NotFinite) -> VireidError:
        """Save the batch of the failed step, and return an error that names term, step and file."""
        loop, position = self.loop, error.position
        plan = loop.sampler.plan(position.epoch)
        batch = loop.feed.batch(plan, position.epoch, position.step, whole=True)
        rows = loop.feed.store_rows(plan, position.step)
        path = files.write_npz(
            self.run.folder / f"bad-batch-{position.global_step}.npz",
            visible=batch.visible.float().cpu().numpy(),
            infrared=batch.infrared.float().cpu().numpy(),
            labels=batch.labels.cpu().numpy(),
            visible_rows=rows[0],
            infrared_rows=rows[1],
        )
        checkpoint = "The previous checkpoint is intact. "
        if not self._has_checkpoint:
            checkpoint = "The run has no checkpoint yet. "
        return VireidError(
            f"The loss term '{error.term}' became {error.value} in epoch {position.epoch + 1}, "
            f"step {position.step + 1}.",
            f"The batch is saved as {path}\n{checkpoint}Try a smaller "
            "train.optimizer.lr, --set train.optimizer.grad_clip=10, or --precision fp32.",
        )
