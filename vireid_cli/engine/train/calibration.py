"""Calibration of a network on the training images, before a checkpoint is saved or validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vireid_cli.engine.embed import BATCH, to_images
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.train.data import TrainingData
from vireid_cli.methods import ReIdNetwork
from vireid_cli.sharding.share import RankShare, splitting
from vireid_cli.types import Modality, Size


def calibration(network: ReIdNetwork, data: TrainingData, size: Size, runtime: Runtime) -> Callable[[], None]:
    """Return a function that runs ``network.calibrate`` over all training images, in eval mode.

    Ranks share the images if the network adds up its statistics over them.

    Args:
        network: The network in training; it stays in eval mode.
        data: The training images.
        size: (height, width) in pixels.
        runtime: Device and precision.
    """
    modalities, world = data.store.records.modalities[data.rows], runtime.world
    share = RankShare(world.rank, (1,) * world.size) if network.calibrates_shares else None

    def images(modality: Modality) -> Iterator[Tensor]:
        """Yield the training images of one modality in batches, (B, 3, H, W) in [0, 1]."""
        selected = data.rows[modalities == modality.code]
        if share is not None:
            selected = selected[world.rank :: world.size]
        for start in range(0, len(selected), BATCH):
            yield to_images(data.store.batch(size, selected[start : start + BATCH]), runtime.device)

    def run() -> None:
        """Calibrate the network in eval mode, without gradients."""
        network.eval()
        with torch.no_grad(), splitting(share), runtime.autocast():
            network.calibrate(images)

    return run
