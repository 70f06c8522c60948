"""Detect objects in photographs with torchvision's Mask R-CNN, or a YOLOv8-seg network in an ONNX file.

YOLOv8-seg exports have an input (1, 3, 640, 640) in [0, 1] and two outputs: (1, 4 + classes + 32, anchors)
with centre, size, class scores and mask coefficients, and (1, 32, 160, 160) with mask prototypes. This module
decodes them without the package of YOLO's authors.
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
"""Maximum IoU of two detections of one class."""
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
"""COCO's classes in the order of YOLO."""

MASK_RCNN_FILE = "Set --weights to the path of torchvision's maskrcnn_resnet50_fpn state dict."


class Detector(Protocol):
    """Function that detects instances in an image."""

    def __call__(self, image: np.ndarray) -> list[Instance]:
        """Detect instances of supported categories in (H, W, 3) uint8 RGB, with a confidence from 0.5."""
        ...


class MaskRcnn:
    """Detector with torchvision's Mask R-CNN, or a module with the same input and output.

    Args:
        network: Function of a list of (3, H, W) float images in [0, 1] that returns a dictionary per image:
            boxes (n, 4), labels (n,), scores (n,), masks (n, 1, H, W).
        names: Class name of each label.
    """

    def __init__(self, network: Callable[[list[Any]], list[dict[str, Any]]], names: list[str]) -> None:
        self.network, self.names = network, names

    @staticmethod
    def load(weights: str) -> MaskRcnn:
        """Build the network and load torchvision's weights, or a state dict from a file.

        Args:
            weights: ``torchvision``, or the path of a state dict.

        Raises:
            UsageError: The weights are unavailable or do not fit the network.
        """
        from torchvision.models import detection

        known = detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1
        state = _mask_rcnn_state(weights, str(known.url))
        network = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        if not any(key.endswith("num_batches_tracked") for key in state):
            _freeze_norms(network)  # torchvision does the same for these weights
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise UsageError(
                f"--weights: {weights} does not fit Mask R-CNN: {_reasons(error)}", MASK_RCNN_FILE
            ) from error
        return MaskRcnn(network.eval(), list(known.meta["categories"]))

    def __call__(self, image: np.ndarray) -> list[Instance]:
        """Detect instances in (H, W, 3) uint8 RGB."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255.0  # (3, H, W)
            output = {key: value.cpu().numpy() for key, value in self.network([pixels])[0].items()}
        confident = np.flatnonzero(output["scores"] >= CONFIDENCE)
        named = [(i, self.names[int(output["labels"][i])]) for i in confident]
        return [
            Instance(name, float(output["scores"][i]), _box(output["boxes"][i]), output["masks"][i, 0] > 0.5)
            for i, name in named
            if name in CATEGORIES
        ]


def _mask_rcnn_state(weights: str, url: str) -> dict[str, Any]:
    """Load the state dict of ``--weights``: torchvision's, or a file, without executing code from it."""
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
    """Replace the trunk's batch norms by frozen ones with ε = 0, which the published weights require."""
    from torch import nn
    from torchvision.ops.misc import FrozenBatchNorm2d

    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=0.0))


def _reasons(error: Exception) -> str:
    """Return the first lines of torch's list of missing and unexpected keys."""
    lines = [line.strip()[:200] for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:3] or lines[:1])


class YoloSeg:
    """Detector with a YOLOv8-seg network in an ONNX file.

    Args:
        path: ONNX file.
        names: Class names; COCO's 80 by default.

    Raises:
        MissingExtra: onnxruntime is not installed.
        UsageError: The file is unreadable, or its inputs and outputs have other shapes.
    """

    def __init__(self, path: Path, names: tuple[str, ...] = COCO_80) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("onnxruntime", "export", "A detector in an ONNX file") from error
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exception classes are not public
            raise UsageError(f"{path} is not a valid ONNX network: {str(error).splitlines()[0]}") from error
        self.names = names
        source = self.session.get_inputs()[0]
        ranks = sorted(len(output.shape) for output in self.session.get_outputs())
        if len(source.shape) != 4 or ranks != [3, 4]:
            raise UsageError(
                f"{path} is not a YOLOv8-seg network: input {source.shape}, outputs with {ranks} axes.",
                "Export with input (1, 3, 640, 640) and outputs (1, 116, 8400) and (1, 32, 160, 160).",
            )
        self.input = source.name
        self.side = source.shape[2] if isinstance(source.shape[2], int) else 640

    def __call__(self, image: np.ndarray) -> list[Instance]:
        """Detect instances in (H, W, 3) uint8 RGB.

        Raises:
            UsageError: The number of classes of the network differs from the number of names.
        """
        boxed, scale, corner = letterbox(image, self.side)
        pixels = np.ascontiguousarray(boxed.transpose(2, 0, 1)[None], dtype=np.float32) / 255.0
        outputs = sorted(self.session.run(None, {self.input: pixels}), key=lambda a: a.ndim)
        rows, prototypes = outputs[0][0].T, outputs[1][0]  # (anchors, 4 + C + 32), (32, h, w)
        classes = rows.shape[1] - 4 - COEFFICIENTS
        if classes != len(self.names):
            raise UsageError(f"The network has {classes} classes instead of {len(self.names)} (COCO's).")
        scores = rows[:, 4 : 4 + classes].max(axis=1)
        labels = rows[:, 4 : 4 + classes].argmax(axis=1)
        rows, scores, labels = (a[scores >= CONFIDENCE] for a in (rows, scores, labels))
        half = rows[:, 2:4] / 2
        boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
        instances = []
        for i in suppress(boxes, scores, labels):
            name = self.names[int(labels[i])]
            if name in CATEGORIES:
                mask = self._mask(rows[i, -COEFFICIENTS:], prototypes, image.shape, scale, corner)
                box = clip_box((boxes[i] - np.tile(corner, 2)) / scale, image.shape)
                instances.append(Instance(name, float(scores[i]), box, inside_box(mask, box)))
        return instances

    def _mask(
        self,
        coefficients: np.ndarray,
        prototypes: np.ndarray,
        shape: tuple[int, ...],
        scale: float,
        corner: tuple[int, int],
    ) -> np.ndarray:
        """Compute the mask of one instance at the size of the image, (H, W) bool."""
        logits = np.tensordot(coefficients, prototypes, axes=1)  # (h, w)
        large = cv2.resize(logits.astype(np.float32), (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        height, width = round(shape[0] * scale), round(shape[1] * scale)
        inner = large[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
        return np.asarray(cv2.resize(inner, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) > 0.0)


def letterbox(image: np.ndarray, side: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Scale an image into the centre of a grey square.

    Args:
        image: (H, W, 3) uint8 RGB.
        side: Side of the square in pixels.

    Returns:
        The (side, side, 3) square, the scale, and (column, row) of the image's upper left corner.
    """
    scale = side / max(image.shape[:2])
    height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
    corner = ((side - width) // 2, (side - height) // 2)
    square = np.full((side, side, 3), 114, np.uint8)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    square[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = resized
    return square, scale, corner


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Non-maximum suppression within each class. Returns the indices of the remaining boxes, best first.

    Args:
        boxes: (n, 4) left, top, right, bottom.
        scores: (n,) confidences.
        labels: (n,) classes.
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
    """Clip a box (left, top, right, bottom) to the image."""
    limits = (shape[1], shape[0], shape[1], shape[0])
    left, top, right, bottom = (float(np.clip(v, 0, limit)) for v, limit in zip(box, limits, strict=True))
    return left, top, right, bottom


def inside_box(mask: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Clear a mask outside of a box."""
    kept = np.zeros_like(mask)
    area = (slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2]))))
    kept[area] = mask[area]
    return kept


def _box(values: np.ndarray) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(v) for v in values)
    return left, top, right, bottom
