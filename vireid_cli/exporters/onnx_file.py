"""Modules of ONNX files: the embedding of one or both modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from vireid_cli.types import Modality

FileLayout = Literal["split", "joint"]


class OnnxFile(nn.Module):
    """Module of one ONNX file: the embeddings of one or both modalities, with their sample images.

    Args:
        name: File name.
        network: Network, shared by all files.
        samples: (N, 3, H, W) pixels per modality of the file.
    """

    def __init__(self, name: str, network: nn.Module, samples: Mapping[Modality, Tensor]) -> None:
        super().__init__()
        self.name, self.network = name, network
        self.modalities, self.samples = tuple(samples), tuple(samples.values())
        self.inputs, self.outputs, self.batches = ["images"], ["embedding"], ["batch"]
        if len(samples) > 1:
            self.inputs = [m.value for m in samples]
            self.outputs = [f"{m.value}_embedding" for m in samples]
            self.batches = [f"{m.value}_batch" for m in samples]

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Compute embeddings (N, D) of pixels (N, 3, H, W), for each input."""
        embed: Callable[[Tensor, Modality], Tensor] = self.network.embed  # type: ignore[assignment]
        return tuple(embed(pixels, m) for pixels, m in zip(images, self.modalities, strict=True))


def files_of(network: nn.Module, samples: Mapping[Modality, Tensor], layout: FileLayout) -> list[OnnxFile]:
    """Create the modules of a layout, visible before infrared.

    Args:
        network: Network with ``embed(images, modality)``.
        samples: (N, 3, H, W) float pixels in [0, 1] per modality.
        layout: ``split`` for one file per modality, or ``joint``.

    Raises:
        ValueError: Samples of a wrong shape or range, or a modality of the layout is missing.
    """
    pixels = {m: _checked(m, samples[m]) for m in Modality if m in samples}
    if len({images.shape[2:] for images in pixels.values()}) != 1:
        raise ValueError("samples are missing, or differ between the modalities in height or width")
    if layout == "split":
        return [OnnxFile(f"{m.value}.onnx", network, {m: images}) for m, images in pixels.items()]
    if len(pixels) < len(Modality):
        raise ValueError("the joint layout needs samples of both modalities")
    return [OnnxFile("embed.onnx", network, pixels)]


def _checked(modality: Modality, images: Tensor) -> Tensor:
    """Return sample pixels on the CPU in float32; raises ``ValueError`` unless (N, 3, H, W) in [0, 1]."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape or not images.is_floating_point():
        raise ValueError(f"{modality.value}: expected float (N, 3, H, W), not {images.dtype} {shape}")
    pixels = images.detach().to("cpu", torch.float32).contiguous()
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ValueError(f"{modality.value}: pixels outside of [0, 1]")
    return pixels
