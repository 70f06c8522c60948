"""Conversion of an optimizer's state dict to named tensors (for safetensors) and numbers (for JSON)."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def split_optimizer(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split a state dict into tensors, keyed by ``<parameter>/<name>``, and numbers."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state.get("state", {}).items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{key}"] = value
            elif value is not None:
                numbers.setdefault(str(index), {})[key] = value
    return tensors, {"state": numbers, "param_groups": state.get("param_groups", [])}


def join_optimizer(tensors: dict[str, Tensor], numbers: dict[str, Any]) -> dict[str, Any]:
    """Return the state dict that ``split_optimizer`` split.

    Raises:
        ValueError: The name of a tensor is not ``<parameter>/<name>``.
    """
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in numbers["state"].items()
    }
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        if not (index.isascii() and index.isdigit() and len(index) < 10 and key):
            raise ValueError(f"'{name}' is not a tensor of an optimizer")
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": numbers["param_groups"]}
