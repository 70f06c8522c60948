"""Files of features with paths: the galleries of the protocol, as for a run; the results can be kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.arrays import save_arrays
from tests.conftest import Command
from vireid_cli.data.protocols import draws_galleries, has_directions
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.evaluate.features import NOT_PUBLISHED, evaluate_features_by_protocol
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Embeddings

TWO = EvaluateOptions(Request(trials=2))


@pytest.fixture(scope="module")
def embedded(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    """Random embeddings of all test images of the tree, in a shuffled order."""
    records = Engine.choose("cpu", data_dir=sysu_tree).prepare("sysu", (32, 16), workers=1).store.records
    draw = np.random.default_rng(0)
    rows = draw.permutation(np.flatnonzero(records.splits == "test"))
    people = draw.normal(size=(100, 8))[records.pids[rows]]
    features = (people + 2 * draw.normal(size=(len(rows), 8))).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    part = records.take(rows)
    return Embeddings(features, part.pids, part.camids, part.modalities, part.paths)


def write(path: Path, e: Embeddings, form: str = "features", **more: np.ndarray) -> Path:
    """A file with the infrared images as queries and the visible ones as gallery."""
    arrays: dict[str, np.ndarray] = {}
    sides = {"q": e.take(np.flatnonzero(e.modalities == 1)), "g": e.take(np.flatnonzero(e.modalities == 0))}
    for side, part in sides.items():
        arrays |= {f"{side}_pids": part.pids, f"{side}_camids": part.camids, f"{side}_paths": part.paths}
        if form == "features":
            arrays[f"{side}_feat"] = part.features
    if form == "distance":
        products = sides["q"].features.astype(np.float64) @ sides["g"].features.astype(np.float64).T
        arrays["distance"] = -products
    save_arrays(path, **{name: array for name, array in (arrays | more).items() if len(array)})
    return path


@pytest.mark.parametrize("form", ["features", "distance"])
def test_galleries_are_those_of_a_run(
    embedded: Embeddings, sysu_tree: Path, tmp_path: Path, form: str
) -> None:
    from vireid_cli.data.protocols import plans_for
    from vireid_cli.data.store import open_store
    from vireid_cli.engine.evaluate.scoring import EmbeddedRows, measure_plan

    store = open_store(sysu_tree, "sysu")
    rows = np.searchsorted(store.records.paths, embedded.paths)
    order = np.argsort(rows)
    measured = EmbeddedRows(embedded.take(order).to_float64(), rows[order])
    file = write(tmp_path / "f.npz", embedded, form)
    results = evaluate_features_by_protocol(file, "sysu", TWO)
    assert [result.protocol for result in results] == ["all-single-seeded", "indoor-single-seeded"]
    for plan, result in zip(plans_for(store, TWO.request), results, strict=True):
        expected = measure_plan(plan, measured).per_trial()
        for name, values in expected.items():
            assert result.content["per_trial"][name] == pytest.approx(values, abs=1e-12)
        mark = result.content["fingerprint"]
        assert (mark["gallery_draw"], mark["trials"], mark["features"]) == ("seeded", 2, "f.npz")
        assert "protocol_note" not in mark


def test_without_paths_the_result_is_marked(embedded: Embeddings, tmp_path: Path) -> None:
    nothing = np.empty(0)
    file = write(tmp_path / "f.npz", embedded, q_paths=nothing, g_paths=nothing)
    [result] = evaluate_features_by_protocol(file, "sysu", EvaluateOptions())
    assert result.content["fingerprint"]["protocol_note"] == NOT_PUBLISHED
    assert result.content["trials"] == 1
    [other] = evaluate_features_by_protocol(file, "regdb", EvaluateOptions())
    assert "protocol_note" not in other.content["fingerprint"], "RegDB's protocol is the whole gallery"
    with pytest.raises(UsageError, match="no paths of the images"):
        evaluate_features_by_protocol(file, "sysu", TWO)
    assert [draws_galleries(name) for name in ("sysu", "occ-sysu", "llcm", "regdb", "folder")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [has_directions(name) for name in ("sysu", "llcm")] == [False, True]


def test_wrong_paths_and_options_are_refused(embedded: Embeddings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks g_paths"):
        evaluate_features_by_protocol(write(tmp_path / "a.npz", embedded, g_paths=np.empty(0)), "sysu", TWO)
    with pytest.raises(DataError, match=r"q_paths in .* expected 24 texts"):
        evaluate_features_by_protocol(
            write(tmp_path / "b.npz", embedded, q_paths=np.array(["a", "b"])), "sysu", TWO
        )
    with pytest.raises(DataError, match="contains a path twice"):
        evaluate_features_by_protocol(
            write(tmp_path / "c.npz", embedded, q_paths=np.full(24, "a")), "sysu", TWO
        )
    file = write(tmp_path / "d.npz", embedded)
    with pytest.raises(UsageError, match="rand_perm_cam"):
        evaluate_features_by_protocol(file, "sysu", EvaluateOptions(Request(draw="official")))


def test_results_are_kept(embedded: Embeddings, tmp_path: Path, vireid: Command) -> None:
    file = write(tmp_path / "f.npz", embedded)
    out = tmp_path / "kept"
    done = vireid(
        "evaluate-features", file, "--dataset", "sysu", "--mode", "all", "--trials", 2, "--out", out
    )
    assert done.code == 0, done.err
    place = out / "evaluation" / "all-single-seeded"
    assert f"wrote {place}" in done.out
    assert sorted(path.name for path in place.iterdir()) == ["embeddings.npz", "metrics.json", "ranking.npz"]
    content = json.loads((place / "metrics.json").read_text())
    assert content["fingerprint"]["features"] == "f.npz"
    shown = vireid("results", out, "--markdown")
    assert shown.code == 0, shown.err
    assert "| kept | " in shown.out
    distances = write(tmp_path / "d.npz", embedded, "distance")
    done = vireid("evaluate-features", distances, "--dataset", "regdb", "--out", out)
    assert done.code == 0, done.err
    assert [path.name for path in (out / "evaluation" / "features-regdb").iterdir()] == ["metrics.json"]
    whole = write(tmp_path / "w.npz", embedded, q_paths=np.empty(0), g_paths=np.empty(0))
    assert NOT_PUBLISHED in vireid("evaluate-features", whole, "--dataset", "sysu").out


def halves(e: Embeddings, keep: int) -> Embeddings:
    """All infrared images, and every ``keep``-th visible one."""
    visible = np.flatnonzero(e.modalities == 0)[::keep]
    return e.take(np.concatenate([np.flatnonzero(e.modalities == 1), visible]))


@pytest.mark.parametrize("form", ["features", "distance"])
@pytest.mark.parametrize("dataset", ["regdb", "sysu"])
def test_only_results_of_the_same_images_are_paired(
    embedded: Embeddings, tmp_path: Path, form: str, dataset: str
) -> None:
    nothing = {"q_paths": np.empty(0), "g_paths": np.empty(0)}
    whole, without = (write(tmp_path / f"{i}.npz", embedded, form, **p) for i, p in enumerate(({}, nothing)))
    shuffled = embedded.take(np.random.default_rng(1).permutation(len(embedded)))
    reordered = write(tmp_path / "reordered.npz", shuffled, form)
    for one, other in ((whole, reordered), (without, without), (whole, whole)):
        results = evaluate_features_by_protocol(one, dataset, EvaluateOptions(), other)
        assert all("against" in result.content for result in results)

    fewer = write(tmp_path / "fewer.npz", halves(embedded, 2), form)
    renamed = replace(embedded, paths=np.char.add("y/", embedded.paths))
    swapped = replace(embedded, camids=np.where(embedded.camids == 1, 4, embedded.camids))
    refused = [
        (whole, fewer, "has another gallery under .* trial 1: .*, not "),
        (without, write(tmp_path / "c.npz", swapped, form, **nothing), "camera 4, not 1"),
        (without, write(tmp_path / "d.npz", shuffled, form, **nothing), "has other queries .* person"),
    ]
    if dataset == "regdb":  # SYSU-MM01 needs paths with its cameras
        refused.append((whole, write(tmp_path / "b.npz", renamed, form), "has other queries .* path y/"))
    for one, other, message in refused:
        with pytest.raises(UsageError, match=message):
            evaluate_features_by_protocol(one, dataset, EvaluateOptions(), other)
