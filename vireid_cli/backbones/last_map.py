"""Last feature map of the backbone of a network, for any method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from vireid_cli.backbones import lightcnn
from vireid_cli.backbones.lightcnn import TwoStreamLightCnn
from vireid_cli.backbones.two_stream import TwoStream


@contextmanager
def last_map(network: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """Record the output of the backbone in a network's forward passes.

    The map is the output of the last stage of the pass. It excludes a method's modules behind the backbone
    (FDNM's ANM) and includes modules inside it (non-local blocks, AGP).

    Args:
        network: Network of a method; its batch norms may be folded.

    Yields:
        Function that returns the map of the latest pass, (M, C, h, w), with its graph, if any. The first N
        maps belong to the N images; M is larger if the method generates further maps (DEEN).

    Raises:
        ValueError: The network has no backbone of this package.
    """
    trunk = next((m for m in network.modules() if isinstance(m, (TwoStream, TwoStreamLightCnn))), None)
    if trunk is None:
        raise ValueError(f"{type(network).__name__} has no TwoStream and no TwoStreamLightCnn")
    stages: tuple[str, ...] = trunk.stages if isinstance(trunk, TwoStream) else lightcnn.STAGES
    maps: dict[str, Tensor] = {}

    def keep(stage: str, *call: Any) -> None:
        """Keep the output of a stage, the last argument of a forward hook."""
        if stage == stages[0]:
            maps.clear()  # a new pass, which may end at an earlier stage than the previous pass
        maps[stage] = call[-1]

    def newest() -> Tensor:
        """Return the map of the last stage of the latest pass."""
        return next(maps[stage] for stage in reversed(stages) if stage in maps)

    hooks = [trunk.get_submodule(stage).register_forward_hook(partial(keep, stage)) for stage in stages]
    try:
        yield newest
    finally:
        for hook in hooks:
            hook.remove()
