"""Change of the scale of a residual network's features (docs/pretraining.md#differences-of-features)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_BLOCK = re.compile(r"layer4\.(\d+)\.(.+)")


def rescale_features(state: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Multiply the output of the last stage by a factor.

    Every block of ``layer4`` ends in a ReLU of a sum, so that both summands of every block are multiplied,
    and the first convolution of every block but the first is divided. A batch norm that follows the features
    removes the factor, up to its epsilon.

    Args:
        state: A ResNet's tensors under torchvision's keys, without its classifier. Not changed.
        factor: Factor, finite and above 0. With a power of two the result is exact in float32.

    Returns:
        All tensors; those that do not change are the given ones.
    """
    last = "bn3" if "layer4.0.bn3.weight" in state else "bn2"
    sums = {f"{norm}.{kind}" for norm in (last, "downsample.1") for kind in ("weight", "bias")}

    def scaled(key: str, value: Tensor) -> Tensor:
        """Return the tensor of one key, scaled if it must be."""
        block = _BLOCK.fullmatch(key)
        if block and block[2] in sums:
            return value * factor
        if block and block[2] == "conv1.weight" and block[1] != "0":
            return value / factor
        return value

    return {key: scaled(key, value) for key, value in state.items()}
