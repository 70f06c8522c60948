"""Programs that are exported: a network with its inputs, and the cases that verify every file of it.

Layouts:

* ``single``: one program; inputs ``images`` and ``modality``, the code of each image.
* ``split``: a program per modality; input ``images``.
* ``joint``: one program; inputs ``visible`` and ``infrared``, an output for each.

Images are float pixels (N, 3, H, W) in [0, 1], not normalised. With ``preprocessing`` they are uint8 pixels
(N, h, w, 3) of any size, and the program resizes them as ``vireid prepare`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from vireid_cli.data.resize import pillow_orders_passes, resize
from vireid_cli.layers.resample import Resample
from vireid_cli.types import Modality, Resize

Layout = Literal["single", "split", "joint"]

CHECKED_BATCHES = (1, 2, 5)
"""Batch sizes tested with every file; two inputs are tested with different sizes."""

ANY_SIZE = "-any-size"
"""Suffix of the file names of programs with preprocessing."""

Embed = Callable[[Tensor, Modality | Tensor], Tensor]


@dataclass(frozen=True)
class ProgramCase:
    """Inputs of a program, and PyTorch's embeddings of the same images, for each output."""

    inputs: tuple[Tensor, ...]
    expected: tuple[Tensor, ...]


class Program(nn.Module):
    """Module of one file: the embeddings of one or both modalities, with their sample images.

    Args:
        name: File name without ending.
        network: Network with ``embed(images, modality)``, shared by all programs of an export.
        samples: (N, 3, H, W) pixels per modality of the file.
        layout: Layout of the export.
        preprocessing: Resize rule of a program that takes images of any size; None: a fixed size.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        samples: Mapping[Modality, Tensor],
        layout: Layout,
        preprocessing: Resize | None = None,
    ) -> None:
        super().__init__()
        self.name, self.network, self.layout = name, network, layout
        self.modalities, self.samples = tuple(samples), tuple(samples.values())
        self.size = (self.samples[0].shape[2], self.samples[0].shape[3])
        self.preprocessing, self.resample = preprocessing, None
        if preprocessing is not None:
            ordered = preprocessing == "lanczos" and pillow_orders_passes()
            self.resample = Resample(self.size, preprocessing, ordered)
        self.inputs, self.outputs, self.batches = ["images"], ["embedding"], ["batch"]
        if layout == "single":
            self.inputs.append("modality")
        if layout == "joint":
            self.inputs = [m.value for m in samples]
            self.outputs = [f"{m.value}_embedding" for m in samples]
            self.batches = [f"{m.value}_batch" for m in samples]

    @property
    def embed(self) -> Embed:
        """Method ``embed`` of the network."""
        return cast(Embed, self.network.embed)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute embeddings (N, D) of the inputs of the layout."""
        if self.layout == "single":
            return (self.embed(self._pixels(inputs[0]), inputs[1]),)
        pairs = zip(inputs, self.modalities, strict=True)
        return tuple(self.embed(self._pixels(images), m) for images, m in pairs)

    def _pixels(self, images: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) of an input, resized with preprocessing."""
        return images if self.resample is None else cast(Tensor, self.resample(images))

    def traced_inputs(self) -> tuple[Tensor, ...]:
        """Inputs for tracing: black images, since files may contain them.

        There are two of each input or more, in different numbers: tracers treat a length of 1 as a constant,
        and equal lengths as one dimension.
        """
        case = next(self.cases((2,)))
        return tuple(torch.zeros_like(tensor) for tensor in case.inputs)

    def variable_axes(self) -> tuple[dict[int, str], ...]:
        """Names of the variable axes of each input: the batch and, with preprocessing, height and width."""
        axes: list[dict[int, str]] = [{0: name} for name in self.batches]
        if self.resample is not None:
            for own, name in zip(axes, self.batches, strict=True):
                prefix = name.removesuffix("batch")
                own |= {1: f"{prefix}height", 2: f"{prefix}width"}
        if self.layout == "single":
            axes.append({0: self.batches[0]})
        return tuple(axes)

    def cases(self, sizes: Sequence[int] = CHECKED_BATCHES) -> Iterator[ProgramCase]:
        """Yield cases of small batches of the given sizes, then all samples in batches of up to 32.

        PyTorch's embeddings are computed by the path of each modality and, with preprocessing, from images
        that ``data.resize`` resized. Two images of different modalities are in every batch of the layout
        ``single`` from size 2.
        """
        if self.layout == "single" and len(sizes) > 1:
            for images, m in zip(self.samples, self.modalities, strict=True):
                yield self._alone(images[:1], m)
        for number, rows in enumerate(self._rows(sizes)):
            batches = [sample[row] for sample, row in zip(self.samples, rows, strict=True)]
            if self.resample is not None:
                batches = [_of_size(batch, _scaled(self.size, number)) for batch in batches]
            yield self._case(batches)

    def _alone(self, images: Tensor, modality: Modality) -> ProgramCase:
        """Create a case of images of one modality, in the layout ``single``."""
        batch = images if self.resample is None else _of_size(images, _scaled(self.size, 0))
        codes = torch.full((len(images),), modality.code)
        return ProgramCase((batch, codes), (self.embed(self._prepared(batch), modality),))

    def _case(self, batches: list[Tensor]) -> ProgramCase:
        """Create the case of one batch per modality."""
        pixels = [self._prepared(batch) for batch in batches]
        expected = [self.embed(images, m) for images, m in zip(pixels, self.modalities, strict=True)]
        if self.layout != "single":
            return ProgramCase(tuple(batches), tuple(expected))
        codes = [torch.full((len(batch),), m.code) for batch, m in zip(batches, self.modalities, strict=True)]
        order = torch.cat([torch.arange(len(batch)) for batch in batches]).argsort(stable=True)
        images, embeddings, modality = (torch.cat(parts)[order] for parts in (batches, expected, codes))
        return ProgramCase((images, modality), (embeddings,))

    def _prepared(self, images: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) of a batch, by the functions of ``vireid prepare``."""
        if self.preprocessing is None:
            return images
        resized = np.stack([resize(image, self.size, self.preprocessing) for image in images.numpy()])
        return torch.from_numpy(resized).permute(0, 3, 1, 2).float().div(255.0).contiguous()

    def _rows(self, sizes: Sequence[int]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the sample rows of each case: one tensor per modality, of different lengths."""
        counts = [len(sample) for sample in self.samples]
        for i in range(len(sizes)):
            lengths = [sizes[(i + j) % len(sizes)] for j in range(len(counts))]
            if len(sizes) == 1:
                lengths = [sizes[0] + j for j in range(len(counts))]
            yield tuple(torch.arange(n) % count for n, count in zip(lengths, counts, strict=True))
        if len(sizes) == 1:
            return
        chunks = [torch.arange(count).split(32) for count in counts]
        for i in range(max(len(chunk) for chunk in chunks)):
            yield tuple(chunk[min(i, len(chunk) - 1)] for chunk in chunks)


def programs_of(
    network: nn.Module,
    samples: Mapping[Modality, Tensor],
    layout: Layout,
    preprocessing: Resize | None = None,
) -> list[Program]:
    """Create the programs of a layout, visible before infrared.

    Args:
        network: Network with ``embed(images, modality)``.
        samples: (N, 3, H, W) float pixels in [0, 1] per modality.
        layout: Layout of the export.
        preprocessing: Resize rule of programs that take images of any size.

    Raises:
        ValueError: Samples of a wrong shape or range, or a modality of the layout is missing.
    """
    pixels = {m: _checked(m, samples[m]) for m in Modality if m in samples}
    if len({images.shape[2:] for images in pixels.values()}) != 1:
        raise ValueError("samples are missing, or differ between the modalities in height or width")
    suffix = "" if preprocessing is None else ANY_SIZE
    if layout == "split":
        return [
            Program(m.value + suffix, network, {m: images}, layout, preprocessing)
            for m, images in pixels.items()
        ]
    if len(pixels) < len(Modality):
        raise ValueError(f"the {layout} layout needs samples of both modalities")
    name = "embed" if layout == "joint" else "model"
    return [Program(name + suffix, network, pixels, layout, preprocessing)]


def description(program: Program) -> dict[str, str]:
    """Describe inputs and outputs of a program, as metadata of its file."""
    height, width = program.size
    with torch.no_grad():
        dimension = program.embed(program.samples[0][:1], program.modalities[0]).shape[1]
    pixels = "float32 in [0, 1], RGB, NCHW, not normalised"
    if program.preprocessing is not None:
        pixels = f"uint8 in [0, 255], RGB, NHWC, any size; resized by {program.preprocessing}"
    about = {
        "modality": ", ".join(m.value for m in program.modalities),
        "layout": program.layout,
        "size": f"{height}x{width}",
        "pixels": pixels,
        "embedding": f"{dimension}-d, unit length, compare by cosine similarity",
    }
    if program.layout == "single":
        about["modality_codes"] = ", ".join(f"{m.code} {m.value}" for m in Modality)
    return about


def _scaled(size: tuple[int, int], number: int) -> tuple[int, int]:
    """Size of the images of a case: equal to the network's, larger, taller, smaller."""
    height, width = size
    sizes = [(2 * height + 1, width + 7), size, (4 * height, width + 3), (height // 2 + 3, width // 2 + 1)]
    return sizes[number % len(sizes)]


def _of_size(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Convert float pixels (N, 3, H, W) to uint8 images (N, h, w, 3) of another size."""
    images = (pixels * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([resize(np.ascontiguousarray(i), size, "bicubic") for i in images]))


def _checked(modality: Modality, images: Tensor) -> Tensor:
    """Return sample pixels on the CPU in float32; raises ``ValueError`` unless (N, 3, H, W) in [0, 1]."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape or not images.is_floating_point():
        raise ValueError(f"{modality.value}: expected float (N, 3, H, W), not {images.dtype} {shape}")
    pixels = images.detach().to("cpu", torch.float32).contiguous()
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ValueError(f"{modality.value}: pixels outside of [0, 1]")
    return pixels
