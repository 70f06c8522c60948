"""Pretrained weights from torch's cache, a download, or a file of the user."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from vireid_cli.backbones.lightcnn import LightCnn
from vireid_cli.backbones.shipped import SHIPPED, find_trunk
from vireid_cli.backbones.spec import WIDTH, BackboneSpec, Name
from vireid_cli.backbones.two_stream import residual_network
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.files import expand
from vireid_cli.tensor_files import TensorFileError, load_safetensors, load_tensors, read_metadata
from vireid_cli.tensor_files.published import (
    PublishedFileError,
    cached_path,
    load_published,
    published_prefix,
)
from vireid_cli.tensor_files.sealed import SEAL

IDENTITIES_KEY = "training_identities"
"""Metadata key of a weights file: hashes of its training identities, separated by spaces."""

TRAINED_ON = "trained_on"
"""Metadata key of a weights file: its training data on one line."""

SHOWN = 5
"""Number of keys of each kind in the message of a mismatch."""

RESNET_KEYS = "Keys must be torchvision's (conv1.weight, layer1.0.conv1.weight, …); fc.* is ignored."
FACE_KEYS = (
    "Keys must be those of LightCNN-29 v2 (conv1.filter.weight, block1.0.conv1.filter.weight, "
    "group1.conv_a.filter.weight, …, fc.weight, with or without 'module.'); fc2.* is ignored. "
    "Version 1 has fc.filter.* instead of fc.*."
)

NO_RESNET_FILE = "Use 'imagenet', 'rendered', 'none', or the path of a state dict (.safetensors, .pth)."
REINSTALL = "Install vireid again; its weights must be those of the package."
NO_FACE_FILE = (
    "Copy LightCNN-29 v2's file there, or\n"
    "  --set backbone.weights=PATH   the file elsewhere, or a state dict of the same network\n"
    "  --set backbone.weights=none   start from scratch"
)


class WeightsUnavailable(VireidError):
    """ImageNet weights are not in torch's cache and cannot be downloaded.

    Attributes:
        damaged: Whether the cache holds a file with the right name but other content.
    """

    def __init__(self, message: str, hint: str, *, damaged: bool = False) -> None:
        super().__init__(message, hint)
        self.damaged = damaged


def resolve(name: str, weights: str, width: int = WIDTH) -> dict[str, Tensor] | None:
    """Load and validate the state of a network without its classifier.

    Args:
        name: ``resnet18``, ``resnet34``, ``resnet50`` or ``lightcnn29``.
        weights: ``imagenet`` for torchvision's first ImageNet weights, the start of the published methods;
            ``rendered`` for the shipped trunk of this network and width; ``none`` for no weights; or the path
            of a state dict (safetensors, or a file of ``torch.save``
            with tensors and plain values only: no code is executed). A checkpoint's ``state_dict`` is used
            if it has one, and the prefix ``module.`` is removed from keys.
        width: Width of the network; see ``BackboneSpec``.

    Returns:
        Tensors by key, or None for ``none``.

    Raises:
        WeightsUnavailable: The ImageNet weights are not in the cache and cannot be downloaded.
        UsageError: The file is missing, refused (see ``load_tensors``), or belongs to another network; or no
            trunk of this network and width is shipped.
        DataError: The shipped file is damaged.
    """
    if weights == "none":
        return None
    if weights == SHIPPED:
        return _checked(_shipped(name, width), name, f"the shipped trunk of {name}", width)
    if weights == "imagenet":
        state = _imagenet(name)
        return _checked(state, name, f"the ImageNet weights of {name}", WIDTH)
    path = expand(Path(weights))
    return _checked(_without_prefix(_read(path, name)), name, str(path), width)


def weights_file(name: str, weights: str, width: int = WIDTH) -> Path | None:
    """Path of the file that ``resolve`` loads, or None for ``none`` and ``imagenet``."""
    if weights in ("none", "imagenet"):
        return None
    return find_trunk(name, width).path if weights == SHIPPED else expand(Path(weights))


def training_identities(path: Path) -> tuple[str, ...]:
    """Hashes of the training identities of a weights file, as ``vireid export backbone`` writes them.

    Args:
        path: See ``weights_file``.

    Returns:
        Hashes; empty if the file does not record them or does not exist.
    """
    return tuple(read_metadata(path).get(IDENTITIES_KEY, "").split())


def lacks_hash(path: Path) -> bool:
    """Whether a file of ``vireid export backbone`` lacks a content hash, as files of earlier versions do."""
    metadata = read_metadata(path)
    return IDENTITIES_KEY in metadata and SEAL not in metadata


def describe_shipped(name: str, width: int) -> str:
    """One line about the shipped trunk of a network: its hash and its training data."""
    trunk = find_trunk(name, width)
    known = read_metadata(trunk.path)
    count = len(known.get(IDENTITIES_KEY, "").split())
    return (
        f"{SHIPPED} ({name}, width {width}, sha256 {trunk.sha256[:12]}; pre-trained on {count:,} identities "
        f"of {known.get(TRAINED_ON, 'unrecorded data')})"
    )


def imagenet_file(name: str) -> Path:
    """Path of a network's ImageNet weights in torch's cache; the file may be missing."""
    return cached_path(published_url(name))


def published_url(name: str) -> str:
    """URL of torchvision's first ImageNet weights of a network."""
    from torchvision.models import get_model_weights  # slow to import; see backbones.residual

    entry: Any = get_model_weights(name)
    return str(entry.IMAGENET1K_V1.url)


def _imagenet(name: str) -> dict[str, Tensor]:
    try:
        return load_published(published_url(name))
    except PublishedFileError as error:
        raise WeightsUnavailable(
            f"ImageNet weights of {name}: {error.message}",
            f"{error.hint}, or\n"
            "  --set backbone.weights=PATH   a state dict of the same network\n"
            "  --set backbone.weights=none   start from scratch",
            damaged=error.damaged,
        ) from error


def _shipped(name: str, width: int) -> dict[str, Tensor]:
    """Load the shipped trunk of a network after comparing its SHA-256; half precision becomes float32."""
    trunk = find_trunk(name, width)
    try:
        state = load_safetensors(trunk.path, sha256=trunk.sha256)
    except TensorFileError as error:
        raise DataError(f"backbone.weights: {error.message}", REINSTALL) from error
    return _single(state)


def _single(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert tensors of half precision to float32."""
    half = (torch.float16, torch.bfloat16)
    return {key: value.float() if value.dtype in half else value for key, value in state.items()}


def _read(path: Path, name: str) -> dict[str, Tensor]:
    """Load the state dict of a user's file; a file with a published name must have the published hash."""
    hint = NO_FACE_FILE if name == "lightcnn29" else NO_RESNET_FILE
    published = name != "lightcnn29" and path.name == imagenet_file(name).name
    state = load_tensors(
        path,
        subject="backbone.weights",
        hint=hint,
        sha256_prefix=published_prefix(path.name) if published else None,
    )
    if isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # a training checkpoint, the form of LightCNN's published file
    wrong = _not_tensors(state)
    if wrong:
        raise UsageError(
            f"backbone.weights: {path} is no flat state dict: {wrong}", "Save its inner state dict."
        )
    return _single(dict(state))


def _not_tensors(state: dict[Any, Any]) -> str:
    other = [
        f"'{key}' is a {type(value).__name__}" if isinstance(key, str) else f"the name {key!r} is no text"
        for key, value in state.items()
        if not isinstance(value, Tensor) or not isinstance(key, str)
    ]
    return _listed(other)


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix ``module.`` of ``nn.DataParallel`` from all keys."""
    if not all(key.startswith("module.") for key in state):
        return state
    return {key.removeprefix("module."): value for key, value in state.items()}


def _checked(state: dict[str, Tensor], name: str, source: str, width: int) -> dict[str, Tensor]:
    """Return the state without classifier after comparing every key with the network."""
    face = name == "lightcnn29"
    with torch.device("meta"):
        network = LightCnn(width) if face else residual_network(BackboneSpec(cast(Name, name), width=width))
    classifier = "fc2." if face else "fc."
    expected = {key: value for key, value in network.state_dict().items() if not key.startswith(classifier)}
    values = {key: value for key, value in state.items() if not key.startswith(classifier)}
    # Counters of batch norm are missing in older files and unused with a fixed momentum.
    for key, value in expected.items():
        if key.endswith("num_batches_tracked"):
            values.setdefault(key, torch.zeros(value.shape, dtype=value.dtype))
    missing = [key for key in expected if key not in values]
    unexpected = [key for key in values if key not in expected]
    shapes = [
        f"{key}: {tuple(values[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in values and values[key].shape != value.shape
    ]
    types = [
        f"{key}: {values[key].dtype} instead of {value.dtype}"
        for key, value in expected.items()
        if key in values and values[key].is_floating_point() != value.is_floating_point()
    ]
    if not (missing or unexpected or shapes or types):
        return values
    mismatches = (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", shapes),
        ("of another type", types),
    )
    lines = [f"  {len(keys)} {kind}: {_listed(keys)}" for kind, keys in mismatches if keys]
    raise UsageError(
        f"backbone.weights: {source} does not fit {name}{'' if width == WIDTH else f' of width {width}'}:\n"
        + "\n".join(lines),
        FACE_KEYS if face else RESNET_KEYS,
    )


def _listed(items: Iterable[str]) -> str:
    items = list(items)
    more = f", … and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
