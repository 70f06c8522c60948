"""Features of shipped trunks on rendered people: they differ as much as they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vireid_cli.backbones import shipped
from vireid_cli.backbones.shipped import Trunk
from vireid_cli.backbones.spec import BackboneSpec, Name
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.backbones.weights import resolve
from vireid_cli.layers.pixels import Normalise
from vireid_cli.layers.pooling import global_average
from vireid_cli.losses.spread import excess_cosine
from vireid_cli.rendered import RenderOptions, write_tree
from vireid_cli.types import Modality

VISIBLE, INFRARED = "cam1", "cam3"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """One image of each of 24 people by camera, (24, 3, 96, 48)."""
    tree = tmp_path_factory.mktemp("people")
    write_tree(tree, RenderOptions(ids=24, images=1, seed=0), workers=1)
    return {
        camera: torch.stack([read(path) for path in images(tree / camera)]) for camera in (VISIBLE, INFRARED)
    }


def images(camera: Path) -> list[Path]:
    return [min(person.iterdir()) for person in sorted(camera.iterdir())]


def read(path: Path) -> Tensor:
    image = cv2.imread(str(path))
    assert image is not None
    small = cv2.resize(image[:, :, ::-1], (48, 96), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1).float() / 255.0


@pytest.mark.parametrize("trunk", shipped.TRUNKS, ids=lambda trunk: trunk.file)
@pytest.mark.parametrize(("stride", "most"), [(2, 0.75), (1, 0.95)])
def test_features_of_people_differ(
    people: dict[str, Tensor], trunk: Trunk, stride: Literal[1, 2], most: float
) -> None:
    state = resolve(trunk.network, "rendered", trunk.width)
    spec = BackboneSpec(cast(Name, trunk.network), stride, state, trunk.width)
    network = TwoStream(spec, separate=()).train()  # as a training sees it, with the statistics of the batch
    pixels = torch.cat([people[VISIBLE], people[INFRARED]])
    with torch.no_grad():
        features = global_average(network(Normalise()(pixels), Modality.VISIBLE))
    assert excess_cosine(features).item() < most
    assert 0.1 < features.std(0).mean() < 1.2
