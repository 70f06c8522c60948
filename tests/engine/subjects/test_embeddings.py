"""Embeddings of several runs on the same images, and the figures that are drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Listener
from tests.engine.evaluated_runs import PROTOCOL, evaluated
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.embeddings import common_embeddings, distances_of, read_embeddings
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.distances import pair_distances
from vireid_cli.results.run import RunFolder


def session(reporter: Reporter | None = None) -> Session:
    return Session.choose("cpu", reporter=reporter)


def test_runs_are_compared_on_the_images_that_all_have(tmp_path: Path, listener: Listener) -> None:
    shuffled = np.random.default_rng(5).permutation(96)
    first = evaluated(tmp_path / "a", shuffled[:80])
    second = evaluated(tmp_path / "b", np.sort(shuffled[10:]), seed=1)
    one, other = common_embeddings((first, second), session(listener), None)
    assert one.embeddings.paths.tolist() == other.embeddings.paths.tolist()
    assert len(one.embeddings) == 70
    assert listener.warnings == ["70 images in all 2 evaluations; the figure skips up to 16 others"]
    for run, result in ((first, one), (second, other)):
        alone = read_embeddings(run, None).embeddings
        by_path = dict(zip(alone.paths, alone.features, strict=True))
        for path, row in zip(result.embeddings.paths, result.embeddings.features, strict=True):
            np.testing.assert_array_equal(row, by_path[path])
        np.testing.assert_array_equal(result.embeddings.pids, one.embeddings.pids)


def test_distances_of_a_run_are_those_of_its_file(tmp_path: Path, listener: Listener) -> None:
    run = evaluated(tmp_path / "a", np.arange(96))
    result = distances_of(read_embeddings(run, PROTOCOL), session(listener))
    with np.load(run.evaluation(PROTOCOL) / "embeddings.npz") as file:
        expected = pair_distances(file["features"], file["pids"], file["modalities"])
    np.testing.assert_array_equal(result.intra, expected.intra)
    assert (result.delta, result.pairs, result.people) == (expected.delta, 48 * 48, 8)
    assert listener.jobs == {"pairs of a": (48 * 48, 48 * 48)}


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_distances_are_drawn_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    runs = [evaluated(tmp_path / str(seed), np.arange(96), seed) for seed in range(3)]
    engine = Engine.choose("cpu", runs_dir=tmp_path)

    def drawn(folder: str) -> bytes:
        output = Output(tmp_path / folder / name, dpi=60)
        return engine.visualize("distances", runs, output=output, protocol=None).read_bytes()

    assert drawn("x") == drawn("y")
    assert engine.visualize("distances", runs[1], protocol=None) == runs[1].figures / "distances.png"


def test_incomparable_runs_are_refused_with_the_next_step(tmp_path: Path) -> None:
    everything = np.arange(96)
    one = evaluated(tmp_path / "one", everything)
    with pytest.raises(
        UsageError, match=r"(?s)on sysu abc.*vireid evaluate .*one --dataset sysu\n.*other --dataset sysu$"
    ):
        common_embeddings((one, evaluated(tmp_path / "other", everything, data="xyz")), session(), None)
    elsewhere = evaluated(tmp_path / "else where", everything, data="xyz")
    (elsewhere.folder / "recipe.yaml").write_text("paper: none\ndata: {dataset: regdb}\n")
    with pytest.raises(UsageError, match=r"(?s)different protocols.*regdb: '[^\n]*else where'$") as refused:
        common_embeddings((one, elsewhere), session(), None)
    assert "vireid evaluate" not in refused.value.hint
    with pytest.raises(UsageError, match="has no infrared image"):
        read_embeddings(evaluated(tmp_path / "visible", everything[:48]), None)
    with pytest.raises(UsageError, match=r"(?s)both modalities are needed, it has 1.*vireid evaluate"):
        read_embeddings(evaluated(tmp_path / "person", everything[everything % 8 == 1]), None)
    some, others = everything[:60], np.concatenate([everything[:49], everything[60:]])  # both have image 48
    runs = (evaluated(tmp_path / "some", some), evaluated(tmp_path / "others", others))
    with pytest.raises(UsageError, match=r"(?s)both modalities are needed, it has 1.*--protocol"):
        common_embeddings(runs, session(), None)
    with pytest.raises(UsageError, match="no evaluation 'indoor'"):
        read_embeddings(one, "indoor")
    bare = RunFolder(tmp_path / "bare")
    bare.folder.mkdir()
    with pytest.raises(UsageError, match=r"(?s)has not been evaluated.*vireid evaluate .*bare"):
        read_embeddings(bare, None)
    (one.evaluation(PROTOCOL) / "embeddings.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="vireid evaluate"):
        read_embeddings(one, None)
