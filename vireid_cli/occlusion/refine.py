"""Refine masks with GrabCut (OpenCV), or with SAM if ``segment_anything`` is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.occlusion.coco import Instance
from vireid_cli.tensor_files import load_tensors

ROUNDS = 4

SAM_FILE = "Set --sam-weights to the published checkpoint of --sam-kind, such as sam_vit_b_01ec64.pth."


class MaskRefiner(Protocol):
    """Function that refines the mask of an instance."""

    def __call__(self, image: np.ndarray, instance: Instance) -> tuple[np.ndarray, float]:
        """Return the refined (H, W) bool mask, and its estimated IoU in [0, 1] (1 without an estimate)."""
        ...


def keep(image: np.ndarray, instance: Instance) -> tuple[np.ndarray, float]:
    """Return the mask unchanged."""
    return instance.mask, 1.0


def grabcut(image: np.ndarray, instance: Instance) -> tuple[np.ndarray, float]:
    """Refine a mask with GrabCut, which decides about the pixels near the outline.

    Args:
        image: (H, W, 3) uint8 RGB.
        instance: Instance with a mask of the same size.

    Returns:
        The refined (H, W) bool mask, and 1.0.
    """
    reach = max(3, int(0.04 * min(instance.box[2] - instance.box[0], instance.box[3] - instance.box[1])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    mask = instance.mask.astype(np.uint8)
    core, around = cv2.erode(mask, kernel), cv2.dilate(mask, kernel)
    if not core.any() or around.all():
        return instance.mask, 1.0
    labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    labels[around > 0] = cv2.GC_PR_BGD
    labels[mask > 0] = cv2.GC_PR_FGD
    labels[core > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # GrabCut initialises its mixtures with a random k-means
    models = np.zeros((1, 65), np.float64), np.zeros((1, 65), np.float64)
    cv2.grabCut(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), labels, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), 1.0


class Sam:
    """Refiner with SAM, prompted with the box of the instance.

    Args:
        weights: Path of the checkpoint.
        kind: ``vit_b``, ``vit_l`` or ``vit_h``.

    Raises:
        UsageError: The package or the checkpoint is missing, or the kind is unknown.
    """

    def __init__(self, weights: Path, kind: str = "vit_b") -> None:
        try:
            import segment_anything
        except ImportError as error:
            raise UsageError(
                "SAM needs the package 'segment_anything', which is not installed.",
                "Install it and download its weights, or use --refine grabcut.",
            ) from error
        if kind not in segment_anything.sam_model_registry:
            kinds = ", ".join(segment_anything.sam_model_registry)
            raise UsageError(f"--sam-kind: unknown variant '{kind}'.", f"Available: {kinds}")
        # SAM's loader unpickles the file: build the network without weights and load them safely
        state = load_tensors(weights, subject="--sam-weights", hint=SAM_FILE)
        model = segment_anything.sam_model_registry[kind](checkpoint=None)
        try:
            model.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise UsageError(f"--sam-weights: {weights} does not fit SAM's {kind}.", SAM_FILE) from error
        model.eval()
        self.predictor: Any = segment_anything.SamPredictor(model)
        self._image: np.ndarray | None = None

    def __call__(self, image: np.ndarray, instance: Instance) -> tuple[np.ndarray, float]:
        """Return SAM's mask in the box of the instance, (H, W) bool, and the predicted IoU."""
        if self._image is not image:
            self.predictor.set_image(image)
            self._image = image
        masks, scores, _ = self.predictor.predict(box=np.asarray(instance.box), multimask_output=False)
        return np.asarray(masks[0], dtype=bool), float(scores[0])
