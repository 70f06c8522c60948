"""Speed of spectral operations, and of the additional modules of methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vireid_cli.bench.timing import interleaved
from vireid_cli.engine.network import build_network, load_recipe
from vireid_cli.engine.runtime import Runtime, generator
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.allocator import keep_freed_memory
from vireid_cli.frequency.fourier import Kind, amplitude, inverse, polar, spectrum, unit_phasor
from vireid_cli.frequency.products import blocks, plain, together
from vireid_cli.recipe.schema import Recipe
from vireid_cli.types import Batch

Edit = Callable[[Tensor], Tensor]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def spectra(
    session: Session, *, shapes: list[str], images: int, repeats: int, compiled: bool = False
) -> dict[str, Any]:
    """Measure an amplitude edit with unchanged phases, forward and backward, in three forms.

    The baseline ``field`` is the form of released codes: fft2, abs, angle, polar, ifft2, eager because
    complex numbers do not compile. The other values are speed-ups over the baseline in the same memory
    layout.

    Args:
        session: Session with the device.
        shapes: ``CxHxW`` of the feature maps.
        images: Feature maps per batch.
        repeats: Interleaved repetitions.
        compiled: Whether to measure ``torch.compile``, too; takes a minute or more.
    """
    runtime = session.runtime
    results: dict[str, Any] = {}
    for shape in shapes:
        channels, height, width = (int(n) for n in shape.split("x"))
        drawn = torch.randn(
            images, channels, height, width, generator=generator(torch.device("cpu"), "spectra")
        )
        for layout, format in LAYOUTS.items():
            maps = drawn.to(runtime.device).contiguous(memory_format=format)
            edits: dict[str, Edit] = {
                "field": complex_edit,
                "products": half_spectrum_edit("matmul"),
                "rfft2": half_spectrum_edit("fft"),
            }
            if compiled:
                edits["compiled_products"] = torch.compile(half_spectrum_edit("matmul"), dynamic=False)
            seconds = interleaved({k: _both_ways(v, maps) for k, v in edits.items()}, repeats, runtime)
            results[f"{shape} {layout}"] = {
                "field_seconds": seconds["field"],
                **{k: seconds["field"] / v for k, v in seconds.items() if k != "field"},
            }
    return {"images": images, **results}


def complex_edit(maps: Tensor) -> Tensor:
    """Edit amplitudes of (B, C, H, W) maps with complex numbers, as released codes do."""
    bins = torch.fft.fft2(maps, norm="ortho")
    edited = (0.9 * bins.abs() + 0.1).relu()
    return torch.fft.ifft2(torch.polar(edited, bins.angle()), norm="ortho").real


def half_spectrum_edit(kind: Kind) -> Edit:
    """Return a function with the result of ``complex_edit`` that uses half the spectrum and no angles."""

    def edit(maps: Tensor) -> Tensor:
        """Edit the amplitudes of maps (N, C, H, W), a block of maps at a time."""
        return together([block(part) for part in blocks(maps)])

    def block(maps: Tensor) -> Tensor:
        """Edit the amplitudes of the maps of one block."""
        bins = spectrum(maps, kind, ordered=False)
        size = amplitude(bins)
        phase = unit_phasor(bins, size)
        edited = (0.9 * size + 0.1).relu()
        return inverse(polar(edited, phase), (maps.shape[-2], maps.shape[-1]), kind, ordered=False)

    return edit


def _both_ways(edit: Edit, maps: Tensor) -> Callable[[], object]:
    def work() -> None:
        """Run one forward and one backward pass."""
        leaf = maps.detach().requires_grad_()
        edit(leaf).sum().backward()

    return work


def steps(session: Session, *, recipes: list[str], settings: list[str], repeats: int) -> dict[str, Any]:
    """Measure forward and backward passes of recipes, and count their multiply-adds.

    ``time_over_macs`` is the additional time of a recipe divided by its additional multiply-adds, both
    relative to the first recipe. At 1, the additional modules are as efficient as the others. Multiply-adds
    include convolutions and matrix products; a transform counts as one product per axis in all its forms.

    Args:
        session: Session with device and precision.
        recipes: Names or paths of recipes.
        settings: ``KEY=VALUE`` changes of all recipes.
        repeats: Interleaved repetitions.
    """
    runtime = session.runtime
    results: dict[str, Any] = {}
    works: dict[str, Callable[[], None]] = {}
    macs: dict[str, float] = {}
    for name in recipes:
        loaded = load_recipe(name, tuple(settings))
        works[loaded.name], macs[loaded.name] = _step(loaded, runtime)
    keep_freed_memory(runtime.device)  # training does the same
    seconds = interleaved(works, repeats, runtime)
    first = next(iter(works))
    for name, value in seconds.items():
        time, work = value / seconds[first] - 1.0, macs[name] / macs[first] - 1.0
        results[name] = {"seconds": value, "gmacs": macs[name] / 1e9, "more_time": time, "more_macs": work}
        if work > 0.0:
            results[name]["time_over_macs"] = time / work
    return results


def _step(recipe: Recipe, runtime: Runtime) -> tuple[Callable[[], None], float]:
    """Return a forward and backward pass on random pixels, and its multiply-adds."""
    sampler, size = recipe.data.sampler, recipe.data.image_size
    labels = torch.arange(sampler.identities).repeat_interleave(sampler.images).to(runtime.device)
    network = build_network(recipe, sampler.identities, runtime).train()
    random = generator(torch.device("cpu"), "steps")
    sides = [
        torch.rand(len(labels), 3, *size, generator=random)
        .to(runtime.device)
        .contiguous(memory_format=torch.channels_last)
        for _ in range(3 if recipe.data.augment.second_view else 2)
    ]
    second = sides[2] if recipe.data.augment.second_view else None

    def step() -> None:
        """Run one forward and one backward pass of all losses."""
        network.zero_grad(set_to_none=True)
        with runtime.autocast():
            losses = network.losses(Batch(sides[0], sides[1], labels, second=second))
        torch.stack([value.float() for value in losses.values()]).sum().backward()

    chosen = [(m, m.kind) for m in network.modules() if getattr(m, "kind", None) in get_args(Kind)]
    _set_kinds([(module, "matmul") for module, _ in chosen])
    with plain(), FlopCounterMode(display=False) as counter:
        step()
    _set_kinds(chosen)
    return step, counter.get_total_flops() / 2.0


def _set_kinds(modules: list[tuple[nn.Module, Any]]) -> None:
    for module, kind in modules:
        module.kind = kind
