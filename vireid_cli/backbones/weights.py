"""Pretrained weights: from torch's cache, fetched, or from a file of the user."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from vireid_cli.backbones.lightcnn import LightCnn
from vireid_cli.backbones.spec import WIDTH, BackboneSpec, Name
from vireid_cli.backbones.two_stream import residual_network
from vireid_cli.errors import UsageError, VireidError

FETCH_TIMEOUT = 30.0
"""Seconds without an answer after which fetching is given up."""

IDENTITIES = "training_identities"
"""Metadata of a file of weights: hashes of the identities that it was trained on, one space between."""

SHOWN = 5
"""Keys of each kind that a mismatch lists."""

RESNET_KEYS = "Keys must be torchvision's (conv1.weight, layer1.0.conv1.weight, …); fc.* is ignored."
FACE_KEYS = (
    "Keys must be those of LightCNN-29 v2 (conv1.filter.weight, block1.0.conv1.filter.weight, "
    "group1.conv_a.filter.weight, …, fc.weight, with or without 'module.'); fc2.* is ignored. "
    "Version 1 has fc.filter.* instead of fc.*."
)

NO_RESNET_FILE = "Give 'imagenet', 'none', or the path of a state dict (.safetensors, .pth)."
NO_FACE_FILE = (
    "Put LightCNN-29 v2's file there, or\n"
    "  --set backbone.weights=PATH   the file elsewhere, or a state dict of the same network\n"
    "  --set backbone.weights=none   start from scratch"
)


class WeightsUnavailable(VireidError):
    """ImageNet weights that are neither in torch's cache nor can be fetched."""


def resolve(name: str, weights: str, width: int = WIDTH) -> dict[str, Tensor] | None:
    """The checked state of a network without its classifier.

    Args:
        name: ``resnet18``, ``resnet34``, ``resnet50`` or ``lightcnn29``.
        weights: ``imagenet``: torchvision's first ImageNet weights, the ones that the published
            methods start from; ``none``: no weights; else the path of a state dict (safetensors, or
            a file of ``torch.save`` that holds tensors and plain values only: nothing is executed).
            A checkpoint's ``state_dict`` is taken out of it, and the prefix ``module.`` off its keys.
        width: Of the network, see ``BackboneSpec``.

    Returns:
        A tensor for each key, or None for ``none``.

    Raises:
        WeightsUnavailable: ``imagenet`` is neither in the cache nor can be fetched.
        UsageError: The file is missing, unreadable, or of another network.
    """
    if weights == "none":
        return None
    if weights == "imagenet":
        state = _imagenet(name)
        return _checked(state, name, f"the ImageNet weights of {name}", WIDTH)
    path = Path(weights).expanduser()
    return _checked(_without_prefix(_read(path, name)), name, str(path), width)


def training_identities(weights: str) -> tuple[str, ...]:
    """Hashes of the identities that a file was trained on, as ``vireid export backbone`` writes them.

    Args:
        weights: As of ``resolve``, which has read it.

    Returns:
        None of them where the file does not say, or where there is no file.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        return ()
    with safe_open(path, framework="pt") as file:
        return tuple((file.metadata() or {}).get(IDENTITIES, "").split())


def imagenet_file(name: str) -> Path:
    """Where torch's cache keeps the ImageNet weights of a network, whether there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _entry(name).url.rsplit("/", 1)[-1]


def _entry(name: str) -> Any:
    """torchvision's first ImageNet weights of a network: where they are, and how to load them."""
    from torchvision.models import get_model_weights  # slow to import; see backbones.residual

    return get_model_weights(name).IMAGENET1K_V1


def _imagenet(name: str) -> dict[str, Tensor]:
    entry = _entry(name)
    path = imagenet_file(name)
    try:
        with _impatient():
            return dict(entry.get_state_dict(progress=False, check_hash=True))
    # URLError is an OSError; a wrong hash or a broken file is a RuntimeError or an unpickling error.
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsUnavailable(
            f"ImageNet weights of {name}: not usable from {path}, and fetching {entry.url} "
            f"failed ({error or type(error).__name__}).",
            f"Put the file at {path}, or\n"
            "  --set backbone.weights=PATH   a state dict of the same network\n"
            "  --set backbone.weights=none   start from scratch",
        ) from error


@contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a network that doesn't answer; torch's own fetch waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read(path: Path, name: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(
            f"backbone.weights: there is no file {path}",
            NO_FACE_FILE if name == "lightcnn29" else NO_RESNET_FILE,
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]  # a training checkpoint, as LightCNN's is published
    except Exception as error:  # each format has its own errors; all mean that it can't be read
        raise UsageError(
            f"backbone.weights: {path} can't be read as a state dict: {_first_line(error)}",
            "Save one with torch.save(network.state_dict(), PATH) or safetensors.torch.save_file.",
        ) from error
    wrong = _not_tensors(state)
    if wrong:
        raise UsageError(
            f"backbone.weights: {path} is no flat state dict: {wrong}", "Save its inner state dict."
        )
    return dict(state)


def _not_tensors(state: object) -> str:
    if not isinstance(state, dict):
        return f"it holds a {type(state).__name__}"
    other = [
        f"'{key}' is a {type(value).__name__}"
        for key, value in state.items()
        if not isinstance(value, Tensor)
    ]
    return _listed(other)


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys as they were before ``nn.DataParallel`` put ``module.`` in front of them all."""
    if not all(key.startswith("module.") for key in state):
        return state
    return {key.removeprefix("module."): value for key, value in state.items()}


def _checked(state: dict[str, Tensor], name: str, source: str, width: int) -> dict[str, Tensor]:
    """The state without classifier, if it fits the network key by key."""
    face = name == "lightcnn29"
    with torch.device("meta"):
        network = LightCnn(width) if face else residual_network(BackboneSpec(cast(Name, name), width=width))
    classifier = "fc2." if face else "fc."
    wanted = {key: value for key, value in network.state_dict().items() if not key.startswith(classifier)}
    given = {key: value for key, value in state.items() if not key.startswith(classifier)}
    # Counters of batch norm are missing in older files and unused with a fixed momentum.
    for key, value in wanted.items():
        if key.endswith("num_batches_tracked"):
            given.setdefault(key, torch.zeros(value.shape, dtype=value.dtype))
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    shapes = [
        f"{key}: {tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if not (missing or unexpected or shapes):
        return given
    found = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    lines = [f"  {len(keys)} {kind}: {_listed(keys)}" for kind, keys in found if keys]
    raise UsageError(
        f"backbone.weights: {source} does not fit {name}{'' if width == WIDTH else f' of width {width}'}:\n"
        + "\n".join(lines),
        FACE_KEYS if face else RESNET_KEYS,
    )


def _listed(items: Iterable[str]) -> str:
    items = list(items)
    more = f", … and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
