"""``vireid bench`` where it is stopped."""

from __future__ import annotations

import pytest

from tests.conftest import Command


def test_an_interrupted_benchmark_promises_nothing(vireid: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vireid_cli.bench.measure.measure", stop)
    said = vireid("bench", "sampler")
    assert said.code == 130
    assert "benchmarks keep no partial results" in said.err
    assert "Completed parts are kept" not in said.err
