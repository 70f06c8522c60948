"""Libraries cut out of photographs: annotation forms, detectors of the real input and output form, rules."""

from __future__ import annotations

import json
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from vireid_cli.commands.main import app
from vireid_cli.data.decode import decode
from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.occlusion import coco, detect, extract, refine
from vireid_cli.occlusion.coco import Instance
from vireid_cli.occlusion.compose import run_lengths
from vireid_cli.occlusion.library import read_library
from vireid_cli.occlusion.refine import Sam

RED = (210, 40, 40)


def photograph(
    size: tuple[int, int] = (240, 320), box: tuple[int, int, int, int] = (100, 60, 200, 180)
) -> np.ndarray:
    """A red ellipse in a box (left, top, right, bottom) on a blue, slightly noisy ground."""
    noise = np.random.default_rng(0).integers(-8, 9, (*size, 3))
    image = np.clip(np.array((40, 60, 180)) + noise, 0, 255).astype(np.uint8)
    centre, axes = (
        ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2),
        ((box[2] - box[0]) // 2, (box[3] - box[1]) // 2),
    )
    return np.asarray(cv2.ellipse(image, centre, axes, 0, 0, 360, RED, cv2.FILLED))


def truth(image: np.ndarray) -> np.ndarray:
    return np.asarray((image[..., 0] > 120) & (image[..., 2] < 120))


def instance_of(image: np.ndarray, category: str = "bin", score: float = 0.9) -> Instance:
    mask = truth(image)
    return Instance(category, score, coco.box_of(mask), mask)


def compress(counts: list[int]) -> str:
    """COCO's text of run lengths, written independently of the reader: one digit at a time."""
    text = ""
    for i, count in enumerate(counts):
        x, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            digit, x = x & 31, x >> 5
            more = x != (-1 if digit & 16 else 0)
            text += chr(48 + digit + 32 * more)
    return text


def area(ring: list[float]) -> float:
    """The shoelace formula."""
    x, y = np.array(ring).reshape(-1, 2).T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_the_known_compressed_example() -> None:
    counts = [6, 1, 40, 4, 5, 4, 5, 4, 21]
    mask = np.repeat(np.arange(9) % 2 == 1, counts).reshape((9, 10), order="F")
    compressed = {"size": [9, 10], "counts": "61X13mN000`0"}
    np.testing.assert_array_equal(coco.mask_of(compressed, (9, 10)), mask)


def test_all_mask_forms_agree() -> None:
    mask = np.zeros((40, 30), bool)
    mask[10:30, 5:20] = True
    counts = run_lengths(mask)
    polygon = [[5, 10, 20, 10, 20, 30, 5, 30]]
    forms = (polygon, {"size": [40, 30], "counts": counts}, {"size": [40, 30], "counts": compress(counts)})
    for form in forms:
        np.testing.assert_array_equal(coco.mask_of(form, (40, 30)), mask)


def test_the_area_of_polygons_is_not_off() -> None:
    """Ellipses of 10 to 100 pixels: no bias, where filling all touched pixels gives 2 to 20 % more."""
    draw = np.random.default_rng(3)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    off = []
    for _ in range(60):
        centre, axes = draw.uniform(60, 70, 2), draw.uniform(5, 50, 2)
        ring = (centre + axes * np.stack([np.cos(angle), np.sin(angle)], axis=1)).ravel().tolist()
        off.append(coco.mask_of([ring], (130, 130)).sum() / area(ring) - 1)
    assert abs(np.mean(off)) < 0.003
    assert np.abs(off).max() < 0.05


def test_compressed_run_lengths_read_back() -> None:
    draw = np.random.default_rng(5)
    for _ in range(50):
        height, width = draw.integers(1, 60, 2).tolist()
        mask = draw.random((height, width)) < draw.random()
        form = {"size": [height, width], "counts": compress(run_lengths(mask))}
        np.testing.assert_array_equal(coco.mask_of(form, (height, width)), mask)


@pytest.mark.parametrize(
    "bad",
    [
        {"size": [4, 3], "counts": [12]},
        {"size": [40, 30], "counts": "o" * 40},
        {"size": [40, 30], "counts": "é"},
        {"size": [40, 30], "counts": [3]},
        {"size": [40, 30], "counts": [1300, -100]},
        {"size": [40, 30], "counts": [600.0, 600.0]},
        {"size": [40, 30], "counts": "61X"},
        {"size": [40, 30], "counts": compress([100, 20])},
        {"size": [40, 30], "counts": compress([100, 2000])},
        [],
        None,
        "polygon",
        [[5, 10, 20, 10]],
        [[5, 10, 20, 10, 20]],
        [[5, 10, 20, 10, float("nan"), 30]],
        [[5, 10, 20, 10, float("inf"), 30]],
        [[5, 10, 20, 10, 1e12, 30]],
        [[[5, 10], [20, 10], [20, 30]]],
    ],
)
def test_damaged_masks_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        coco.mask_of(bad, (40, 30))


def test_without_pycocotools_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_coco(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(MissingExtra, match=r"vireid\[coco\]"):
        next(coco.read_coco(path, tmp_path, Counter()))


def write_coco(folder: Path, images: int = 6) -> Path:
    names = {1: "fire hydrant", 2: "unicorn"}
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": k, "name": n} for k, n in names.items()],
    }
    for k in range(images):
        image = photograph()
        cv2.imwrite(str(folder / f"{k}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        outline = cv2.findContours(truth(image).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[
            0
        ][0]
        ring = (outline + 0.5).ravel().tolist()  # COCO counts from a pixel's corner
        content["images"].append({"id": k, "file_name": f"{k}.png", "height": 240, "width": 320})
        content["annotations"] += [
            {
                "image_id": k,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": [ring],
            },
            {"image_id": k, "category_id": 1, "iscrowd": 0, "segmentation": [[5, 5, 20, 5, 20, 20]]},
            {"image_id": k, "category_id": 2, "iscrowd": 0, "segmentation": [[5, 5, 20, 5, 20, 20]]},
        ]
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_import_of_annotations_through_the_command_line(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    words = [
        "prepare",
        "occluders",
        "--coco",
        str(path),
        "--images",
        str(tmp_path),
        "--library",
        str(tmp_path / "lib"),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "unsupported category: 6" in done.output
    assert "too small: 6" in done.output
    made = read_library(tmp_path / "lib")
    assert [thing.category for thing in made.occluders] == ["fire hydrant"] * 6
    assert Counter(thing.pool for thing in made.occluders) == {"train": 5, "test": 1}
    for cutout in made.cutouts:
        assert (cutout[cutout[..., 3] > 0][:, :3] == RED).all()


def box_image(mask: np.ndarray) -> Instance:
    return Instance("bin", 0.9, coco.box_of(mask), mask)


@pytest.mark.parametrize(
    ("box", "score", "reason"),
    [
        ((100, 60, 200, 180), 0.9, ""),
        ((100, 60, 200, 180), 0.49, "low confidence"),
        ((100, 60, 160, 180), 0.9, "too small"),
        ((0, 60, 200, 180), 0.9, "cut by the border"),
        ((100, 0, 200, 180), 0.9, "cut by the border"),
        ((100, 60, 320, 180), 0.9, "cut by the border"),
        ((100, 60, 200, 240), 0.9, ""),
    ],
)
def test_rules_before_refining(box: tuple[float, float, float, float], score: float, reason: str) -> None:
    assert (
        extract.rejection_reason(Instance("bin", score, box, np.ones((240, 320), bool)), (240, 320)) == reason
    )


def test_rules_after_refining() -> None:
    mask = np.zeros((100, 100), bool)
    mask[20:80, 20:80] = True
    ring = mask.copy()
    ring[40:50, 40:50] = False
    whole, reason = extract.clean(ring, mask, 1.0)
    assert reason == ""
    np.testing.assert_array_equal(whole, mask)  # the hole is filled
    assert extract.clean(mask, mask, 0.87)[1] == "uncertain refinement"
    other = np.zeros_like(mask)
    other[20:61, 20:80] = True  # IoU 41/60
    assert extract.clean(other, mask, 1.0)[1] == "refined mask differs"
    pieces = mask.copy()
    pieces[50:54] = False
    assert extract.clean(pieces, mask, 1.0)[1] == "several components"
    thin = np.eye(100, dtype=bool) | np.eye(100, k=1, dtype=bool)
    assert extract.clean(thin, thin, 1.0)[1] == "small share of its box"


class TinyRcnn(nn.Module):
    """Mask R-CNN's input and output: a list of images, and boxes, labels, scores and masks of each."""

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        result = []
        for image in images:
            assert image.shape[0] == 3
            assert 0 <= image.min() <= image.max() <= 1
            mask = (image[0] > 0.5) & (image[2] < 0.5)
            rows, columns = torch.where(mask)
            box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
            result.append(
                {
                    "boxes": torch.stack([box, box]),
                    "labels": torch.tensor([1, 2]),
                    "scores": torch.tensor([0.95, 0.3]),
                    "masks": mask.float()[None, None].repeat(2, 1, 1, 1),
                }
            )
        return result


@pytest.mark.parametrize("refiner", [refine.keep, refine.grabcut])
def test_mask_rcnn_s_form_end_to_end(tmp_path: Path, refiner: refine.MaskRefiner) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(photograph(), cv2.COLOR_RGB2BGR))
    (tmp_path / "b.png").write_bytes(b"no image")
    skipped: Counter[str] = Counter()
    network = detect.MaskRcnn(TinyRcnn(), ["__background__", "person", "bicycle"])
    result = list(
        extract.extract(extract.detect_folder(tmp_path, network, decode, skipped), refiner, decode, skipped)
    )
    assert skipped == {"unreadable image": 1}
    assert [(thing.category, thing.source) for thing, _ in result] == [("person", "a.png")]
    assert result[0][1].shape[:2] == pytest.approx((121, 101), abs=2)


def test_weights_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="does not fit Mask R-CNN"):
        detect.MaskRcnn.load(str(tmp_path / "w.pt"))


class TinyYolo(nn.Module):
    """YOLOv8-seg's output form for one red thing: its box and mask follow from the pixels.

    Anchor 0 is the thing, anchor 1 the same a little off (to be suppressed), the others are silent.
    """

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        red = ((x[:, 0] - x[:, 2]) * 20).clamp(-10, 10)  # (1, 640, 640), > 0 on the thing
        weight = (red > 0).float()
        line = torch.arange(640.0)
        columns, rows = weight.amax(1)[0], weight.amax(2)[0]  # (640,)
        right, bottom = (columns * (line + 1)).max(), (rows * (line + 1)).max()
        left, top = 640 - (columns * (640 - line)).max(), 640 - (rows * (640 - line)).max()
        box = torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
        scores = nn.functional.one_hot(torch.tensor(13), 80) * 0.9  # bench
        thing = torch.cat([box, scores, torch.ones(1), torch.zeros(31)])
        other = torch.cat([box + 2.0, scores * 0.8, torch.ones(1), torch.zeros(31)])
        rest = torch.zeros(116, 8398)
        prototypes = nn.functional.avg_pool2d(red[:, None], 4)  # (1, 1, 160, 160)
        return (
            torch.cat([thing[:, None], other[:, None], rest], 1)[None],
            torch.cat([prototypes, torch.zeros(1, 31, 160, 160)], 1),
        )


@pytest.fixture(scope="session")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("yolo") / "tiny-seg.onnx"
    torch.onnx.export(TinyYolo().eval(), (torch.rand(1, 3, 640, 640),), str(path), dynamo=True, verbose=False)
    return path


@pytest.mark.parametrize("size", [(240, 320), (400, 300)])
def test_yolo_s_form_end_to_end(yolo: Path, size: tuple[int, int]) -> None:
    image = photograph(size)
    result = detect.YoloSeg(yolo)(image)
    assert [(instance.category, round(instance.score, 2)) for instance in result] == [("bench", 0.9)]
    wanted = truth(image)
    overlap = (result[0].mask & wanted).sum() / (result[0].mask | wanted).sum()
    assert overlap > 0.96
    np.testing.assert_allclose(result[0].box, coco.box_of(wanted), atol=2.0)


def test_yolo_through_the_command_line(yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for k in range(2):
        cv2.imwrite(str(tmp_path / "photos" / f"{k}.png"), cv2.cvtColor(photograph(), cv2.COLOR_RGB2BGR))
    words = ["prepare", "occluders", "--images", str(tmp_path / "photos"), "--detector", str(yolo)]
    done = CliRunner().invoke(app, [*words, "--refine", "grabcut", "--library", str(tmp_path / "lib")])
    assert done.exit_code == 0, done.output
    made = read_library(tmp_path / "lib")
    assert [(t.category, t.pool) for t in made.occluders] in (
        [("bench", "train"), ("bench", "test")],
        [("bench", "test"), ("bench", "train")],
    )


def test_other_onnx_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="is not a valid ONNX network"):
        detect.YoloSeg(tmp_path / "x.onnx")


def test_suppression_by_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (40, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (40, 2))], axis=1)
    scores, labels = rng.random(40), rng.integers(0, 2, 40)
    kept: list[int] = []
    for i in sorted(range(40), key=lambda k: -scores[k]):
        clear = True
        for j in kept:
            w = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            h = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            both = max(w, 0) * max(h, 0)
            area = [(boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]) for k in (i, j)]
            clear &= labels[i] != labels[j] or both / (sum(area) - both) <= detect.OVERLAP
        if clear:
            kept.append(i)
    assert detect.suppress(boxes, scores, labels) == kept


def test_grabcut_finds_the_edge_again() -> None:
    image = photograph()
    grown = cv2.dilate(truth(image).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    result, _ = refine.grabcut(image, box_image(grown))
    overlap = (result & truth(image)).sum() / (result | truth(image)).sum()
    assert overlap > 0.99 > (grown & truth(image)).sum() / grown.sum()


def test_sam_s_form_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Predictor:
        def __init__(self, model: nn.Module) -> None:
            assert torch.equal(model.get_parameter("weight"), torch.tensor([[2.0]]))
            assert not model.training

        def set_image(self, image: np.ndarray) -> None:
            self.image = image

        def predict(self, box: np.ndarray, multimask_output: bool) -> tuple[np.ndarray, np.ndarray, None]:
            assert box.shape == (4,)
            assert not multimask_output
            score = 0.95 if self.image.shape[0] == 240 else 0.5
            return truth(self.image)[None], np.array([score]), None

    def sam(checkpoint: None) -> nn.Module:
        assert checkpoint is None, "the package's own loader unpickles"
        return nn.Linear(1, 1, bias=False)

    monkeypatch.setitem(sys.modules, "segment_anything", None)  # as if not installed
    with pytest.raises(UsageError, match="segment_anything"):
        Sam(tmp_path / "sam.pth")
    package = types.ModuleType("segment_anything")
    package.SamPredictor = Predictor  # type: ignore[attr-defined]
    package.sam_model_registry = {"vit_b": sam}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "segment_anything", package)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="does not fit SAM"):
        Sam(tmp_path / "other.pth")
    torch.save({"weight": torch.tensor([[2.0]])}, tmp_path / "sam.pth")
    refiner, skipped = Sam(tmp_path / "sam.pth"), Counter[str]()
    images = []
    for name, size in (("sure", (240, 320)), ("unsure", (260, 320))):
        image = photograph(size)
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        images.append((tmp_path / f"{name}.png", name, [instance_of(image)]))
    result = list(extract.extract(images, refiner, decode, skipped))
    assert [thing.source for thing, _ in result] == ["sure"]
    assert skipped == {"uncertain refinement": 1}


@pytest.mark.parametrize(
    "words",
    [
        ["--detector", "maskrcnn"],
        ["--images", "x"],
        ["--images", "x", "--detector", "missing.onnx"],
        ["--refine", "grabcut"],
        ["--images", "x", "--detector", "maskrcnn", "--refine", "sam"],
        ["--category", "unicorn"],
    ],
)
def test_options_that_do_not_go_together(words: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["prepare", "occluders", "--library", str(tmp_path / "lib"), *words])
    assert isinstance(done.exception, UsageError)
