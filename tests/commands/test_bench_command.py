"""``vireid bench`` where it is stopped."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Command


def test_an_interrupted_benchmark_promises_nothing(vireid: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vireid_cli.bench.measure.measure", stop)
    said = vireid("bench", "sampler")
    assert said.code == 130
    assert "nothing is kept of a benchmark" in said.err
    assert "what is whole is kept" not in said.err
