"""Detectors with random weights: hashes, refusals, and equality with the output of torchvision."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from vireid_cli.detection import weights as weights_module
from vireid_cli.detection.weights import PUBLISHED, build_network, identify
from vireid_cli.engine.crop import crop
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The smallest detector with random weights that takes every proposal for a person."""
    from torchvision.models import detection

    torch.manual_seed(0)
    made = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, box_score_thresh=0.1, box_nms_thresh=0.3
    )
    bias: Any = made.roi_heads.box_predictor.cls_score.bias
    with torch.no_grad():
        bias[1] += 5.0
    return made.eval()


@pytest.fixture(scope="module")
def file(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("weights") / "own.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_names_are_those_of_torchvision() -> None:
    from torchvision.models import get_model_weights

    for name, file_name in PUBLISHED.items():
        entry: Any = get_model_weights(name)
        assert Path(entry.COCO_V1.url).name == file_name
        assert entry.COCO_V1.meta["categories"][1] == "person"


def test_an_unknown_hash_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file that torchvision published") as refused:
        identify(file)
    assert all(name in refused.value.hint for name in PUBLISHED.values())
    renamed = tmp_path / PUBLISHED[SMALL]
    os.symlink(file, renamed)
    with pytest.raises(UsageError, match="no file that torchvision published"):
        identify(renamed)
    with pytest.raises(UsageError, match="not with 0000"):
        identify(file, SMALL, "0" * 64)
    with pytest.raises(UsageError, match="64 hexadecimal"):
        identify(file, SMALL, "0" * 8)
    assert identify(file, SMALL, digest(file).upper()).network == SMALL


def test_a_published_hash_identifies_the_network(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"fasterrcnn_mobilenet_v3_large_320_fpn-{digest(file)[:8]}.pth"
    monkeypatch.setitem(weights_module.PUBLISHED, SMALL, name)
    assert identify(file).network == SMALL  # by content: the file has another name
    with pytest.raises(UsageError, match="holds fasterrcnn_mobilenet"):
        identify(file, "maskrcnn_resnet50_fpn")


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "evil.pth"
    torch.save({"a": Attack()}, path)
    with pytest.raises(UsageError, match="Python object"):
        build_network(identify(path, SMALL, digest(path)), 0.5, 0.5)
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(UsageError, match="does not fit"):
        build_network(identify(path, SMALL, digest(path)), 0.5, 0.5)


def test_frozen_norms_equal_those_of_torchvision() -> None:
    """Published files have no counters; torchvision builds frozen norms with an ε per family for them."""
    from torchvision.models import detection
    from torchvision.ops.misc import FrozenBatchNorm2d

    made = detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    weights_module.freeze_norms(made, 1e-5)
    assert not [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    frozen = [module for module in made.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert {module.eps for module in frozen} == {FrozenBatchNorm2d(1).eps}


def test_boxes_are_those_of_torchvision(network: nn.Module, file: Path, tmp_path: Path) -> None:
    """Boxes in ``records.csv`` against a direct call of the network."""
    folder = tmp_path / "cam2"
    folder.mkdir()
    frames = [np.random.default_rng(i).integers(0, 256, (180, 240, 3), np.uint8) for i in range(2)]
    for i, pixels in enumerate(frames):
        cv2.imwrite(str(folder / f"{i}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    from vireid_cli.detection.crop_mark import CropOptions

    options = CropOptions(score=0.1, overlap=0.3, min_height=20, min_width=10)
    result = crop(
        folder,
        tmp_path / "out",
        file,
        Session.choose("cpu"),
        options=options,
        network=SMALL,
        sha256=digest(file),
    )
    expected = []
    for pixels in frames:
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
        with torch.inference_mode():
            (output,) = network([image])
        for box, label in zip(output["boxes"].tolist(), output["labels"].tolist(), strict=True):
            left, top = int(np.floor(box[0])), int(np.floor(box[1]))
            right, bottom = int(np.ceil(box[2])), int(np.ceil(box[3]))
            if label == 1 and bottom - top >= 20 and right - left >= 10:
                expected.append((left, top, right, bottom))
    with result.records.open(newline="") as table:
        rows = list(csv.DictReader(table))
    sides = ("left", "top", "right", "bottom")
    written = [tuple(int(row[f"box_{side}"]) for side in sides) for row in rows]
    assert expected
    assert written == expected
