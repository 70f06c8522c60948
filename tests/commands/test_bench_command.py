"""``vireid bench`` when it is stopped."""

from __future__ import annotations

import pytest

from tests.conftest import Command


def test_an_interrupted_benchmark_promises_nothing(vireid: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vireid_cli.bench.measure.measure", stop)
    result = vireid("bench", "sampler")
    assert result.code == 130
    assert "benchmarks keep no partial results" in result.err
    assert "Completed parts are kept" not in result.err
