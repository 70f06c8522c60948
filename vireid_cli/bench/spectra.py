"""Spectral work and what a method's modules cost, timed in turn."""

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
    """Edit amplitudes and keep phases, forward and backward: the field's form, products, ``torch.fft``.

    The field: fft2, abs, angle, polar, ifft2, eager (complex numbers don't compile). Figures of ours
    are times faster than that, in the same memory layout.

    Args:
        session: Whose device is timed.
        shapes: ``CxHxW`` of the feature maps.
        images: Maps a batch.
        repeats: Turns.
        compiled: Also under ``torch.compile``, which takes a minute or more.
    """
    runtime = session.runtime
    found: dict[str, Any] = {}
    for shape in shapes:
        channels, height, width = (int(n) for n in shape.split("x"))
        drawn = torch.randn(
            images, channels, height, width, generator=generator(torch.device("cpu"), "spectra")
        )
        for layout, format in LAYOUTS.items():
            maps = drawn.to(runtime.device).contiguous(memory_format=format)
            edits: dict[str, Edit] = {
                "field": by_complex_numbers,
                "products": ours("matmul"),
                "rfft2": ours("fft"),
            }
            if compiled:
                edits["compiled_products"] = torch.compile(ours("matmul"), dynamic=False)
            seconds = interleaved({k: _both_ways(v, maps) for k, v in edits.items()}, repeats, runtime)
            found[f"{shape} {layout}"] = {
                "field_seconds": seconds["field"],
                **{k: seconds["field"] / v for k, v in seconds.items() if k != "field"},
            }
    return {"images": images, **found}


def by_complex_numbers(maps: Tensor) -> Tensor:
    """The field's amplitude edit, as its released codes write it: (B, C, H, W) → (B, C, H, W)."""
    bins = torch.fft.fft2(maps, norm="ortho")
    edited = (0.9 * bins.abs() + 0.1).relu()
    return torch.fft.ifft2(torch.polar(edited, bins.angle()), norm="ortho").real


def ours(kind: Kind) -> Edit:
    """The same edit on the half spectrum without an angle."""

    def edit(maps: Tensor) -> Tensor:
        return together([block(part) for part in blocks(maps)])

    def block(maps: Tensor) -> Tensor:
        bins = spectrum(maps, kind, ordered=False)
        size = amplitude(bins)
        phase = unit_phasor(bins, size)
        edited = (0.9 * size + 0.1).relu()
        return inverse(polar(edited, phase), (maps.shape[-2], maps.shape[-1]), kind, ordered=False)

    return edit


def _both_ways(edit: Edit, maps: Tensor) -> Callable[[], object]:
    def work() -> None:
        given = maps.detach().requires_grad_()
        edit(given).sum().backward()

    return work


def steps(session: Session, *, recipes: list[str], settings: list[str], repeats: int) -> dict[str, Any]:
    """Forward and backward passes of several recipes in turn, beside their multiply-adds.

    ``time_over_macs`` of a recipe is its added share of time over its added share of multiply-adds,
    both against the first recipe; 1 means that what was added is as fast as the rest. Multiply-adds
    are those of convolutions and products; transforms are counted as plain products, one an axis,
    whatever form runs.
    """
    runtime = session.runtime
    found: dict[str, Any] = {}
    works: dict[str, Callable[[], None]] = {}
    macs: dict[str, float] = {}
    for name in recipes:
        loaded = load_recipe(name, tuple(settings))
        works[loaded.name], macs[loaded.name] = _step(loaded, runtime)
    keep_freed_memory(runtime.device)  # as training does
    seconds = interleaved(works, repeats, runtime)
    first = next(iter(works))
    for name, taken in seconds.items():
        time, work = taken / seconds[first] - 1.0, macs[name] / macs[first] - 1.0
        found[name] = {"seconds": taken, "gmacs": macs[name] / 1e9, "more_time": time, "more_macs": work}
        if work > 0.0:
            found[name]["time_over_macs"] = time / work
    return found


def _step(recipe: Recipe, runtime: Runtime) -> tuple[Callable[[], None], float]:
    """Forward and backward pass on random pixels, and its multiply-adds."""
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
        network.zero_grad(set_to_none=True)
        with runtime.autocast():
            losses = network.losses(Batch(sides[0], sides[1], labels, second=second))
        torch.stack([value.float() for value in losses.values()]).sum().backward()

    chosen = [(m, m.kind) for m in network.modules() if getattr(m, "kind", None) in get_args(Kind)]
    _kinds([(module, "matmul") for module, _ in chosen])
    with plain(), FlopCounterMode(display=False) as counter:
        step()
    _kinds(chosen)
    return step, counter.get_total_flops() / 2.0


def _kinds(modules: list[tuple[nn.Module, Any]]) -> None:
    for module, kind in modules:
        module.kind = kind
