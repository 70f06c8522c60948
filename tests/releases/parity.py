"""Rebuild the weights and inputs of ``tests/golden/parity`` by the rules of its README."""

from __future__ import annotations

import json
import math
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid_cli import methods, releases
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.engine.network import load_recipe
from vireid_cli.methods import ReIdNetwork
from vireid_cli.releases.translate import translate
from vireid_cli.types import Batch, Modality

FOLDER = Path(__file__).parents[1] / "golden" / "parity"

CASES = {
    "agw": ("agw", "agw"),
    "agw_regdb": ("agw", "agw-regdb"),
    "caj": ("caj", "caj"),
    "deen": ("deen", "deen"),
    "deen_regdb": ("deen", "deen-regdb"),
    "hctri": ("hctri", "hctri"),
    "hctri_regdb": ("hctri", "hctri-regdb"),
    "sepg": ("sepg", "sepg-release"),
}
"""Name of the expected values → release, recipe."""

GAINS = {
    "NL_2": 1.0, "NL_3": 0.3,
    "MFA1.CNL": 0.001, "MFA2.CNL": 0.004, "MFA3.CNL": 0.015,
    "MFA1.PNL": 0.01, "MFA2.PNL": 0.01, "MFA3.PNL": 0.004,
}  # fmt: skip


def gain(key: str, shape: tuple[int, ...]) -> float:
    if len(shape) == 4 and shape[1] == 3:
        return 0.25
    if key.endswith(".bn3.weight"):
        return 0.25
    if key.endswith(".downsample.1.weight"):
        return 0.5
    if key.startswith("NL_") and key.endswith(".W.0.weight"):
        return GAINS[key[:4]]
    if key.startswith("MFA") and key.endswith(".W.0.weight"):
        return GAINS[key[:8]]
    return 1.0


@cache
def fill(key: str, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """A tensor from the name of its key."""
    scale = gain(key, shape)
    rng = np.random.default_rng(zlib.crc32(key.encode()) + seed)
    last = key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if last in ("running_mean", "bias"):
        values = 0.1 * rng.standard_normal(shape)
    elif last == "running_var":
        values = 0.5 + rng.random(shape)
    elif len(shape) > 1:
        values = rng.standard_normal(shape) * (math.sqrt(2 / math.prod(shape[1:])) * scale)
    else:
        values = (1 + 0.1 * rng.standard_normal(shape)) * scale
    return torch.from_numpy(values.astype(np.float32))


def filled(module: torch.nn.Module, prefix: str, translate: dict[str, str] | None = None) -> torch.nn.Module:
    """A block alone, in float64 and evaluation mode, filled by the released names of its keys."""
    state = {}
    for key, value in module.state_dict().items():
        released = key
        for ours, theirs in (translate or {}).items():
            released = released.replace(ours, theirs)
        state[key] = fill(prefix + released, tuple(value.shape))
    module.load_state_dict(state)
    return module.double().eval()


def keys(case: str) -> list[tuple[str, tuple[int, ...]]]:
    content = json.loads((FOLDER / f"keys_{case}.json").read_text())
    return [(key, tuple(shape)) for key, shape, _ in content["net"]]


def released_state(case: str, *, whole: bool = False) -> dict[str, Tensor]:
    """The released state dict; unused tensors are filled only if ``whole``, they cost most of the time."""
    release = releases.load(CASES[case][0])
    state = {}
    for key, shape in keys(case):
        bare = key.removeprefix("module.")
        unused = any(re.fullmatch(pattern, bare) for pattern in release.UNUSED)
        unused &= not (case == "deen" and ".layer4." in key)
        state[key] = torch.zeros(()).expand(shape) if unused and not whole else fill(key, shape)
    return state


@cache
def expected(case: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{case}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def network(case: str, *settings: str) -> tuple[ReIdNetwork, dict[str, tuple[str, ...]]]:
    """Our network with the released weights, in evaluation mode; and the released keys of each of ours."""
    name, recipe_name = CASES[case]
    release = releases.load(name)
    state = releases.without_prefix(released_state(case))
    result = releases.identities(release, state)
    assert result is not None
    recipe = load_recipe(recipe_name, (*release.settings(state), *settings))
    options = methods.options_of(recipe.method.name, recipe.method.options)
    with torch.device("meta"):
        spec = BackboneSpec(recipe.backbone.name, recipe.backbone.last_stride)
        ours = methods.build(recipe.method.name, options, result, spec)
    like = ours.state_dict()
    plain = {key: torch.empty(value.shape, dtype=value.dtype) for key, value in like.items()}
    for key, value in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
        plain[f"normalise.{key}"] = torch.tensor(value).view(1, 3, 1, 1)
    translation = translate(release, state, plain)
    assert not translation.misfit, translation.misfit
    ours.load_state_dict(translation.state, assign=True)
    sources = {key: source_of(release, state, key) for key, _ in ours.named_parameters()}
    return ours.eval(), sources


def source_of(release: Any, state: dict[str, Tensor], key: str) -> tuple[str, ...]:
    for rule in release.rules(state):
        if (sources := rule.sources(key)) is not None:
            return tuple(sources)
    return ()


def images(size: tuple[int, int]) -> dict[Modality, Tensor]:
    """Two test images of each modality."""
    rng = np.random.default_rng(7)
    return {m: torch.from_numpy(rng.random((2, 3, *size), dtype=np.float32)) for m in Modality}


def batch(size: tuple[int, int]) -> Batch:
    rng = np.random.default_rng(8)
    parts = [torch.from_numpy(rng.random((8, 3, *size), dtype=np.float32)).double() for _ in range(3)]
    labels = torch.tensor([7, 7, 3, 3, 11, 11, 200, 200])
    return Batch(parts[0], parts[1], labels, second=parts[2])


def deviation(ours: Tensor | np.ndarray, theirs: np.ndarray) -> float:
    """Largest absolute difference over the largest expected value."""
    mine = ours.detach().double().numpy() if isinstance(ours, Tensor) else ours
    return float(np.abs(mine - theirs).max() / np.abs(theirs).max())
