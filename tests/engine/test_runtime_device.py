"""A device that can't be used is named in one sentence."""

from __future__ import annotations

import pytest
import torch

from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import UsageError


@pytest.mark.parametrize("name", ["mps", "meta", "xpu", "nope"])
def test_an_unusable_device_is_refused_in_one_sentence(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(UsageError, match=f"--device {name} can't be used") as caught:
        Runtime.choose(name)
    assert len(caught.value.message) < 300
    assert "Autocast" not in caught.value.message
