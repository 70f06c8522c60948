"""The estimated remaining time is printed once it is known, by the median of the last steps."""

from __future__ import annotations

import pytest

from vireid_cli.engine.train.estimate import SHORTER, RemainingTime


def printed(ends: list[float], total: int = 100) -> dict[int, str]:
    """Printed lines and their steps, for a training of ``total`` steps that end at these times."""
    lines: list[str] = []
    estimate = RemainingTime(lines.append, "cpu")
    estimate.start_epoch(0.0)
    by_step: dict[int, str] = {}
    for step, end in enumerate(ends, start=1):
        before = len(lines)
        estimate.add(1, end, total - step)
        if len(lines) > before:
            by_step[step] = lines[-1]
    return by_step


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        # the first step is slow to start: 0.5 s a step from the second on, 96 steps left after four
        ([5.0, 5.5, 6.0, 6.5], {4: "about 48 s left on cpu"}),
        # a step of a minute and a half: known after the first, 99 left; the hint makes it short
        ([90.0, 180.0, 270.0, 360.0, 450.0], {1: f"about 2 h 28 min left on cpu ({SHORTER})"}),
        # less than ten seconds in all: nothing is printed
        ([1.0, 1.05, 1.1, 1.15, 1.2], {}),
    ],
)
def test_printed_once_as_soon_as_it_is_known(ends: list[float], expected: dict[int, str]) -> None:
    assert printed(ends) == expected


def test_a_slow_step_changes_nothing() -> None:
    """One step of 78 s among 1,200 of a second each: 20 minutes, not 26 hours."""
    steps = [1.5, 78.0, 1.0, 1.0, 1.0, 1.0, 60.0, 1.0, 1.0, 1.0]
    ends = [sum(steps[: i + 1]) for i in range(len(steps))]
    lines = printed(ends, 1200)
    assert set(lines) == {2}
    assert lines[2] == "about 29 min 57 s left on cpu"  # 1.5 s × 1198 steps


def test_corrected_when_the_pace_changes() -> None:
    """0.2 s a step at first, 2 s later: the line is printed again, once, when the median has turned."""
    steps = [0.2] * 60 + [2.0] * 30
    ends = [sum(steps[: i + 1]) for i in range(len(steps))]
    lines = printed(ends, 400)
    assert lines[4] == "about 1 min 19 s left on cpu"
    assert [line.rpartition(" ")[2] for line in lines.values()] == ["cpu", "corrected"]
    step = max(lines)
    assert 60 < step <= 70
    minutes, seconds = divmod((400 - step) * 2, 60)
    assert lines[step] == f"about {minutes} min {seconds} s left on cpu, corrected"


def test_pauses_between_epochs_count() -> None:
    """Ten epochs of ten steps of a second, with a validation of 20 s after each."""
    estimate = RemainingTime(lambda line: None, "cpu")
    now, seconds = 0.0, 0.0
    for epoch in range(3):
        estimate.start_epoch(now)
        for step in range(10):
            now += 1.0
            left = 100 - 10 * epoch - step - 1
            estimate.add(1, now, left, 9 - epoch)
            seconds = estimate.seconds(left, 9 - epoch)
        now += 20.0
    assert seconds == pytest.approx(70.0 + 7 * 20.0)


def test_readings_of_many_steps_are_read_by_step() -> None:
    lines: list[str] = []
    estimate = RemainingTime(lines.append, "cuda")
    estimate.start_epoch(100.0)
    for i in range(1, 5):
        estimate.add(1, 100.0 + i, 1000 - i)
    estimate.add(50, 104.0 + 50 * 0.5, 946)
    assert not estimate.starting
    assert estimate.seconds(946) == pytest.approx(946.0)  # median of 1, 1, 1, 0.5
    assert lines == ["about 16 min 36 s left on cuda"]
