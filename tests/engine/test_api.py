"""The Python API: names of the package, training, evaluation, embedding, a dataset for other loops."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import vireid_cli
from vireid_cli import Engine, Evaluation, Modality, Model, Run
from vireid_cli.engine.evaluate.result import Evaluations
from vireid_cli.errors import DataError, UsageError


@pytest.fixture(scope="module")
def engine(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from tests.conftest import TINY

    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return engine.train(path, epochs=1)


def test_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, vireid_cli; from vireid_cli import __version__; "
        "print([n for n in ('torch', 'numpy', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_loads() -> None:
    for name in vireid_cli.__all__:
        assert getattr(vireid_cli, name) is not None
    assert set(vireid_cli.__all__) <= set(dir(vireid_cli))
    with pytest.raises(AttributeError, match="no attribute 'Motor'"):
        vireid_cli.Motor  # noqa: B018


def test_shorthands_are_settings(run: Run) -> None:
    assert "epochs: 1" in run.recipe_file.read_text()


def test_a_loaded_recipe_takes_no_settings(engine: Engine, tiny_recipe: Path) -> None:
    from vireid_cli.engine.network import load_recipe

    with pytest.raises(UsageError, match=r"train\.epochs=1"):
        engine.train(load_recipe(str(tiny_recipe)), epochs=1)


def test_one_protocol_has_metrics(engine: Engine, run: Run) -> None:
    result = engine.evaluate(run, mode="all")
    content = result.only.content["metrics"]
    assert (result.rank1, result.mAP, result.mINP) == tuple(
        content[name]["mean"] for name in ("rank1", "mAP", "mINP")
    )
    table = result.to_markdown().splitlines()
    assert table[0].startswith("| protocol | Rank-1 |")
    assert f"{100 * result.mAP:.2f}" in table[2]
    assert "chance" in table[-1]
    copy = result.to_dict()["all-single-seeded"]
    copy["metrics"]["mAP"]["mean"] = -1.0
    assert result.mAP >= 0.0


def test_several_protocols_are_a_list(engine: Engine, run: Run) -> None:
    results = engine.evaluate(run, mode="both")
    assert [evaluation.protocol for evaluation in results] == ["all-single-seeded", "indoor-single-seeded"]
    with pytest.raises(UsageError, match="2 protocols were evaluated: all-single-seeded, "):
        results.rank1  # noqa: B018
    with pytest.raises(UsageError, match="no metric 'rank2'"):
        results[0].metric("rank2")


def test_wrong_settings_are_named_together(engine: Engine, run: Run) -> None:
    with pytest.raises(UsageError, match=r"mode is 'outdoor'.*; shots is 3: expected 1, 10, both"):
        engine.evaluate(run, mode="outdoor", shots=3)  # type: ignore[arg-type]


def test_markdown_escapes_pipes(engine: Engine, run: Run) -> None:
    evaluation: Evaluation = engine.evaluate(run, mode="all").only
    evaluation.content["protocol"] = "a|b\nc"
    assert r"| a\|b c |" in Evaluations([evaluation]).to_markdown()


def test_embeddings_equal_those_of_an_evaluation(engine: Engine, run: Run, sysu_tree: Path) -> None:
    folder = engine.evaluate(run, mode="all").only.folder
    assert folder is not None
    with np.load(folder / "embeddings.npz") as stored:
        features, paths, codes = stored["features"], stored["paths"], stored["modalities"]
    model = run.load()
    root = sysu_tree / "SYSU-MM01"
    for modality in Modality:
        chosen = np.flatnonzero(codes == modality.code)[:5]
        vectors = model.embed([root / paths[i] for i in chosen], modality, batch=2)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, features[chosen], atol=2e-6)


def test_files_and_arrays_of_any_size(run: Run, tmp_path: Path) -> None:
    model: Model = run.load()
    pixels = np.random.default_rng(0).integers(0, 256, (37, 91, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    vectors = model.embed([tmp_path / "a.png", pixels, pixels[..., 0]], "visible")
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    one = model.embed(pixels, "visible")
    np.testing.assert_allclose(one[0], vectors[1], atol=1e-6)
    assert set(model.fingerprint) >= {"method", "weights_sha256", "size", "resize", "decoder", "precision"}


def test_an_iterator_is_read_a_batch_at_a_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model, handed = run.load(), 0

    def images() -> object:
        nonlocal handed
        for _ in range(9):
            handed += 1
            yield np.zeros((20, 10, 3), dtype=np.uint8)

    counts: list[int] = []

    def embed(network: object, pixels: np.ndarray, *rest: object) -> np.ndarray:
        counts.append(handed)
        return np.zeros((len(pixels), 4), np.float32)

    monkeypatch.setattr("vireid_cli.engine.model.embed_pixels", embed)
    assert len(model.embed(images(), "visible", batch=2, workers=1)) == 9  # type: ignore[arg-type]
    assert counts[0] <= 4
    assert len(counts) == 5


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("missing.jpg", DataError, "missing.jpg"),
        (np.zeros((4, 4, 3)), UsageError, "float64"),
        (np.zeros((4, 4, 2), np.uint8), UsageError, r"\(4, 4, 2\)"),
    ],
)
def test_bad_images_are_named(run: Run, image: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run.load().embed(image, "visible")  # type: ignore[arg-type]


def test_unknown_modality_and_no_image(run: Run) -> None:
    with pytest.raises(UsageError, match="visible or infrared"):
        run.load().embed([], "thermal")
    with pytest.raises(UsageError, match="No images"):
        run.load().embed([], "visible")


def test_dataset_for_other_loops(engine: Engine) -> None:
    dataset = engine.dataset("sysu", split="train", size=(64, 32))
    assert len(dataset) == 6 * 6 * 3
    assert sorted(set(dataset.labels)) == list(range(6))
    sample = dataset[-1]
    assert sample.image.shape == (3, 64, 32)
    assert float(sample.image.max()) <= 1.0
    assert sample.pid == dataset.pids[sample.label]
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    batch = next(iter(DataLoader(dataset, batch_size=5)))
    assert torch.equal(batch.image[3], dataset[3].image)
    assert batch.label.shape == (5,)


def test_dataset_crosses_processes_without_its_pixels(engine: Engine) -> None:
    dataset = engine.dataset("sysu", split="test", size=(64, 32), modality="infrared")
    assert set(dataset.records.modalities) == {1}
    dataset[0]
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    assert torch.equal(pickle.loads(data)[0].image, dataset[0].image)
    with pytest.raises(UsageError, match="no split 'tset'"):
        engine.dataset("sysu", split="tset", size=(64, 32))


def test_figures_have_defaults(engine: Engine, run: Run, tmp_path: Path) -> None:
    from vireid_cli.engine.subjects.output import Output

    engine.evaluate(run, mode="all")
    assert engine.visualize("cmc", run, output=Output(tmp_path / "cmc.png", dpi=40)).is_file()
    assert engine.visualize("sheet", output=Output(tmp_path / "s.png", dpi=40), images=4).is_file()
