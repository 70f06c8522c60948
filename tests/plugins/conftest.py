"""No plugin of one test is known to another."""

from __future__ import annotations

import pytest

from vireid_cli import plugins


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "LOADED", {})
