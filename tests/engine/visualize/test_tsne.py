"""t-SNE of runs: the chosen images, their components through the network, and refused options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tests.conftest import TINY, Listener
from tests.engine.evaluated_runs import evaluated as made_up
from vireid_cli.data.store import open_store
from vireid_cli.engine.embed import load_trained, to_images
from vireid_cli.engine.engine import Engine, FigureOptions
from vireid_cli.engine.subjects import components
from vireid_cli.engine.subjects.components import component_rows, components_of
from vireid_cli.engine.subjects.embeddings import read_embeddings
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import tsne as drawing
from vireid_cli.engine.visualize.tsne import select_rows
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures import planes
from vireid_cli.figures.planes import By, Plane
from vireid_cli.frequency import fourier
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings, Modality

OPTIONS: FigureOptions = {
    "protocol": None,
    "ids": 4,
    "images": 4,
    "seed": 0,
    "by": "modality",
    "component": "all",
}


@pytest.fixture(scope="module")
def trained(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, list[RunFolder]]:
    """Two tiny runs, evaluated."""
    place = tmp_path_factory.mktemp("tsne")
    (place / "tiny.yaml").write_text(TINY)
    engine = Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=place / "runs")
    settings = ["train.epochs=1", "train.steps_per_epoch=1"]
    runs: list[RunFolder] = [
        engine.train(str(place / "tiny.yaml"), [*settings, f"train.seed={seed}"]) for seed in (1, 2)
    ]
    for run in runs:
        engine.evaluate(run)
    return engine, runs


def table(pids: list[int], modalities: list[int], paths: list[str]) -> Embeddings:
    count = len(pids)
    columns = (np.array(pids), np.zeros(count, int), np.array(modalities, np.uint8), np.array(paths))
    return Embeddings(np.zeros((count, 2)), *columns)


def test_images_are_spread_evenly_over_each_persons_paths() -> None:
    paths = [f"{i:02d}" for i in (7, 6, 5, 4, 3, 2, 1, 0)]
    images = table([1] * 8 + [2, 2, 3] + [1], [0] * 11 + [1], [*paths, "a", "b", "c", "d"])
    rows = select_rows(images, np.array([1, 2]), 4)
    assert [str(path) for path in images.paths[rows]] == ["07", "05", "03", "01", "a", "b", "d"]
    assert select_rows(images, np.array([1, 2]), 100).tolist() == [*range(10), 11]
    assert select_rows(images, np.array([2]), 1).tolist() == [9]


@pytest.mark.parametrize(
    ("each", "ids", "images", "hint"),
    [
        (2, 2, 12, "Show more: --ids 3$"),
        (2, 2, 1, "Show more: --ids 4 --images 2$"),
        (2, 24, 1, "Show more: --images 2$"),
        (1, 2, 12, "4 people with images of both modalities"),
    ],
)
def test_too_few_images_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int, ids: int, images: int, hint: str
) -> None:
    rows = np.flatnonzero((np.arange(96) % 8 < 4) & (np.arange(96) % 48 < 8 * each))
    run = made_up(tmp_path / "few", rows)
    monkeypatch.setattr(drawing, "components_of", lambda *_: pytest.fail("worked on images that are too few"))
    engine = Engine.choose("cpu", data_dir=tmp_path, runs_dir=tmp_path)
    with pytest.raises(UsageError, match=rf"too few for t-SNE, which needs 10(.|\n)*{hint}"):
        engine.visualize("tsne", run, **OPTIONS | {"ids": ids, "images": images})


def test_components_are_those_of_each_image_alone(trained: tuple[Engine, list[RunFolder]]) -> None:
    engine, (run, _) = trained
    store = open_store(engine.session.data_dir, "sysu")
    network = load_trained(run, engine.session, fold=False).network
    rows = np.array([75, 3, 100, 9, 8])
    assert set(store.records.modalities[rows]) == {0, 1}
    names = ("amplitude", "phase")
    result = component_rows(network, engine.session, names, store, (64, 32), rows)
    for i, row in enumerate(rows):
        image = to_images(store.batch((64, 32), rows[i : i + 1]), torch.device("cpu"))
        modality = Modality.of(store.records.modalities[row])
        with torch.no_grad():
            pixels = network.get_submodule("normalise")(image)
            maps = network.get_submodule("trunk")(pixels, modality)
        spectrum = fourier.spectrum(maps)
        size, angle = fourier.amplitude(spectrum), fourier.phase(spectrum).flatten().numpy()
        weighted = (size * fourier.columns_to_full(maps.shape[-1], size).sqrt()).flatten().numpy()
        bins = len(weighted)
        assert result["phase"].shape[1] == 2 * bins < components.LENGTH
        np.testing.assert_allclose(result["amplitude"][i], weighted, rtol=1e-3, atol=1e-4)
        seen = weighted > 1e-2 * weighted.max()
        assert seen.sum() > 100
        cosine, sine = result["phase"][i][:bins], result["phase"][i][bins:]
        np.testing.assert_allclose(np.arctan2(sine, cosine)[seen], angle[seen], atol=1e-3)


def test_batches_and_order_change_nothing(
    trained: tuple[Engine, list[RunFolder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, (run, _) = trained
    store = open_store(engine.session.data_dir, "sysu")
    network = load_trained(run, engine.session).network
    rows = np.arange(0, 216, 9)
    result = component_rows(network, engine.session, ("phase",), store, (64, 32), rows)["phase"]
    monkeypatch.setattr(components, "BATCH", 3)
    order = np.random.default_rng(0).permutation(len(rows))
    other = component_rows(network, engine.session, ("phase",), store, (64, 32), rows[order])
    np.testing.assert_allclose(other["phase"], result[order], atol=2e-2)
    unit = result / np.linalg.norm(result, axis=1, keepdims=True)
    repeated = other["phase"] / np.linalg.norm(other["phase"], axis=1, keepdims=True)
    assert (unit[order] * repeated).sum(axis=1).min() > 0.999


def test_runs_and_components_are_drawn_of_the_same_images(
    trained: tuple[Engine, list[RunFolder]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, runs = trained
    seen = []
    figure = planes.planes_figure

    def spy(
        laid_out: Sequence[Plane], pids: NDArray[Any], modalities: NDArray[Any], by: By, *titles: str
    ) -> Figure:
        seen.append((laid_out, pids, modalities, titles))
        return figure(laid_out, pids, modalities, by, *titles)

    monkeypatch.setattr(planes, "planes_figure", spy)
    engine.visualize("tsne", runs, output=Output(tmp_path / "a.png", dpi=40), **OPTIONS)
    laid_out, pids, modalities, titles = seen[0]
    assert [plane.run for plane in laid_out] == ["tiny, seed 1"] * 3 + ["tiny, seed 2"] * 3
    assert [plane.component.split()[0] for plane in laid_out] == ["spatial", "amplitude", "phase"] * 2
    counts = {
        (int(p), int(m)): int(((pids == p) & (modalities == m)).sum()) for p in (11, 14) for m in (0, 1)
    }
    assert counts == dict.fromkeys(counts, 4)
    assert titles[0] == "2 runs on the same images"
    assert "32 images of 4 people" in titles[1]
    points = [plane.points for plane in laid_out]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(points))


@pytest.mark.parametrize("format", ["png", "svg"])
def test_one_component_is_drawn_into_the_run_to_the_same_bytes(
    trained: tuple[Engine, list[RunFolder]], format: str
) -> None:
    engine, (run, _) = trained
    options: FigureOptions = {**OPTIONS, "component": "phase"}
    output = Output(format=format, dpi=40)
    path = engine.visualize("tsne", run, output=output, **options)
    assert path == run.figures / f"tsne-phase.{format}"
    first = path.read_bytes()
    assert engine.visualize("tsne", run, output=output, **options).read_bytes() == first


def test_other_images_and_a_further_trained_network_are_noticed(
    trained: tuple[Engine, list[RunFolder]],
) -> None:
    engine, (run, _) = trained
    one = read_embeddings(run, None)
    other = replace(one, fingerprint={**one.fingerprint, "data": "0123456789ab"})
    with pytest.raises(DataError, match=r"(?s)other images \(0123456789ab\).*vireid evaluate"):
        components_of(other, engine.session, ("phase",))
    listener = Listener()
    older = replace(one, fingerprint={**one.fingerprint, "checkpoint": "last (epoch 0 of 1)"})
    components_of(older.take(np.arange(2)), replace(engine.session, reporter=listener), ("phase",))
    assert len(listener.warnings) == 1
    assert "checkpoint last (epoch 0 of 1)" in listener.warnings[0]


def test_without_data_or_checkpoint_the_error_names_the_command(
    trained: tuple[Engine, list[RunFolder]], tmp_path: Path
) -> None:
    engine, (run, _) = trained
    elsewhere = Engine.choose("cpu", data_dir=tmp_path / "empty")
    with pytest.raises(UsageError, match="vireid prepare"):
        elsewhere.visualize("tsne", run, **OPTIONS)
    spatial: FigureOptions = {**OPTIONS, "component": "spatial"}
    assert elsewhere.visualize("tsne", run, output=Output(tmp_path / "a.png", dpi=40), **spatial).is_file()
    bare = RunFolder(tmp_path / "bare")
    (bare.folder / "evaluation").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"(?s)has not been evaluated.*vireid evaluate"):
        engine.visualize("tsne", bare, **OPTIONS)
    folder = run.evaluation(read_embeddings(run, None).protocol)
    target = bare.folder / "evaluation" / folder.name
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    (bare.folder / "recipe.yaml").write_text(run.recipe_file.read_text())
    (bare.folder / "environment.json").write_text(json.dumps(run.environment()))
    with pytest.raises(UsageError, match="checkpoint"):
        engine.visualize("tsne", bare, **OPTIONS)
