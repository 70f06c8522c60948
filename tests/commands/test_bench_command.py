"""``vireid bench`` when it is stopped."""

from __future__ import annotations

import pytest

from tests.conftest import Command
from vireid_cli.bench.clients import run_clients
from vireid_cli.errors import UsageError


def test_an_interrupted_benchmark_promises_nothing(vireid: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vireid_cli.bench.measure.measure", stop)
    result = vireid("bench", "sampler")
    assert result.code == 130
    assert "benchmarks keep no partial results" in result.err
    assert "Completed parts are kept" not in result.err


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1:x",
        "http://[::1",
        "http://" + 70 * "a",
        "http://127.0.0.1/index",
        "http://name@127.0.0.1",
        "https://127.0.0.1",
        "127.0.0.1:8000",
    ],
)
def test_addresses_of_another_form_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected http://HOST:PORT"):
        run_clients(url, "/v1/search", [b""], {}, clients=1, duration=0.1)
