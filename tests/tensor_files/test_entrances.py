"""Every command that takes weights: a file that would execute code is refused and has no effect."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from vireid_cli import tensor_files
from vireid_cli.commands import main as command_line
from vireid_cli.occlusion.detect import MaskRcnn
from vireid_cli.tensor_files.published import cached_path, published_prefix

sys.path.insert(0, str(Path(__file__).parent))
from tests.tensor_files.payloads import FORMS, Form

RESNET18 = "resnet18-f37072fd.pth"
MASK_RCNN = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's cache, empty, without a network."""
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder.parent))

    def refuse(*args: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((8, 8, 3), np.uint8))
    return folder


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["vireid", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    text = "".join(capsys.readouterr())
    assert "Traceback" not in text
    assert "can still be loaded" not in text
    return int(ended.value.code or 0), text


@pytest.fixture
def trains(sysu_tree: Path, tiny_recipe: Path, tmp_path: Path) -> list[object]:
    places = ["--data", sysu_tree, "--runs", tmp_path / "runs", "--device", "cpu"]
    return ["train", "--recipe", tiny_recipe, *places, "--set", "backbone.width=64"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entrance", ["imagenet", "path", "published name"])
def test_backbone_weights(
    form: Form,
    entrance: str,
    trains: list[object],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    marker = tmp_path / "executed"
    path = cache / RESNET18 if entrance != "path" else tmp_path / "own.pth"
    form(path, marker)
    value = "imagenet" if entrance == "imagenet" else path
    code, text = run(monkeypatch, capsys, *trains, "--set", f"backbone.weights={value}")
    assert code == (1 if entrance == "imagenet" else 2)
    assert str(path) in text
    assert ("never executes" if entrance == "path" else "SHA-256") in text
    assert not marker.exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entrance", ["torchvision", "path", "yolo", "sam"])
def test_prepare_occluders(
    form: Form,
    entrance: str,
    photographs: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    marker, own = tmp_path / "executed", tmp_path / "own.pth"
    words: list[object] = ["prepare", "occluders", "--images", photographs, "--data", tmp_path / "data"]
    if entrance == "torchvision":
        form(cache / MASK_RCNN, marker)
        words += ["--detector", "maskrcnn"]
    elif entrance == "path":
        form(own, marker)
        words += ["--detector", "maskrcnn", "--weights", own]
    elif entrance == "yolo":
        form(own.with_suffix(".onnx"), marker)
        words += ["--detector", own.with_suffix(".onnx")]
    else:
        form(own, marker)
        package = types.ModuleType("segment_anything")
        package.SamPredictor = object  # type: ignore[attr-defined]
        package.sam_model_registry = {"vit_b": lambda checkpoint: nn.Linear(1, 1)}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "segment_anything", package)
        words += ["--detector", "maskrcnn", "--refine", "sam", "--sam-weights", own]
    code, text = run(monkeypatch, capsys, *words)
    assert code == 2, text
    assert not marker.exists()


def test_the_published_mask_rcnn_is_frozen_as_torchvision_freezes_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch norms have ε = 0 and no counters; the answers are those of torchvision's own loading."""
    from torchvision.models import detection

    known = detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1
    torch.manual_seed(0)
    state = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    state = {k: v + torch.rand_like(v) if "running" in k else v for k, v in state.items()}
    monkeypatch.setattr(type(known), "get_state_dict", lambda self, **options: state)
    reference = detection.maskrcnn_resnet50_fpn(weights=known).eval()
    monkeypatch.setattr("vireid_cli.occlusion.detect.load_published", lambda url: state)
    model = MaskRcnn.load("torchvision").network
    assert isinstance(model, nn.Module)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for one, other in zip(
            model.get_submodule("backbone")(image).values(), reference.backbone(image).values(), strict=True
        ):
            assert torch.equal(one, other)


def test_names_of_published_files() -> None:
    from torchvision.models import detection, get_model_weights

    assert published_prefix(RESNET18) == "f37072fd"
    for name in ("resnet18", "resnet34", "resnet50"):
        assert published_prefix(cached_path(get_model_weights(name).IMAGENET1K_V1.url).name)
    assert cached_path(detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1.url).name == MASK_RCNN
    assert published_prefix("weights.pth") is None


FORBIDDEN = (
    *("torch.load(", "torch.jit.load", "load_state_dict_from_url", "torch.hub", "safe_open", "load_file("),
    *("import pickle", "get_state_dict", "joblib", "allow_pickle=True", "IMAGENET1K_V2", "pretrained=True"),
)
ALLOWED = {
    "tensor_files/__init__.py",
    "tensor_files/pickled.py",
    "tensor_files/published.py",
    "tensor_files/numpy_values.py",  # raises its error only
    "exporters/torch_program.py",  # refuses pickles: reads sample inputs with weights_only
}


def test_all_weights_load_through_one_package() -> None:
    root = Path(tensor_files.__file__).parent.parent
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if name not in ALLOWED:
            assert not [word for word in FORBIDDEN if word in text], f"{name} loads weights by itself"
