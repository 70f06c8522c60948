"""Detection of people in batches of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vireid_cli.detection.weights import DetectorWeights, build_network

if TYPE_CHECKING:
    import torch
    from torch import nn

PERSON = 1
"""COCO's label of people in torchvision's networks."""


@dataclass(frozen=True, slots=True)
class Detections:
    """People in one frame, best first.

    Attributes:
        boxes: (n, 4) float32, left, top, right, bottom in pixels.
        scores: (n,) float32 confidences in [0, 1].
    """

    boxes: np.ndarray
    scores: np.ndarray

    def large(self, height: int, width: int) -> Detections:
        """Select the boxes with at least this height and width in pixels."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        kept = (sides[:, 0] >= width) & (sides[:, 1] >= height)
        return Detections(self.boxes[kept], self.scores[kept])


PeopleDetector = Callable[[Sequence[np.ndarray]], list[Detections]]
"""Function of (H, W, 3) uint8 RGB frames that returns the people in each."""


class TorchvisionDetector:
    """People detector with one of torchvision's networks.

    Args:
        network: Function of a list of (3, H, W) float images in [0, 1], a dictionary per image.
        device: Device of the network.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network, self.device = network.to(device), device

    @staticmethod
    def load(
        weights: DetectorWeights, score: float, overlap: float, device: torch.device
    ) -> TorchvisionDetector:
        """Load a network; see ``weights.build_network`` for arguments and errors."""
        return TorchvisionDetector(build_network(weights, score, overlap), device)

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """Detect people in (H, W, 3) uint8 RGB frames."""
        import torch

        with torch.inference_mode():
            pixels = [
                torch.from_numpy(frame).to(self.device).permute(2, 0, 1).float() / 255.0 for frame in frames
            ]
            return [_people(output) for output in self.network(pixels)]


def _people(output: dict[str, torch.Tensor]) -> Detections:
    """Select the people of torchvision's output, which is sorted by score."""
    kept = output["labels"] == PERSON
    return Detections(output["boxes"][kept].cpu().numpy(), output["scores"][kept].cpu().numpy())
