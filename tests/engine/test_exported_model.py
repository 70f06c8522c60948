"""Exported files as models: parity with the run, one fingerprint, and refusal of other files."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import TINY, Listener
from vireid_cli.data.image_list import list_images
from vireid_cli.embedding_files import read_embeddings
from vireid_cli.embedding_files.origin import fingerprint_differences
from vireid_cli.engine.embed_images.verb import embed_images
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.open_model import open_model
from vireid_cli.engine.run import Run
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality

LIMIT = 1e-4


@pytest.fixture(scope="module")
def engine(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return engine.train(str(path), epochs=1)


@pytest.fixture(scope="module")
def exports(engine: Engine, run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each format."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exports")
    return {
        "onnx": engine.export(run, out=folder).files[0],
        "program": engine.export_torch(run, out=folder).files[0],
    }


@pytest.mark.parametrize("name", ["onnx", "program"])
def test_files_embed_as_the_run(
    name: str, exports: dict[str, Path], engine: Engine, run: Run, sysu_tree: Path, tmp_path: Path
) -> None:
    images = list_images(sysu_tree / "SYSU-MM01" / "cam3" / "0001")
    mixed = [images.file(0), sysu_tree / "SYSU-MM01" / "cam1" / "0001" / "0001.jpg", images.file(1)]
    model, own = open_model(exports[name], engine.session), run.load()
    assert fingerprint_differences(model.fingerprint, own.fingerprint) == []
    vectors, kinds = model.embed_auto(mixed)
    expected, own_kinds = own.embed_auto(mixed)
    assert kinds == own_kinds == [Modality.INFRARED, Modality.VISIBLE, Modality.INFRARED]
    np.testing.assert_allclose(vectors, expected, atol=LIMIT)
    embed_images(model, images, tmp_path / "e.npz", engine.session)
    content = read_embeddings(tmp_path / "e.npz")
    files = [content.image(row) for row in range(len(content))]
    np.testing.assert_allclose(content.features, own.embed(files, "infrared"), atol=LIMIT)


METADATA = {
    "export": "ab",
    "size": "64x32",
    "fingerprint": json.dumps(
        {"weights_sha256": "cd", "resize": "lanczos", "decoder": None, "embedding": "2 float32, unit length"}
    ),
}


class FakeFiles:
    """ONNX files by name: their metadata, and a runtime that keeps its inputs.

    The embedding of an image of value v is (cos v, sin v), negative in the infrared.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, **files: dict[str, str]) -> None:
        self.inputs: list[tuple[str, list[np.ndarray]]] = []
        self.files = {f"{name}.onnx": {**METADATA, **metadata} for name, metadata in files.items()}
        for name in self.files:
            (folder / name).write_bytes(b"fake")
        monkeypatch.setattr("vireid_cli.exporters.onnx.open_onnx", self.open)

    def open(self, path: Path, threads: int = 0) -> tuple[Any, dict[str, str]]:
        assert threads == 1
        metadata = self.files[path.name]

        def embed(images: np.ndarray, signs: Any) -> np.ndarray:
            scale = 255.0 if images.dtype == np.uint8 else 1.0
            values = images.reshape(len(images), -1)[:, 0] / scale
            return np.stack([np.cos(values), np.sin(values)], 1).astype(np.float32) * signs

        def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
            self.inputs.append((path.name, inputs))
            if metadata.get("layout") == "single":
                return [embed(inputs[0], np.where(inputs[1] == 1, -1, 1)[:, None])]
            names = metadata["modality"].split(", ")
            pairs = zip(names, inputs, strict=True)
            return [embed(images, -1 if name == "infrared" else 1) for name, images in pairs]

        return run, metadata


BOTH = "visible, infrared"
PIXELS = np.stack([np.full((64, 32, 3), value, np.uint8) for value in (0, 100, 255)])
EXPECTED = np.stack([np.cos(PIXELS[:, 0, 0, 0] / 255.0), np.sin(PIXELS[:, 0, 0, 0] / 255.0)], 1)


@pytest.mark.parametrize(
    ("files", "opened"),
    [
        ({"model": {"modality": BOTH, "layout": "single", "pixels": "float32 in [0, 1]"}}, "model"),
        ({"any": {"modality": BOTH, "layout": "single", "pixels": "uint8 in [0, 255], NHWC"}}, "any"),
        ({"embed": {"modality": BOTH, "layout": "joint"}}, "embed"),
        ({"embed": {"modality": BOTH}}, "embed"),  # an earlier version
        ({"visible": {"modality": "visible"}, "infrared": {"modality": "infrared"}}, "visible"),
        ({"visible": {"modality": "visible"}, "infrared": {"modality": "infrared"}}, "infrared"),
    ],
)
def test_every_layout_gets_its_inputs(
    files: dict[str, dict[str, str]],
    opened: str,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeFiles(monkeypatch, tmp_path, **files)
    model = open_model(tmp_path / f"{opened}.onnx", engine.session)
    assert (model.size, model.dimension, model.fingerprint["weights_sha256"]) == ((64, 32), 2, "cd")
    for kind, sign in ((Modality.VISIBLE, 1), (Modality.INFRARED, -1)):
        np.testing.assert_allclose(model.embedder.embed(PIXELS, kind), sign * EXPECTED, atol=1e-6)
        images = fake.inputs[-1][1][0]
        shape = (64, 32, 3) if opened == "any" else (3, 64, 32)
        assert images.shape[1:] == shape
        assert images.dtype == (np.uint8 if opened == "any" else np.float32)


def test_one_file_of_a_split_export_embeds_its_modality(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"modality": "infrared", "export": "of another run"}
    FakeFiles(monkeypatch, tmp_path, visible={"modality": "visible"}, infrared=other)
    model = open_model(tmp_path / "visible.onnx", engine.session)
    assert model.embed(PIXELS[0], "visible").shape == (1, 2)
    with pytest.raises(UsageError, match="does not embed infrared images"):
        model.embed(PIXELS[0], "infrared")


def test_integers_and_floats_are_not_comparable() -> None:
    model = {"weights_sha256": "a", "size": "64x32", "resize": "lanczos", "decoder": None}
    whole = {**model, "embedding": "8 float32, unit length"}
    quantised = {**model, "embedding": "8 float32, unit length, int8"}
    assert len(fingerprint_differences(whole, quantised)) == 1


def test_files_of_earlier_versions_state_their_assumptions(
    engine: Engine, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeFiles(monkeypatch, tmp_path, old={"modality": BOTH})
    del fake.files["old.onnx"]["fingerprint"]
    model = open_model(tmp_path / "old.onnx", replace(engine.session, reporter=listener))
    assert "assumed: resize lanczos" in listener.infos[-1]
    assert model.fingerprint["weights_sha256"] == "ab"
    assert model.fingerprint["embedding"] == "2 float32, unit length"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"fingerprint": '{"resize": 3}'}, "its fingerprint is damaged"),
        ({"fingerprint": "{"}, "can't be read as JSON"),
        ({"fingerprint": METADATA["fingerprint"].replace("2 float32", "3 float32")}, "is damaged"),
        ({"modality": ""}, "no modality"),
        ({"size": "64"}, "no size"),
        ({"size": "99999x3"}, "outside of 1 to 4096"),
        ({"size": "1" * 5000 + "x1"}, "no size"),
        ({"size": "64x32\n"}, "no size"),
    ],
)
def test_metadata_are_checked(
    metadata: dict[str, str], words: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeFiles(monkeypatch, tmp_path, x={"modality": BOTH, **metadata})
    with pytest.raises(DataError, match=words):
        open_model(tmp_path / "x.onnx", engine.session)


def test_integers_are_marked(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeFiles(monkeypatch, tmp_path, x={"modality": BOTH, "precision": "int8"})
    assert open_model(tmp_path / "x.onnx", engine.session).fingerprint["embedding"].endswith(", int8")


def test_compiled_packages_are_refused(engine: Engine, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model-aoti.pt2", "w") as archive:
        archive.writestr("model/data/aotinductor/model/code.so", b"")
    with pytest.raises(UsageError, match="machine code"):
        open_model(tmp_path / "model-aoti.pt2", engine.session)


@pytest.mark.parametrize("metadata", ["[]", "3", '{"modality": ["visible"]}', '{"size": 3}', "{", "1" * 5000])
def test_metadata_of_programs_are_texts(
    metadata: str, exports: dict[str, Path], engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "crafted.pt2"
    with zipfile.ZipFile(exports["program"]) as program, zipfile.ZipFile(path, "w") as archive:
        for name in program.namelist():
            known = name.endswith("vireid.json")
            archive.writestr(name, metadata if known else program.read(name))
    with pytest.raises(DataError, match=r"crafted\.pt2"):
        open_model(path, engine.session)


def test_damaged_and_missing_files(exports: dict[str, Path], engine: Engine, tmp_path: Path) -> None:
    for ending in (".onnx", ".pt2"):
        with pytest.raises(UsageError, match="does not exist"):
            open_model(tmp_path / f"none{ending}", engine.session)
        for content in (b"", b"no model", exports["onnx"].read_bytes()[:1000]):
            (tmp_path / f"bad{ending}").write_bytes(content)
            with pytest.raises(DataError, match=f"bad{ending}"):
                open_model(tmp_path / f"bad{ending}", engine.session)
