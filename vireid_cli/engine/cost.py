"""Cost of a network: parameters, multiply-adds and FLOPs of one embedding, input size, latency.

Multiply-adds are those of convolutions, linear layers, matrix products, attention, Fourier transforms
(in every implementation) and the selective scan. Elementwise operations and norms are not counted, as in
the field's counters. FLOPs are twice the multiply-adds. Counts are for ``embed`` of one visible image.
"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.engine.network import build_network, run_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality, Size

IDENTITIES = 395
"""Default number of outputs of the classifiers: SYSU-MM01's training identities."""

REPEATS = 3
CLASSIFIER = "classifier"
"""Part of the names of all parameters that only training uses."""

aten = torch.ops.aten


def cost_of(
    recipe: Recipe,
    session: Session,
    *,
    identities: int = IDENTITIES,
    size: Size | None = None,
    batch: int | None = None,
    timed: bool = True,
) -> dict[str, Any]:
    """Measure the cost of a recipe's network, with random weights.

    Args:
        recipe: Recipe of the network.
        session: Its device measures the latency.
        identities: Number of outputs of the classifiers.
        size: (height, width) of the image in pixels; None: the recipe's size.
        batch: Batch size of the second latency; None: 8 on a CPU, 64 elsewhere.
        timed: Measure latency; all other values are deterministic.

    Returns:
        JSON values: number of parameters, multiply-adds and FLOPs of one image, latency in milliseconds.
    """
    runtime = session.runtime
    network = build_network(recipe, identities, runtime).eval()
    height, width = size or recipe.data.image_size
    batch = batch or (8 if runtime.device.type == "cpu" else 64)
    with torch.no_grad():
        network.calibrate(lambda _: iter([torch.rand(1, 3, height, width, device=runtime.device)]))
    flops = flops_of(network, (height, width), runtime)
    times = latency_of(network, (height, width), runtime, batch) if timed else {}
    return {
        "recipe": recipe.name,
        "method": recipe.method.name,
        "size": f"{height}x{width}",
        **parameters_of(network),
        "multiply_adds": flops // 2,
        "flops": flops,
        **times,
        "reported": reported_of(recipe),
        **runtime.describe(),
    }


def cost_of_run(
    run: RunFolder,
    session: Session,
    *,
    size: Size | None = None,
    timed: bool = True,
    checked: bool = True,
) -> dict[str, Any]:
    """Measure the cost of a run's network, see ``cost_of``; ``checked`` is that of ``run_recipe``."""
    identities = int(run.environment()["num_identities"])
    recipe = run_recipe(run, checked=checked)
    return cost_of(recipe, session, identities=identities, size=size, timed=timed)


def latency_of(network: ReIdNetwork, size: Size, runtime: Runtime, batch: int) -> dict[str, Any]:
    """Return ``latency`` by name, in milliseconds, with the batch size."""
    one, batched = latency(network, size, runtime, batch)
    return {"latency_ms_one_image": one, "latency_ms_batch": batched, "latency_batch": batch}


def reported_of(recipe: Recipe) -> dict[str, Any] | None:
    """Return the cost that the paper reports, as JSON values; None: the paper reports none."""
    return None if recipe.reported_cost is None else recipe.reported_cost.model_dump()


def parameters_of(network: nn.Module) -> dict[str, Any]:
    """Count parameters: all, without classifiers, and of each part of the network."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    parts: dict[str, int] = {}
    for name, size in sizes.items():
        part = name.partition(".")[0]
        parts[part] = parts.get(part, 0) + size
    total = sum(sizes.values())
    without = sum(size for name, size in sizes.items() if CLASSIFIER not in name)
    return {"parameters": total, "parameters_without_classifier": without, "parts": parts}


def flops_of(network: ReIdNetwork, size: Size, runtime: Runtime) -> int:
    """Count the floating-point operations of embedding one visible image: two per multiply-add.

    Args:
        network: A method's network, in eval mode.
        size: (height, width) of the image in pixels.
        runtime: Device of the network.
    """
    images = torch.rand(1, 3, *size, device=runtime.device)
    counter = FlopCounterMode(display=False, custom_mapping=_UNCOUNTED)
    with torch.no_grad(), counter:
        network.embed(images, Modality.VISIBLE)
    return int(counter.get_total_flops())


def latency(network: ReIdNetwork, size: Size, runtime: Runtime, batch: int) -> tuple[float, float]:
    """Measure the median time of embedding one image and one batch, with batch norms folded.

    Args:
        network: A method's network, in eval mode; not modified.
        size: (height, width) of the images in pixels.
        runtime: Device, and the precision of autocast.
        batch: Batch size.

    Returns:
        Milliseconds of one image, and of the whole batch.
    """
    folded = fold_batch_norms(network)
    medians = []
    for count in (1, batch):
        images = torch.rand(count, 3, *size, device=runtime.device).to(memory_format=torch.channels_last)
        times = [_milliseconds(folded, images, runtime) for _ in range(REPEATS + 1)]
        medians.append(statistics.median(times[1:]))  # without the warm-up
    return medians[0], medians[1]


def _milliseconds(network: ReIdNetwork, images: Tensor, runtime: Runtime) -> float:
    with torch.inference_mode(), runtime.autocast():
        runtime.synchronize()
        began = time.perf_counter()
        network.embed(images, Modality.VISIBLE)
        runtime.synchronize()
    return 1000.0 * (time.perf_counter() - began)


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _transform(shape: Any, axes: Any, *args: Any, **kwargs: Any) -> int:
    """FLOPs of a real transform: half of the 5 N log₂ N of a complex one."""
    points = math.prod(shape[axis] for axis in axes)
    return int(2.5 * math.prod(shape) * math.log2(max(points, 2)))


def _inverse_transform(shape: Any, axes: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return _transform(out_shape, axes)


def _state_update(state: Any, *args: Any, **kwargs: Any) -> int:
    """FLOPs of one step of the scan: per number of the state Δ·A, and decay times state plus drive.

    The counter already includes the products with B and C, which are matrix products.
    """
    return 3 * math.prod(state)


_UNCOUNTED = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._fft_r2c: _transform,
    aten._fft_c2r: _inverse_transform,
    aten.addcmul_: _state_update,
}
"""Operations that torch's counter does not count; only the scan uses ``addcmul_`` in a forward pass."""
