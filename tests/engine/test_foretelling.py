"""How long a training will take is said once, as soon as it can be known."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.train import loop as module
from vireid_cli.engine.train.loop import Hooks, Loop


class Listener(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        # the first step is slow to start: 0.5 s a step from the second on, 98 steps left
        ((5.0, 5.5, 6.0, 6.5), {2: "about 49 s to go on cpu"}),
        # a step of a minute and a half: known after the first, 99 left; the hint makes it short
        ((90.0, 200.0, 300.0), {1: f"about 2 h 28 min to go on cpu ({module.SHORTER})"}),
        # less than ten seconds in all: nothing is said
        ((1.0, 1.05, 1.1), {}),
    ],
)
def test_said_once_as_soon_as_it_is_known(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[float, ...], expected: dict[int, str]
) -> None:
    listener, nothing = Listener(), cast(Any, None)
    hooks = Hooks(nothing, nothing, nothing, listener)
    loop = Loop(
        nothing, nothing, nothing, nothing, nothing, nothing, Runtime(torch.device("cpu"), "fp32"), hooks
    )
    loop._timed = [0.0]
    said: dict[int, str] = {}
    for step, end in enumerate(ends, start=1):
        monkeypatch.setattr(module.time, "perf_counter", lambda now=end: now)
        before = len(listener.said)
        loop._foretell(100 - step)
        if len(listener.said) > before:
            said[step] = listener.said[-1]
    assert said == expected
