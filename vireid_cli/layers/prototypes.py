"""Mean spectra and tokens of each modality's training images, as partners of single images.

See docs/methods.md#sfcl-inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.layers.cfam import Spectral
from vireid_cli.layers.choice import Choice
from vireid_cli.sharding.share import sum_over_ranks
from vireid_cli.types import Modality

BUFFERS = ("amplitude", "tokens", "phases")


class Prototypes(nn.Module):
    """Means over images of amplitudes and of both kinds of tokens, per modality, as buffers.

    Empty until ``learn`` is called. The number of positions is that of the images; loading a state dict
    restores its number of positions.

    Args:
        channels: C of the maps.
        dim: Width d of the tokens.
    """

    amplitude: Tensor
    tokens: Tensor
    phases: Tensor

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        # Modality, then the shape for one image, initially without positions.
        self.register_buffer("amplitude", torch.zeros(2, channels, 0))
        self.register_buffer("tokens", torch.zeros(2, 0, dim))
        self.register_buffer("phases", torch.zeros(2, 0, dim))

    @property
    def empty(self) -> bool:
        """Whether the means are not computed yet."""
        return self.tokens.shape[1] == 0

    def learn(self, spectra: Mapping[Modality, Iterable[Spectral]]) -> None:
        """Replace the means by those of ``spectra``, in batches of any size.

        Raises:
            ValueError: A modality has no images.
        """
        means = [_means(spectra[modality]) for modality in Modality]
        for name, pair in zip(BUFFERS, zip(*means, strict=True), strict=True):
            setattr(self, name, torch.stack(pair))

    def of(self, modality: Choice, like: Spectral) -> Spectral:
        """Means of a modality as partners of a batch, with the cosines and sines of ``like``."""
        code = modality.code if isinstance(modality, Modality) else modality
        count = like.tokens.shape[0]  # ``len`` would fix the batch size of an export
        amplitude, tokens, phases = (getattr(self, name)[code].expand(count, -1, -1) for name in BUFFERS)
        return Spectral(amplitude, like.cosine, like.sine, tokens, phases)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name in BUFFERS:
            saved, own = state_dict.get(prefix + name), getattr(self, name)
            if saved is not None and saved.shape != own.shape:
                setattr(self, name, own.new_zeros(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _means(batches: Iterable[Spectral]) -> tuple[Tensor, ...]:
    """Means over the images of all ranks of amplitude, tokens and phases, float32."""
    sums: list[Tensor] = []
    count = 0
    for batch in batches:
        parts = [getattr(batch, name).detach().float().sum(0) for name in BUFFERS]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if count else parts
        count += len(batch.tokens)
    if not count:
        raise ValueError("prototypes need images of both modalities")
    images = sum_over_ranks(torch.tensor(count, device=sums[0].device))
    return tuple(sum_over_ranks(total) / images for total in sums)
