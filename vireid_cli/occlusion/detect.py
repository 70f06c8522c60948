"""Find things in photographs: torchvision's Mask R-CNN, or a YOLOv8-seg network in an ONNX file.

The ONNX form is the one that YOLOv8-seg exports have: input (1, 3, 640, 640) in [0, 1]; outputs
(1, 4 + classes + 32, anchors) as centre, size, class scores, mask coefficients, and (1, 32, 160, 160) mask
prototypes. It is decoded here; no package of its makers is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.occlusion.categories import CATEGORIES
from vireid_cli.occlusion.coco import Instance
from vireid_cli.tensor_files import load_tensors
from vireid_cli.tensor_files.published import PublishedFileError, load_published, published_prefix

CONFIDENCE = 0.5
OVERLAP = 0.45
"""Largest IoU of two boxes of one class that are both kept."""
COEFFICIENTS = 32

COCO_80 = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase",
    "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's classes as YOLO counts them."""


MASK_RCNN_FILE = "Give --weights the path of torchvision's maskrcnn_resnet50_fpn state dict."


class Detector(Protocol):
    """Anything that finds instances in an image."""

    def __call__(self, image: np.ndarray) -> list[Instance]:
        """Instances of our categories in (H, W, 3) uint8 RGB, confidence 0.5 or more."""
        ...


class MaskRcnn:
    """torchvision's Mask R-CNN, or a module of the same input and output.

    Args:
        network: (list of (3, H, W) float in [0, 1]) → list of boxes, labels, scores, masks (n, 1, H, W).
        names: Class name of each label.
    """

    def __init__(self, network: Callable[[list[Any]], list[dict[str, Any]]], names: list[str]) -> None:
        self.network, self.names = network, names

    @staticmethod
    def load(weights: str) -> MaskRcnn:
        """The network with torchvision's weights (``torchvision``), or with a state dict from a file.

        Raises:
            UsageError: The weights can't be had or do not fit.
        """
        from torchvision.models import detection

        known = detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1
        state = _mask_rcnn_state(weights, str(known.url))
        network = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        if not any(key.endswith("num_batches_tracked") for key in state):
            _freeze_norms(network)  # as torchvision does for its own weights
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise UsageError(
                f"--weights: {weights} does not fit Mask R-CNN: {_reasons(error)}", MASK_RCNN_FILE
            ) from error
        return MaskRcnn(network.eval(), list(known.meta["categories"]))

    def __call__(self, image: np.ndarray) -> list[Instance]:
        """Instances in (H, W, 3) uint8 RGB."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255.0  # (3, H, W)
            found = {key: value.cpu().numpy() for key, value in self.network([pixels])[0].items()}
        kept = np.flatnonzero(found["scores"] >= CONFIDENCE)
        named = [(i, self.names[int(found["labels"][i])]) for i in kept]
        return [
            Instance(name, float(found["scores"][i]), _box(found["boxes"][i]), found["masks"][i, 0] > 0.5)
            for i, name in named
            if name in CATEGORIES
        ]


def _mask_rcnn_state(weights: str, url: str) -> dict[str, Any]:
    """The state dict of ``--weights``: torchvision's published one, or a file; nothing in it is executed."""
    try:
        if weights == "torchvision":
            return load_published(url)
        path = Path(weights)
        prefix = published_prefix(path.name) if path.name == Path(url).name else None
        return load_tensors(path, subject="--weights", hint=MASK_RCNN_FILE, sha256_prefix=prefix)
    except PublishedFileError as error:
        raise UsageError(
            f"Mask R-CNN's weights: {error.message}", f"{error.hint}. {MASK_RCNN_FILE}"
        ) from error


def _freeze_norms(network: Any) -> None:
    """Replace the batch norms of the trunk by frozen ones with ε = 0, which the published weights expect."""
    from torch import nn
    from torchvision.ops.misc import FrozenBatchNorm2d

    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=0.0))


def _reasons(error: Exception) -> str:
    """torch's list of missing and unexpected keys, its first lines."""
    lines = [line.strip()[:200] for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:3] or lines[:1])


class YoloSeg:
    """A YOLOv8-seg network in an ONNX file.

    Args:
        path: The file.
        names: Class names; COCO's 80 by default.

    Raises:
        MissingExtra: onnxruntime is not installed.
        UsageError: The file can't be read, or its inputs and outputs are of another form.
    """

    def __init__(self, path: Path, names: tuple[str, ...] = COCO_80) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("onnxruntime", "export", "A detector in an ONNX file") from error
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception classes are not public
            raise UsageError(
                f"{path} can't be read as an ONNX network: {str(error).splitlines()[0]}"
            ) from error
        self.names = names
        given = self.session.get_inputs()[0]
        ranks = sorted(len(output.shape) for output in self.session.get_outputs())
        if len(given.shape) != 4 or ranks != [3, 4]:
            raise UsageError(
                f"{path} is not of YOLOv8-seg's form: input {given.shape}, outputs of {ranks} axes.",
                "Export with: input (1, 3, 640, 640), outputs (1, 116, 8400) and (1, 32, 160, 160).",
            )
        self.input = given.name
        self.side = given.shape[2] if isinstance(given.shape[2], int) else 640

    def __call__(self, image: np.ndarray) -> list[Instance]:
        """Instances in (H, W, 3) uint8 RGB.

        Raises:
            UsageError: The network has another number of classes than names.
        """
        boxed, scale, corner = letterbox(image, self.side)
        pixels = np.ascontiguousarray(boxed.transpose(2, 0, 1)[None], dtype=np.float32) / 255.0
        outputs = sorted(self.session.run(None, {self.input: pixels}), key=lambda a: a.ndim)
        rows, prototypes = outputs[0][0].T, outputs[1][0]  # (anchors, 4 + C + 32), (32, h, w)
        classes = rows.shape[1] - 4 - COEFFICIENTS
        if classes != len(self.names):
            raise UsageError(f"The network has {classes} classes, {len(self.names)} names are known.")
        scores = rows[:, 4 : 4 + classes].max(axis=1)
        labels = rows[:, 4 : 4 + classes].argmax(axis=1)
        rows, scores, labels = (a[scores >= CONFIDENCE] for a in (rows, scores, labels))
        half = rows[:, 2:4] / 2
        boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
        found = []
        for i in suppress(boxes, scores, labels):
            name = self.names[int(labels[i])]
            if name in CATEGORIES:
                mask = self._mask(rows[i, -COEFFICIENTS:], prototypes, image.shape, scale, corner)
                box = clip_box((boxes[i] - np.tile(corner, 2)) / scale, image.shape)
                found.append(Instance(name, float(scores[i]), box, inside_box(mask, box)))
        return found

    def _mask(
        self,
        coefficients: np.ndarray,
        prototypes: np.ndarray,
        shape: tuple[int, ...],
        scale: float,
        corner: tuple[int, int],
    ) -> np.ndarray:
        """(H, W) bool of one instance, in the image's own pixels."""
        logits = np.tensordot(coefficients, prototypes, axes=1)  # (h, w)
        large = cv2.resize(logits.astype(np.float32), (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        height, width = round(shape[0] * scale), round(shape[1] * scale)
        inner = large[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
        return np.asarray(cv2.resize(inner, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) > 0.0)


def letterbox(image: np.ndarray, side: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The image scaled into a grey square, the scale, and the (column, row) where it begins."""
    scale = side / max(image.shape[:2])
    height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
    corner = ((side - width) // 2, (side - height) // 2)
    square = np.full((side, side, 3), 114, np.uint8)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    square[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = resized
    return square, scale, corner


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Indices kept by non-maximum suppression within each class, best first.

    Args:
        boxes: (n, 4) left, top, right, bottom.
        scores: (n,).
        labels: (n,).
    """
    order, kept = np.argsort(-scores, kind="stable"), []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while order.size:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        both = np.prod(np.clip(high - low, 0, None), axis=1)
        overlap = both / np.maximum(area[best] + area[rest] - both, 1e-9)
        order = rest[(overlap <= OVERLAP) | (labels[rest] != labels[best])]
    return kept


def clip_box(box: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """A box cut at the image's borders."""
    limits = (shape[1], shape[0], shape[1], shape[0])
    left, top, right, bottom = (float(np.clip(v, 0, limit)) for v, limit in zip(box, limits, strict=True))
    return left, top, right, bottom


def inside_box(mask: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of a mask that lies in a box."""
    kept = np.zeros_like(mask)
    area = (slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2]))))
    kept[area] = mask[area]
    return kept


def _box(values: np.ndarray) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(v) for v in values)
    return left, top, right, bottom
