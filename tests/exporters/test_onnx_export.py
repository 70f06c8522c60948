"""ONNX files: any batch size in onnxruntime, rejection of files that fail verification."""

from __future__ import annotations

import ast
import errno
import math
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.data.resize import resize
from vireid_cli.errors import DataError, MissingExtra, VireidError
from vireid_cli.exporters import onnx as exporter
from vireid_cli.exporters.onnx import OnnxExport, export_onnx
from vireid_cli.exporters.program import Layout
from vireid_cli.exporters.verify import LIMIT
from vireid_cli.folders import staging
from vireid_cli.layers.choice import Choice, choose
from vireid_cli.types import Modality, Size

Exported = tuple[Path, OnnxExport]
"""A folder, and the report of the export into it."""

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")

SIZE = (24, 12)


class Small(nn.Module):
    """Two stems, a spectral block of matrix products, batch norms, pooling into rows, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stems = nn.ModuleDict({m.value: nn.Conv2d(3, 8, 3, 2, 1) for m in Modality})
        self.norm = nn.BatchNorm2d(8)
        self.shared = nn.Conv2d(8, 16, 3, padding=1)
        self.neck = nn.BatchNorm1d(16 * 4)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(16 * 4, 1000)
        angles = 2 * math.pi * torch.outer(torch.arange(SIZE[0]), torch.arange(SIZE[0])) / SIZE[0]
        self.register_buffer("cosine", angles.cos() / math.sqrt(SIZE[0]))
        self.register_buffer("sine", -angles.sin() / math.sqrt(SIZE[0]))
        for norm in (self.norm, self.neck):
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.5, 2.0)

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            real, imaginary = self.cosine @ images, self.sine @ images
            amplitude = torch.sqrt(real * real + imaginary * imaginary + 1e-6)
            images = images + 0.1 * real / amplitude
        x = (images - 0.45) / 0.22
        x = choose(modality, partial(self.stems["visible"], x), partial(self.stems["infrared"], x))
        x = self.shared(F.relu(self.norm(x)))
        x = F.adaptive_avg_pool2d(x, (4, 1)).flatten(1)
        return F.normalize(self.dropout(self.neck(x)), dim=1)


class Plain(nn.Module):
    """A convolution and a mean, as base of the faulty networks below."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)

    def pooled(self, images: Tensor) -> Tensor:
        return self.convolution(images).mean((2, 3))

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        return self.pooled(images)


class DropoutLeftOn(Plain):
    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        return F.dropout(self.pooled(images), 0.5, training=True)


class NoNumber(Plain):
    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        return torch.log(self.pooled(images) - 100.0)


class Fourier(Plain):
    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        return torch.fft.rfft2(self.convolution(images)).abs().mean((2, 3))


class Branch(Plain):
    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        return self.pooled(images) if images.mean() > 0.4 else self.pooled(-images)


class FixedBatch(Plain):
    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        return self.pooled(images) + torch.zeros(2, 1)


@pytest.fixture(scope="module")
def samples() -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(1)
    counts = {Modality.VISIBLE: 7, Modality.INFRARED: 4}
    return {m: torch.rand(n, 3, *SIZE, generator=generator) for m, n in counts.items()}


@pytest.fixture(scope="module")
def network() -> Small:
    torch.manual_seed(0)
    return Small().train()


@pytest.fixture(scope="module")
def split(
    network: Small, samples: dict[Modality, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    folder = tmp_path_factory.mktemp("split")
    return folder, export_onnx(network, folder, samples, metadata={"recipe": "small"})


@pytest.fixture(scope="module")
def joint(
    network: Small, samples: dict[Modality, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    folder = tmp_path_factory.mktemp("joint")
    return folder, export_onnx(network, folder, samples, layout="joint")


@pytest.fixture(scope="module")
def single(
    network: Small, samples: dict[Modality, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    folder = tmp_path_factory.mktemp("single")
    return folder, export_onnx(network, folder, samples, layout="single")


@pytest.fixture(scope="module")
def any_size(
    network: Small, samples: dict[Modality, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    folder = tmp_path_factory.mktemp("any")
    return folder, export_onnx(network, folder, samples, layout="single", preprocessing="lanczos")


def reference(network: Small, images: Tensor, modality: Modality) -> np.ndarray:
    """Compute embeddings in evaluation mode, image by image, in float64."""
    double = Small().double().eval()
    double.load_state_dict(network.state_dict())
    with torch.no_grad():
        return np.concatenate([double.embed(image[None].double(), modality).numpy() for image in images])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("batch", [1, 2, 5, 11])
@pytest.mark.parametrize("modality", list(Modality))
def test_split_files_match_the_network_at_any_batch_size(
    network: Small, split: Exported, batch: int, modality: Modality
) -> None:
    images = torch.rand(batch, 3, *SIZE, generator=torch.Generator().manual_seed(batch))
    session = runtime.InferenceSession(str(split[0] / f"{modality.value}.onnx"))
    (embedding,) = session.run(["embedding"], {"images": images.numpy()})
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(embedding, reference(network, images, modality), atol=2e-6)


@pytest.mark.parametrize("batches", [(1, 5), (3, 3), (5, 1)])
def test_joint_file_accepts_two_batch_sizes(
    network: Small, joint: Exported, batches: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(3)
    visible, infrared = (torch.rand(n, 3, *SIZE, generator=generator) for n in batches)
    session = runtime.InferenceSession(str(joint[0] / "embed.onnx"))
    feed = {"visible": visible.numpy(), "infrared": infrared.numpy()}
    outputs = session.run(["visible_embedding", "infrared_embedding"], feed)
    np.testing.assert_allclose(outputs[0], reference(network, visible, Modality.VISIBLE), atol=2e-6)
    np.testing.assert_allclose(outputs[1], reference(network, infrared, Modality.INFRARED), atol=2e-6)


@pytest.mark.parametrize("codes", [[0], [1], [0, 1, 1, 0, 1], [1] * 4])
def test_single_file_takes_the_modality_of_each_image(
    network: Small, single: Exported, codes: list[int]
) -> None:
    images = torch.rand(len(codes), 3, *SIZE, generator=torch.Generator().manual_seed(4))
    session = runtime.InferenceSession(str(single[0] / "model.onnx"))
    (embedding,) = session.run(["embedding"], {"images": images.numpy(), "modality": np.array(codes)})
    for image, code, row in zip(images, codes, embedding, strict=True):
        expected = reference(network, image[None], Modality.of(code))[0]
        np.testing.assert_allclose(row, expected, atol=2e-6)
    assert np.abs(reference(network, images, Modality.of(1 - codes[0]))[0] - embedding[0]).max() > 1e-3


@pytest.mark.parametrize("given", [SIZE, (61, 17), (23, 40), (100, 13)], ids=str)
def test_any_size_is_resized_as_by_prepare(network: Small, any_size: Exported, given: Size) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (2, *given, 3), dtype=np.uint8)
    session = runtime.InferenceSession(str(any_size[0] / "model-any-size.onnx"))
    feed = {"images": pixels, "modality": np.array([1, 1])}
    (embedding,) = session.run(None, feed)
    resized = np.stack([resize(image, SIZE, "lanczos") for image in pixels])
    images = torch.from_numpy(resized).permute(0, 3, 1, 2) / 255
    np.testing.assert_allclose(embedding, reference(network, images, Modality.INFRARED), atol=2e-6)


def test_metadata_of_a_single_file(single: Exported, any_size: Exported) -> None:
    model = onnx.load(single[0] / "model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["modality"] == "visible, infrared"
    assert metadata["modality_codes"] == "0 visible, 1 infrared"
    assert metadata["embedding"] == "64-d, unit length, compare by cosine similarity"
    assert [entry.name for entry in model.graph.input] == ["images", "modality"]
    assert model.graph.input[1].type.tensor_type.elem_type == onnx.TensorProto.INT64
    other = onnx.load(any_size[0] / "model-any-size.onnx")
    described = {entry.key: entry.value for entry in other.metadata_props}
    assert described["pixels"] == "uint8 in [0, 255], RGB, NHWC, any size; resized by lanczos"
    shape = [d.dim_param or d.dim_value for d in other.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", "height", "width", 3]


def test_result_lists_files_and_comparison(split: Exported, joint: Exported) -> None:
    folder, report = split
    assert report.files == (folder / "visible.onnx", folder / "infrared.onnx")
    assert names(folder) == ["infrared.onnx", "visible.onnx"]
    assert report.images == 11
    assert report.opset == 18
    assert 0.0 <= report.largest_difference < LIMIT
    assert report.nodes["Conv"] == 4  # a stem and the shared convolution, twice
    models = [onnx.load(path) for path in report.files]
    assert sum(report.nodes.values()) == sum(len(model.graph.node) for model in models)
    assert not {"DFT", "Dropout"} & set(report.nodes)
    assert joint[1].files == (joint[0] / "embed.onnx",)


def test_files_contain_only_needed_weights_once(split: Exported, joint: Exported) -> None:
    def weights(path: Path) -> int:
        return sum(int(np.prod(t.dims)) for t in onnx.load(path).graph.initializer)

    stem, total = 8 * 27 + 8, weights(split[0] / "visible.onnx")
    assert weights(split[0] / "infrared.onnx") == total
    assert total < 80 * 1000  # without the classifier
    assert total + stem <= weights(joint[0] / "embed.onnx") < total + stem + 500


def test_metadata_describes_input_without_machine_details(split: Exported) -> None:
    model = onnx.load(split[0] / "visible.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["recipe"] == "small"
    assert metadata["modality"] == "visible"
    assert metadata["size"] == "24x12"
    assert metadata["pixels"].startswith("float32 in [0, 1], RGB, NCHW")
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        3,
        24,
        12,
    ]
    content = (split[0] / "visible.onnx").read_bytes()
    assert b".py" not in content
    assert b"stack_trace" not in content


def test_network_is_not_modified(network: Small, samples: dict[Modality, Tensor], split: Exported) -> None:
    assert network.training
    assert all(module.training for module in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_bytes_depend_on_the_network_only(
    network: Small, samples: dict[Modality, Tensor], split: Exported, tmp_path: Path
) -> None:
    infrared = {Modality.INFRARED: samples[Modality.INFRARED]}
    export_onnx(network, tmp_path, infrared, metadata={"recipe": "small"})
    assert names(tmp_path) == ["infrared.onnx"]
    assert (tmp_path / "infrared.onnx").read_bytes() == (split[0] / "infrared.onnx").read_bytes()


def test_single_sample_and_later_opset_export_silently(
    tmp_path: Path,
    samples: dict[Modality, Tensor],
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    sample = {Modality.INFRARED: samples[Modality.INFRARED][:1]}
    report = export_onnx(Plain(), tmp_path, sample, opset=20)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert (report.images, report.opset) == (1, 20)
    model = onnx.load(report.files[0])
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    session = runtime.InferenceSession(str(tmp_path / "infrared.onnx"))
    (embedding,) = session.run(None, {"images": np.zeros((6, 3, *SIZE), np.float32)})
    assert embedding.shape == (6, 6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (DropoutLeftOn, "from PyTorch's embeddings"),
        (NoNumber, "NaN or infinity"),
        (Fourier, "DFT"),
        (Branch, "cannot be exported"),
        (FixedBatch, "cannot be exported"),
    ],
)
def test_failed_verification_writes_no_file(
    tmp_path: Path,
    samples: dict[Modality, Tensor],
    wrong: type[Plain],
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "visible.onnx").write_bytes(b"an earlier export")
    with pytest.raises(VireidError, match=words):
        export_onnx(wrong(), tmp_path, samples)
    assert names(tmp_path) == ["visible.onnx"]
    assert (tmp_path / "visible.onnx").read_bytes() == b"an earlier export"
    assert capfd.readouterr() == ("", "")


def test_failure_of_second_file_keeps_earlier_export(tmp_path: Path, samples: dict[Modality, Tensor]) -> None:
    class InfraredWrong(Plain):
        def embed(self, images: Tensor, modality: Modality) -> Tensor:
            off = 1.0 if torch.compiler.is_exporting() and modality is Modality.INFRARED else 0.0
            return self.pooled(images) + off

    with pytest.raises(VireidError, match=r"infrared\.onnx differs from PyTorch's embeddings by 1;"):
        export_onnx(InfraredWrong(), tmp_path, samples)
    assert names(tmp_path) == []


def test_large_weights_are_in_a_separate_file(
    tmp_path: Path, samples: dict[Modality, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "INLINE_BYTES", 0)
    report = export_onnx(Plain(), tmp_path, {Modality.VISIBLE: samples[Modality.VISIBLE]})
    assert names(tmp_path) == ["visible.onnx", "visible.onnx.data"]
    assert set(report.files) == {tmp_path / "visible.onnx", tmp_path / "visible.onnx.data"}
    session = runtime.InferenceSession(str(tmp_path / "visible.onnx"))
    assert session.run(None, {"images": np.zeros((3, 3, *SIZE), np.float32)})[0].shape == (3, 6)


@pytest.mark.parametrize(
    ("layout", "samples"),
    [
        ("split", {}),
        ("split", {Modality.VISIBLE: torch.rand(2, 1, *SIZE)}),
        ("split", {Modality.VISIBLE: torch.rand(0, 3, *SIZE)}),
        ("split", {Modality.VISIBLE: torch.zeros(2, 3, *SIZE, dtype=torch.uint8)}),
        ("split", {Modality.VISIBLE: torch.full((2, 3, *SIZE), 255.0)}),
        ("split", {Modality.VISIBLE: torch.full((2, 3, *SIZE), math.nan)}),
        ("split", {Modality.VISIBLE: torch.rand(2, 3, 8, 4), Modality.INFRARED: torch.rand(2, 3, 8, 6)}),
        ("joint", {Modality.VISIBLE: torch.rand(2, 3, *SIZE)}),
    ],
)
def test_wrong_samples_raise(tmp_path: Path, layout: Layout, samples: dict[Modality, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"samples|expected|pixels"):
        export_onnx(Plain(), tmp_path / "new", samples, layout=layout)
    assert not (tmp_path / "new").exists()


def test_error_names_a_folder_that_cannot_be_created(tmp_path: Path, samples: dict[Modality, Tensor]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VireidError, match="file"):
        export_onnx(Plain(), tmp_path / "file", samples)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_package_error_names_the_extra(
    tmp_path: Path, samples: dict[Modality, Tensor], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"(?s)" + package + r".*vireid\[export\]"):
        export_onnx(Plain(), tmp_path, samples)


def test_the_extra_is_imported_only_when_something_is_exported() -> None:
    tree = ast.parse(Path(exporter.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert "torch" in imported
    assert not imported & set(exporter.PACKAGES)


def test_a_full_disk_is_named_with_advice(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(DataError, match="exports: No space left") as error,
        staging(tmp_path / "exports", "onnx"),
    ):
        raise full
    assert "free some space" in error.value.hint
    assert list((tmp_path / "exports").iterdir()) == []
