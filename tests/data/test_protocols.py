"""Galleries drawn to the same paths as the field's code; plans that describe themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vireid_cli.data.permutation import Permutation
from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.data.protocols import rule_of
from vireid_cli.data.protocols.llcm import llcm_plan
from vireid_cli.data.protocols.regdb import regdb_plan
from vireid_cli.data.protocols.request import Direction, Mode, Shots
from vireid_cli.data.protocols.sysu import sysu_plan
from vireid_cli.data.sources import load_source
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.retrieval import evaluate_scores
from vireid_cli.types import Embeddings, Modality, Record, RecordTable

GOLDEN = Path(__file__).parents[1] / "golden"


def modality_of_sysu(camid: int) -> Modality:
    return Modality.INFRARED if camid in (3, 6) else Modality.VISIBLE


def tree_of(name: str) -> tuple[RecordTable, dict[str, Any]]:
    """The golden file tree as a record table in an order of its own, and the expected selections."""
    content = json.loads((GOLDEN / f"gallery_selection_{name}.json").read_text(encoding="utf-8"))
    ids = {int(number) for number in content["test_id_text"].split(",")}
    records = []
    for path in content["tree"]:
        *side, camera, pid, _ = path.split("/")
        camid = int(camera.removeprefix("cam"))
        modality = modality_of_sysu(camid)
        if side:
            modality = Modality.VISIBLE if side == ["test_vis"] else Modality.INFRARED
        records.append(Record(path, int(pid), camid, modality, "test" if int(pid) in ids else "train"))
    order = np.random.default_rng(0).permutation(len(records))
    return RecordTable.of([records[i] for i in order]), content


def rebuilt(tmp_path: Path, name: str) -> tuple[RecordTable, dict[str, Any]]:
    """The golden tree as files on disk, read by its source."""
    content = json.loads((GOLDEN / f"gallery_selection_{name}.json").read_text(encoding="utf-8"))
    for path in content["tree"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    lists = {"sysu": {"exp/train_id.txt": "1000", "exp/val_id.txt": "1001"}}
    lists["llcm"] = {
        f"idx/train_{side}.txt": f"{side}/2000/2000_c01_s1_f1_{side}.jpg 0" for side in ("vis", "nir")
    }
    for path, text in {**lists[name], content["test_id_file"]: content["test_id_text"]}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    if name == "llcm":
        for line in lists["llcm"].values():
            (tmp_path / line.split()[0]).parent.mkdir(parents=True)
            (tmp_path / line.split()[0]).touch()
    return load_source(name).scan(tmp_path).records, content


@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_sysu_tree_on_disk_draws_the_golden_paths(tmp_path: Path, mode: Mode) -> None:
    table, content = rebuilt(tmp_path, "sysu")
    plan = sysu_plan(table, mode=mode, shots=1, draw="seeded")
    assert table.paths[plan.query].tolist() == content["query"][mode]["paths"]
    drawn = [table.paths[gallery].tolist() for gallery in plan.galleries]
    assert drawn == [content["gallery"][mode][str(trial)]["paths"] for trial in range(10)]


@pytest.mark.parametrize(("direction", "query", "gallery"), [("v2i", "vis", "nir"), ("i2v", "nir", "vis")])
def test_llcm_tree_on_disk_draws_the_golden_paths(
    tmp_path: Path, direction: Direction, query: str, gallery: str
) -> None:
    table, content = rebuilt(tmp_path, "llcm")
    plan = llcm_plan(table, direction=direction)
    assert table.paths[plan.query].tolist() == content["query"][query]["paths"]
    drawn = [table.paths[rows].tolist() for rows in plan.galleries]
    assert drawn == [content["gallery"][gallery][str(trial)]["paths"] for trial in range(10)]


@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_sysu_seeded_draws_the_golden_paths(mode: Mode) -> None:
    table, content = tree_of("sysu")
    plan = sysu_plan(table, mode=mode, shots=1, draw="seeded")
    assert table.paths[plan.query].tolist() == content["query"][mode]["paths"]
    assert plan.trials == 10
    for trial, gallery in enumerate(plan.galleries):
        expected = content["gallery"][mode][str(trial)]
        assert table.paths[gallery].tolist() == expected["paths"]
        assert table.pids[gallery].tolist() == expected["pids"]
        assert table.camids[gallery].tolist() == expected["camids"]


@pytest.mark.parametrize(("direction", "query", "gallery"), [("v2i", "vis", "nir"), ("i2v", "nir", "vis")])
def test_llcm_draws_the_golden_paths(direction: Direction, query: str, gallery: str) -> None:
    table, content = tree_of("llcm")
    plan = llcm_plan(table, direction=direction)
    assert table.paths[plan.query].tolist() == content["query"][query]["paths"]
    for trial, rows in enumerate(plan.galleries):
        assert table.paths[rows].tolist() == content["gallery"][gallery][str(trial)]["paths"]
    # test_nir/cam3 is there and must be ignored, and said
    assert "1 infrared images of other cameras ignored" in str(plan.fingerprint["notes"])


def test_llcm_release_exchanges_the_sides_of_visible_to_infrared() -> None:
    table, _ = tree_of("llcm")
    words = llcm_plan(table, direction="v2i", trials=3)
    release = llcm_plan(table, direction="v2i", protocol="llcm-release", trials=3)
    for drawn, query, every, gallery in zip(
        words.galleries, release.queries, words.queries, release.galleries, strict=True
    ):
        np.testing.assert_array_equal(drawn, query)
        np.testing.assert_array_equal(every, gallery)
    back = llcm_plan(table, direction="i2v", protocol="llcm-release", trials=3)
    np.testing.assert_array_equal(back.galleries[2], llcm_plan(table, direction="i2v").galleries[2])
    full = llcm_plan(table, direction="v2i", protocol="llcm-full")
    assert full.trials == 1
    assert set(table.modalities[full.galleries[0]].tolist()) == {Modality.INFRARED.code}
    assert len(full.galleries[0]) == 376  # all infrared query paths of the golden file


def small_sysu(
    images: int = 3, people: int = 4, cameras: tuple[int, ...] = (1, 2, 3, 4, 5, 6), split: str = "test"
) -> RecordTable:
    return RecordTable.of(
        [
            Record(f"cam{c}/{p:04d}/{i:04d}.jpg", p, c, modality_of_sysu(c), split)
            for c in cameras
            for p in range(1, people + 1)
            for i in range(1, images + 1)
        ]
    )


def test_seeded_multi_shot_is_marked_as_ours() -> None:
    table = small_sysu(images=12)
    plan = sysu_plan(table, mode="indoor", shots=10, draw="seeded", trials=2)
    assert [len(gallery) for gallery in plan.galleries] == [4 * 2 * 10] * 2
    assert len(set(plan.galleries[0].tolist())) == 80
    assert "ours: random.sample" in str(plan.fingerprint["notes"])
    assert plan.name == "indoor-multi-seeded"
    few = sysu_plan(small_sysu(images=3), mode="all", shots=10, draw="seeded", trials=1)
    assert len(few.galleries[0]) == 4 * 4 * 3
    assert "16 (id, camera) folders hold fewer than 10 images" in str(few.fingerprint["notes"])


def test_official_takes_the_images_that_the_row_names() -> None:
    table = small_sysu(images=3, people=2)
    orders = {(c, p): np.array([[3, 1, 2]] * 9 + [[2, 3, 1]]) for c in (1, 2, 4, 5) for p in (1, 2)}
    plan = sysu_plan(table, mode="indoor", shots=1, draw="official", permutation=Permutation(orders))
    # camera by camera, ids ascending
    names = [f"cam{c}/{p:04d}/0003.jpg" for c in (1, 2) for p in (1, 2)]
    assert table.paths[plan.galleries[0]].tolist() == names
    assert table.paths[plan.galleries[9]].tolist() == [name.replace("0003", "0002") for name in names]
    assert plan.fingerprint["official"] is True
    multi = sysu_plan(table, mode="indoor", shots=10, draw="official", permutation=Permutation(orders))
    assert table.paths[multi.galleries[0]][:3].tolist() == [f"cam1/0001/000{i}.jpg" for i in (3, 1, 2)]
    assert multi.fingerprint["official"] is False
    assert "fewer than 10" in str(multi.fingerprint["notes"])


def official_mini() -> tuple[RecordTable, Permutation, dict[str, NDArray[Any]]]:
    with np.load(GOLDEN / "official_mini.npz", allow_pickle=False) as archive:
        case = dict(archive)
    records = [
        Record(f"cam{c}/{p:04d}/{i:04d}.jpg", int(p), int(c), modality_of_sysu(c), "test")
        for c, p, i in zip(case["cam"], case["pid"], case["img"], strict=True)
    ]
    orders = {}
    for c, p, first in zip(case["sel_cam"], case["sel_pid"], case["sel_img"], strict=True):
        number = int(((case["cam"] == c) & (case["pid"] == p)).sum())
        rest = [np.setdiff1d(np.arange(1, number + 1), row) for row in first]
        orders[int(c), int(p)] = np.concatenate([first, np.stack(rest)], axis=1)
    return RecordTable.of(records), Permutation(orders), case


@pytest.mark.parametrize("shots", [1, 10])
@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_official_plan_gives_the_official_figures(mode: Mode, shots: Shots) -> None:
    """From a record table and a permutation to the numbers of the official code."""
    table, permutation, case = official_mini()
    plan = sysu_plan(table, mode=mode, shots=shots, draw="official", permutation=permutation)
    features = case["feat"].astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    rows = plan.rows
    embeddings = Embeddings(features, table.pids, table.camids, table.modalities).take(rows)
    trials = evaluate_plan(plan, embeddings, rows)
    key = f"cosine_{mode}_search_{shots}shot"
    assert [trial.mAP for trial in trials] == pytest.approx(case[f"{key}_mAP"].tolist(), abs=1e-9)
    for trial, cmc in zip(trials, case[f"{key}_cmc"], strict=True):
        np.testing.assert_allclose(trial.cmc, cmc, rtol=0, atol=1e-9)
    assert trials.summary()["mAP"].mean == pytest.approx(float(case[f"{key}_mAP_mean"]), abs=1e-9)
    np.testing.assert_allclose(trials.cmc(), case[f"{key}_cmc_mean"], rtol=0, atol=1e-9)


def test_a_plan_with_queries_of_its_own_in_each_trial() -> None:
    table, _ = tree_of("llcm")
    plan = llcm_plan(table, direction="v2i", protocol="llcm-release", trials=3)
    features = np.random.default_rng(0).standard_normal((len(table), 8))
    everything = np.arange(len(table))
    trials = evaluate_plan(plan, Embeddings(features, table.pids, table.camids, table.modalities), everything)
    for query, gallery, result in zip(plan.queries, plan.galleries, trials, strict=True):
        alone = evaluate_scores(
            features[query] @ features[gallery].T,
            table.pids[query],
            table.pids[gallery],
            table.camids[query],
            table.camids[gallery],
            rule="llcm",
            merge_identities=True,
        )
        assert result.mAP == pytest.approx(alone.mAP, abs=1e-12)
        assert result.queries == len(query)


def test_rows_without_an_embedding_are_refused() -> None:
    table = small_sysu()
    plan = sysu_plan(table, mode="all", shots=1, draw="seeded", trials=1)
    rows = plan.rows[1:]
    embeddings = Embeddings(np.ones((len(table), 2)), table.pids, table.camids, table.modalities).take(rows)
    with pytest.raises(UsageError, match="1 row of protocol all-single-seeded without an embedding"):
        evaluate_plan(plan, embeddings, rows)


def test_validation_ids_use_cameras_3_4_5() -> None:
    table = small_sysu(cameras=(3, 4, 5), split="val")
    plan = sysu_plan(table, mode="all", shots=1, draw="seeded", split="val")
    assert plan.name == "val-all-single-seeded"
    assert set(table.camids[plan.query].tolist()) == {3}
    assert set(table.camids[plan.gallery].tolist()) == {4, 5}
    with pytest.raises(UsageError, match="no indoor visible"):
        sysu_plan(table, mode="indoor", shots=1, draw="seeded", split="val")


def test_a_missing_camera_is_named() -> None:
    with pytest.raises(DataError, match="no images of camera 5"):
        sysu_plan(small_sysu(cameras=(1, 2, 3, 4, 6)), mode="all", shots=1, draw="seeded")
    with pytest.raises(DataError, match="no images of camera 3, 6, 1, 2"):
        sysu_plan(small_sysu(split="train"), mode="indoor", shots=1, draw="seeded")


def test_a_permutation_of_other_data_is_refused() -> None:
    orders = {(c, p): np.tile([1, 2], (10, 1)) for c in (1, 2) for p in range(1, 5)}
    with pytest.raises(DataError, match=r"camera 1, id 1: .* has 3 images, .* has 2"):
        sysu_plan(small_sysu(), mode="indoor", shots=1, draw="official", permutation=Permutation(orders))
    with pytest.raises(UsageError, match=r"rand_perm_cam\.mat"):
        sysu_plan(small_sysu(), mode="indoor", shots=1, draw="official")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shots": 5}, "shots is 5"),
        ({"trials": 0}, "number of trials is 0"),
        ({"trials": 11, "draw": "official"}, "1 to 10"),
        ({"mode": "outdoor"}, "mode is 'outdoor'"),
        ({"draw": "random"}, "draw is 'random'"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"mode": "all", "shots": 1, "draw": "seeded"} | change
    with pytest.raises(UsageError, match=message):
        sysu_plan(small_sysu(), **settings)


def test_regdb_compares_all_with_all() -> None:
    records = [
        Record(f"{side}/{p}/{i}.bmp", p, 1 + side.code, side, split)
        for side in Modality
        for p, split in ((1, "train"), (2, "test"), (3, "test"))
        for i in range(2)
    ]
    table = RecordTable.of(records)
    plan = regdb_plan(table, direction="i2v", trial=4)
    assert (plan.name, plan.rule, plan.merge_identities) == ("i2v-trial4", "none", False)
    assert set(table.modalities[plan.query].tolist()) == {Modality.INFRARED.code}
    assert table.pids[plan.galleries[0]].tolist() == [2, 2, 3, 3]


def test_a_fingerprint_describes_the_measurement() -> None:
    plan = sysu_plan(small_sysu(), mode="all", shots=1, draw="seeded", notes=["2 stray files ignored"])
    assert plan.fingerprint == {
        "dataset": "sysu",
        "split": "test",
        "mode": "all",
        "shots": 1,
        "trials": 10,
        "direction": "i2v",
        "gallery_draw": "seeded",
        "official": False,
        "camera_rule": "sysu: queries of camera 3 ignore gallery images of camera 2 (same place)",
        "cmc": "identities",
        "notes": "2 stray files ignored",
    }


def test_plans_are_checked() -> None:
    rows = (np.array([0]),)
    with pytest.raises(DataError, match="gallery of trial 1 is empty"):
        EvaluationPlan("p", rows * 2, (np.array([1]), np.array([], int)), "none", False, {})
    with pytest.raises(ValueError, match="1 query sets for 2"):
        EvaluationPlan("p", rows, rows * 2, "none", False, {})


def test_rules_of_datasets() -> None:
    assert rule_of("sysu") == ("sysu", True)
    assert rule_of("regdb") == ("none", False)
    with pytest.raises(UsageError, match=r"'sisu' \(did you mean 'sysu'"):
        rule_of("sisu")
