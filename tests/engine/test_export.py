"""Exports of a run: metadata, the printed snippet, quantisation, and files of other runtimes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import TINY
from vireid_cli.engine import export as verbs
from vireid_cli.engine import export_accuracy
from vireid_cli.engine.artifacts import open_artifact
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.export import ExportResult, Quantisation
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.exporters import onnx_int8, torch_program
from vireid_cli.results.export import AccuracyChange, ExportRecord, read_export
from vireid_cli.types import Modality

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def engine(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine with one trained run."""
    folder = tmp_path_factory.mktemp("exports")
    (folder / "data").mkdir()
    (folder / "data" / "SYSU-MM01").symlink_to(sysu_tree / "SYSU-MM01")
    (folder / "tiny.yaml").write_text(TINY)
    engine = Engine.choose("cpu", "fp32", data_dir=folder / "data", runs_dir=folder / "runs")
    engine.prepare("sysu", (64, 32), workers=1)
    engine.train(str(folder / "tiny.yaml"), ("train.epochs=1", "train.steps_per_epoch=1", "backbone.width=8"))
    return engine


@pytest.fixture(scope="module")
def exported(engine: Engine) -> ExportResult:
    return engine.export()


@pytest.fixture
def person(tmp_path: Path) -> np.ndarray:
    """Pixels of an image of another size, which is also the file ``person.jpg`` (losslessly, a PNG)."""
    pixels = np.random.default_rng(3).integers(0, 256, (90, 41, 3), dtype=np.uint8)
    content = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    (tmp_path / "person.jpg").write_bytes(content)
    return pixels


def run_snippet(snippet: str, folder: Path) -> np.ndarray:
    """Run a snippet in a new interpreter without vireid, and return its embeddings."""
    last = "import sys; assert 'vireid_cli' not in sys.modules; np.save('out.npy', np.asarray(embeddings))"
    code = f"{snippet}\n{last}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: np.ndarray = np.load(folder / "out.npy")
    return result


def test_the_printed_snippet_runs_alone(
    engine: Engine, exported: ExportResult, person: np.ndarray, tmp_path: Path
) -> None:
    assert len(exported.snippet.splitlines()) <= 10
    assert exported.files == (exported.run.exports / "model.onnx",)
    embeddings = run_snippet(exported.snippet, tmp_path)
    expected = engine.load().embed(person, Modality.VISIBLE)
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_metadata_identify_the_model_and_its_training_data(engine: Engine, exported: ExportResult) -> None:
    metadata = open_artifact(exported.files[0]).metadata
    state = json.loads((exported.run.checkpoints / "last" / "state.json").read_text())
    tokens = "\n".join(sorted(state["extra"]["training_identities"]))
    assert metadata["identities_sha256"] == hashlib.sha256(tokens.encode()).hexdigest()
    assert json.loads(metadata["fingerprint"]) == engine.load().fingerprint
    assert metadata["resize"] == "lanczos"
    assert metadata["size"] == "64x32"
    assert metadata["pixels"].startswith("float32 in [0, 1]")
    assert "terms of use" in metadata["licence"]
    assert metadata["export"] == exported.content.identifier
    assert read_export(exported.record) == exported.content


def test_files_without_their_preprocessing_and_quantisation_exclude_each_other(engine: Engine) -> None:
    for options in ({"layout": "split"}, {"preprocessing": True}):
        with pytest.raises(UsageError, match="single"):
            engine.export(quantise=Quantisation(), **options)


def test_int8_is_measured(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of eight channels after one step loses more than a trained one: any loss is accepted here."""
    monkeypatch.setattr(export_accuracy, "LARGEST_LOSS", 100.0)
    result = engine.export(quantise=Quantisation(8), out=tmp_path)
    change = result.content.accuracy
    assert change is not None
    assert (change.split, change.identities) == ("validation", 2)
    assert [path.name for path in result.files] == ["model-int8.onnx"]
    assert 0 < result.content.largest_difference < 0.2
    artifact = open_artifact(result.files[0])
    assert artifact.metadata["precision"] == "int8"
    assert artifact.metadata["size"] == "64x32"
    assert read_export(result.record).accuracy == change
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model-int8.onnx", "onnx-single-int8.json"]


@pytest.mark.parametrize(("rank1", "mean_precision"), [(0.894, 0.5), (0.9, 0.494)])
def test_int8_with_a_loss_is_refused_with_its_figures(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank1: float, mean_precision: float
) -> None:
    change = AccuracyChange(
        split="validation", identities=2, images=9,
        rank1=rank1, rank1_before=0.9, mAP=mean_precision, mAP_before=0.5,
    )  # fmt: skip
    monkeypatch.setattr(verbs, "accuracy_change", lambda *_: change)
    monkeypatch.setattr(onnx_int8, "quantise", lambda source, path, _: path.write_bytes(source.read_bytes()))
    (tmp_path / "model-int8.onnx").write_bytes(b"earlier")
    with pytest.raises(
        VireidError, match=r"loses 0\.60 points; the limit is 0\.5\. Rank-1 90\.00 → "
    ) as error:
        engine.export(quantise=Quantisation(8), out=tmp_path)
    assert f"mAP 50.00 → {100 * mean_precision:.2f} %" in error.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["model-int8.onnx"]
    assert (tmp_path / "model-int8.onnx").read_bytes() == b"earlier"


def test_a_loss_of_half_a_point_is_accepted() -> None:
    change = AccuracyChange(
        split="test", identities=1, images=1, rank1=0.495, rank1_before=0.5, mAP=0.6, mAP_before=0.5
    )
    export_accuracy.refuse_loss(change, "file")
    assert change.loss == pytest.approx(0.5)


def test_calibration_images_are_training_images_of_both_modalities(engine: Engine) -> None:
    from vireid_cli.engine.export_subject import export_subject

    subject = export_subject(engine.find(), engine.session)
    batches = export_accuracy.calibration_batches(subject, 20, batch=8)
    assert [len(batch["images"]) for batch in batches] == [8, 8, 4]
    codes = np.concatenate([batch["modality"] for batch in batches])
    assert (codes == 1).sum() == (codes == 0).sum() == 10
    table = subject.store.records
    trained = subject.store.batch((64, 32), np.flatnonzero(np.isin(table.splits, ("train", "val"))))
    known = {image.tobytes() for image in trained}
    images = np.concatenate([batch["images"] for batch in batches]).transpose(0, 2, 3, 1)
    assert {image.tobytes() for image in np.rint(images * 255).astype(np.uint8)} <= known


def test_a_program_of_pytorch_runs_alone_and_holds_no_image(
    engine: Engine, exported: ExportResult, person: np.ndarray, tmp_path: Path
) -> None:
    result = engine.export_torch(preprocessing=True, out=tmp_path / "out")
    embeddings = run_snippet(result.snippet, tmp_path)
    expected = engine.load().embed(person, Modality.VISIBLE)
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)
    assert open_artifact(result.files[0]).metadata["fingerprint"]
    content = result.files[0].read_bytes()
    assert str(Path(torch.__file__).parents[1]).encode() not in content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (sample,) = (name for name in archive.namelist() if "sample_inputs" in name)
        arguments, _ = torch.load(io.BytesIO(archive.read(sample)), weights_only=True)
    assert not any(tensor.any() for tensor in arguments)


@pytest.mark.parametrize("change", ["pickled", "sample", "empty", "text"])
def test_a_program_with_pickles_is_refused(tmp_path: Path, change: str) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "model.pt2"
    if change == "text":
        path.write_text("no archive")
    else:
        config = {"config": {} if change == "empty" else {"w": {"use_pickle": change == "pickled"}}}
        sample = io.BytesIO()
        torch.save(Payload() if change == "sample" else (), sample)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data/weights/model_weights_config.json", json.dumps(config))
            archive.writestr("model/data/sample_inputs/model.pt", sample.getvalue())
    with pytest.raises(DataError, match=r"model\.pt2"):
        torch_program.open_program(path)
    assert not (tmp_path / "ran").exists()


def test_openvino(engine: Engine, exported: ExportResult, person: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    result = engine.export_openvino(out=tmp_path / "out")
    assert [path.name for path in result.files] == ["model-fp16.bin", "model-fp16.xml"]
    assert result.content.largest_difference < 1e-2
    embeddings = run_snippet(result.snippet, tmp_path)
    expected = engine.load().embed(person, Modality.VISIBLE)
    np.testing.assert_allclose(embeddings, expected, atol=1e-2)
    assert open_artifact(result.files[1]).metadata["fingerprint"]


def test_openvino_int8_is_measured(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated on training images, and compared with PyTorch on the validation identities."""
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.setattr(export_accuracy, "LARGEST_LOSS", 100.0)
    result = engine.export_openvino(precision="int8", quantisation=Quantisation(8), out=tmp_path / "out")
    assert [path.name for path in result.files] == ["model-int8.bin", "model-int8.xml"]
    change = result.content.accuracy
    assert change is not None
    assert (change.split, change.identities) == ("validation", 2)
    assert 0 < result.content.largest_difference < 0.2
    assert open_artifact(result.files[1]).metadata["precision"] == "int8"


def test_artifacts_in_one_table(engine: Engine, exported: ExportResult) -> None:
    costs = engine.cost_of_artifacts()
    assert [cost.name for cost in costs] == ["PyTorch", "model.onnx"]
    assert all(cost.latency_ms_one_image for cost in costs)
    assert costs[1].megabytes == exported.files[0].stat().st_size / 1e6


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model.pt2"])
def test_other_files_are_no_artifacts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no network")
    with pytest.raises(VireidError, match="model"):
        open_artifact(tmp_path / name)


def test_names_of_records_differ() -> None:
    record = ExportRecord(
        identifier="a", layout="single", files={}, metadata={}, largest_difference=0.0, images=1
    )
    changes: tuple[dict[str, object], ...] = (
        {},
        {"precision": "int8"},
        {"any_size": True},
        {"layout": "split"},
        {"format": "torch"},
    )
    names = [record.model_copy(update=change).name for change in changes]
    assert names == [
        "onnx-single", "onnx-single-int8", "onnx-single-any-size", "onnx-split", "torch-single"
    ]  # fmt: skip
