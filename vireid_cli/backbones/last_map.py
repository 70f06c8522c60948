"""The last feature map of a network's backbone, whatever its method does with it."""

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
    """Watch a network's forward passes for what its backbone makes.

    The map is that of the last stage that the pass ran: before a method's own modules on top (FDNM's ANM),
    with those that stand inside of the backbone (non-local blocks, AGP).

    Args:
        network: A method's network; its batch norms may be folded.

    Yields:
        What gives the map of the newest pass, (M, C, h, w), with its gradient where there is one. The
        first N belong to the N images; M is larger where a method adds more of its own (DEEN).

    Raises:
        ValueError: The network has no backbone of this package.
    """
    trunk = next((m for m in network.modules() if isinstance(m, (TwoStream, TwoStreamLightCnn))), None)
    if trunk is None:
        raise ValueError(f"{type(network).__name__} has no TwoStream and no TwoStreamLightCnn")
    stages: tuple[str, ...] = trunk.stages if isinstance(trunk, TwoStream) else lightcnn.STAGES
    seen: dict[str, Tensor] = {}

    def keep(stage: str, *call: Any) -> None:
        if stage == stages[0]:
            seen.clear()  # a new pass, which may end before the stage that the last one ended with
        seen[stage] = call[-1]

    def newest() -> Tensor:
        return next(seen[stage] for stage in reversed(stages) if stage in seen)

    hooks = [trunk.get_submodule(stage).register_forward_hook(partial(keep, stage)) for stage in stages]
    try:
        yield newest
    finally:
        for hook in hooks:
            hook.remove()
