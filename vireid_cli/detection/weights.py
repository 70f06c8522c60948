"""Weights of torchvision's person detectors: files of the user, identified by their SHA-256.

The names of the published files contain the first eight hexadecimal digits of their SHA-256. The hash
identifies the network, so that a renamed file is recognised and a changed one is refused. Files are read by
``tensor_files``, which never executes their content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vireid_cli import reading
from vireid_cli.errors import DataError, UsageError
from vireid_cli.sums import file_digest
from vireid_cli.tensor_files import load_tensors

if TYPE_CHECKING:
    from torch import nn

PUBLISHED = {
    "fasterrcnn_resnet50_fpn_v2": "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
    "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
}
"""File that torchvision publishes for each network, trained on COCO; class 1 is ``person``."""

PREFIX = 8
"""Number of hexadecimal digits in the name of a published file."""


@dataclass(frozen=True, slots=True)
class DetectorWeights:
    """Weights with a verified hash.

    Attributes:
        path: File of weights.
        network: Name of torchvision's network.
        sha256: SHA-256 of the file.
    """

    path: Path
    network: str
    sha256: str


def identify(path: Path, network: str | None = None, sha256: str | None = None) -> DetectorWeights:
    """Identify the network of a file of weights by the file's SHA-256.

    Args:
        path: File of weights.
        network: Name of the network; None: that of the published file.
        sha256: Expected SHA-256, 64 hexadecimal digits; required for files that torchvision did not publish.

    Raises:
        UsageError: The file is missing, its hash differs from ``sha256``, or the hash is unknown and
            ``sha256`` or ``network`` is missing.
    """
    if network is not None and network not in PUBLISHED:
        raise UsageError(f"--network {network} is unknown.", f"Choose: {', '.join(PUBLISHED)}")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError("--sha256: expected 64 hexadecimal digits.", "sha256sum FILE prints them.")
    reading.open_regular(path, error=UsageError, hint=published_text()).close()
    digest = file_digest(path)
    if not digest:
        raise DataError(f"--weights: {path} can't be read.")
    if sha256 is not None and digest != sha256.lower():
        raise UsageError(
            f"--weights: the SHA-256 of {path} begins with {digest[:12]}, not with {sha256[:12].lower()}.",
            "The file is damaged or another one: copy it again.",
        )
    known = {name.rpartition("-")[2][:PREFIX]: key for key, name in PUBLISHED.items()}
    published = known.get(digest[:PREFIX])
    if published is None and (sha256 is None or network is None):
        raise UsageError(
            f"--weights: {path} (SHA-256 {digest[:12]}…) is no file that torchvision published.",
            f"{published_text()}\nOther weights need --network, and --sha256 with a hash that you trust.",
        )
    if published is not None and network not in (None, published):
        raise UsageError(f"--weights: {path} holds {published}, not --network {network}.")
    return DetectorWeights(path, published or str(network), digest)


def published_text() -> str:
    """Lines with the names of the published files."""
    listed = "".join(f"\n  {name}" for name in PUBLISHED.values())
    return f"Published by torchvision (https://download.pytorch.org/models/):{listed}"


def build_network(weights: DetectorWeights, score: float, overlap: float) -> nn.Module:
    """Build a network in evaluation mode with its weights.

    Args:
        weights: Verified weights.
        score: Least confidence of a detection, in [0, 1].
        overlap: Largest IoU of two detections of one class, in [0, 1]; non-maximum suppression.

    Raises:
        UsageError: The file is refused, or its tensors do not fit the network.
    """
    from torchvision.models import detection

    state = load_tensors(
        weights.path, subject="--weights", hint=published_text(), sha256_prefix=weights.sha256
    )
    network: nn.Module = getattr(detection, weights.network)(
        weights=None, weights_backbone=None, box_score_thresh=score, box_nms_thresh=overlap
    )
    if not any(key.endswith("num_batches_tracked") for key in state):
        freeze_norms(network, 0.0 if "resnet50" in weights.network else 1e-5)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = [line.strip()[:200] for line in str(error).splitlines() if line.strip()]
        raise UsageError(
            f"--weights: {weights.path} does not fit {weights.network}: {' '.join(lines[1:3] or lines[:1])}",
            published_text(),
        ) from error
    heads = getattr(network, "roi_heads")  # noqa: B009 — typed as Tensor | Module otherwise
    heads.mask_roi_pool = heads.mask_head = heads.mask_predictor = None  # crops need boxes only
    return network.eval()


def freeze_norms(network: nn.Module, eps: float) -> None:
    """Replace batch norms by frozen ones, as torchvision does for published weights without counters.

    Args:
        network: Network to change.
        eps: ε of the frozen norms: 0 for ResNet-50 (torchvision's ``overwrite_eps``), 1e-5 for MobileNet.
    """
    from torch import nn
    from torchvision.ops.misc import FrozenBatchNorm2d

    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=eps))
