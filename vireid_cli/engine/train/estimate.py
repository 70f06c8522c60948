"""Estimate of a training's remaining time, from the median of its last steps."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable

from vireid_cli.engine.reporter import duration

LONG, VERY_LONG = 10.0, 3600.0
"""Remaining seconds above which the estimate is printed, and above which advice is added."""

SHORTER = "shorter: --set train.epochs=1 --set train.steps_per_epoch=20"

READINGS = 15
"""Number of readings of the step time in the median."""

ENOUGH = 3
"""Readings needed before the first estimate, unless the training has already run for ``LONG`` seconds."""

TOLERANCE = 1.5
"""Ratio of the new to the printed estimate beyond which a correction is printed."""


class RemainingTime:
    """Prints the estimated remaining time once, and a correction when the estimate changes much.

    The estimate is the median seconds of the last steps times the remaining steps, plus the median pause
    between epochs (validation, checkpoints) times the remaining epochs. The first step is slow and is
    excluded. Of the first few steps the fastest counts, so that one slow step has no effect.

    Args:
        write: Prints a line.
        device: Device name for the line.
    """

    def __init__(self, write: Callable[[str], None], device: str) -> None:
        self._write, self._device = write, device
        self._readings: deque[float] = deque(maxlen=READINGS)
        self._pauses: deque[float] = deque(maxlen=READINGS)
        self._began: float | None = None
        self._last = 0.0
        self._steps = 0
        self._printed: tuple[float, float] | None = None  # time of the last line, and its estimated end

    @property
    def starting(self) -> bool:
        """Whether each step needs a reading of its own; later one reading covers many steps."""
        return self._steps <= ENOUGH

    def start_epoch(self, now: float) -> None:
        """Start an epoch; the time since the last step counts as a pause between epochs.

        Args:
            now: Seconds of any monotonic clock.
        """
        if self._began is None:
            self._began = now
        else:
            self._pauses.append(now - self._last)
        self._last = now

    def add(self, steps: int, now: float, steps_left: int, epochs_left: int = 0) -> None:
        """Add a reading, and print the estimate if it is new or differs by more than ``TOLERANCE``.

        Args:
            steps: Steps since the last reading.
            now: Seconds at the end of the last step, on the clock of ``start_epoch``.
            steps_left: Steps until the end of the training.
            epochs_left: Epochs after this one.
        """
        if self._steps <= ENOUGH < self._steps + steps and self._readings:
            self._readings.popleft()  # the slow first step
        self._steps += steps
        self._readings.append((now - self._last) / steps)
        self._last = now
        seconds = self.seconds(steps_left, epochs_left)
        if self._printed is None:
            reliable = self._steps > ENOUGH or now - (self._began or 0.0) > LONG
            if reliable and seconds > LONG:
                self._print(now, seconds, "")
        elif len(self._readings) >= ENOUGH and now - self._printed[0] > LONG:
            expected = max(self._printed[1] - now, 0.0)
            if max(seconds, expected) > LONG and not 1 / TOLERANCE < seconds / (expected or 1e-9) < TOLERANCE:
                self._print(now, seconds, ", corrected")

    def seconds(self, steps_left: int, epochs_left: int = 0) -> float:
        """Return the estimated remaining seconds; needs at least one reading."""
        pauses = statistics.median(self._pauses) * epochs_left if self._pauses else 0.0
        usual = min if self.starting else statistics.median
        return usual(self._readings) * steps_left + pauses

    def _print(self, now: float, seconds: float, remark: str) -> None:
        self._printed = (now, now + seconds)
        advice = f" ({SHORTER})" if seconds > VERY_LONG else ""
        self._write(f"about {duration(seconds)} left on {self._device}{remark}{advice}")
