"""The verb evaluate: variants, intervals, paired differences, means over models, files of features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.arrays import save_arrays
from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.evaluate import artifacts
from vireid_cli.engine.evaluate import features as evaluate_given
from vireid_cli.engine.evaluate.aggregate import average_runs, unlike_conditions, write_means
from vireid_cli.engine.evaluate.pairing import evaluate_against
from vireid_cli.engine.evaluate.result import EvaluateOptions, Evaluation, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import EmbeddedRows, measure_plan
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.rerank import k_reciprocal
from vireid_cli.metrics.verification import FAR_READINGS, FarReading
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

GOLDEN = Path(__file__).parents[2] / "golden"
FIGURES = ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP"]


def embedded(seed: int, count: int = 60, noise: float = 1.0) -> EmbeddedRows:
    rng = np.random.default_rng(seed)
    pids = np.arange(count) % 6
    features = np.random.default_rng(0).standard_normal((6, 5))[pids] + noise * rng.standard_normal(
        (count, 5)
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    infrared = np.arange(count) < count // 2
    camids = np.where(infrared, np.where(pids % 2, 3, 6), 1 + np.arange(count) // 6 % 2)
    return EmbeddedRows(
        Embeddings(
            features,
            pids,
            camids,
            infrared.astype(np.uint8),
            np.array(
                [f"cam{c}/{p:04d}/{i:04d}.jpg" for i, (c, p) in enumerate(zip(camids, pids, strict=True))]
            ),
        ),
        np.arange(count),
    )


def plan(name: str = "all-single-seeded", **changes: object) -> EvaluationPlan:
    query, gallery = np.arange(30), np.arange(30, 60)
    made = EvaluationPlan(name, (query,) * 2, (gallery[:18], gallery[6:]), "sysu", True, {"dataset": "sysu"})
    return replace(made, **changes)  # type: ignore[arg-type]


def result(seed: int, name: str = "all-single-seeded", noise: float = 1.0, **options: object) -> Evaluation:
    wanted = EvaluateOptions(**options)  # type: ignore[arg-type]
    return evaluate_protocol(plan(name), [embedded(seed, noise=noise)], wanted, {"dataset": "sysu"}, [], None)


def test_variants_are_added_to_the_plain_result() -> None:
    actual = result(1, rerank=("k-reciprocal", "gallery-mean")).content
    assert [v["name"] for v in actual["variants"]] == ["k-reciprocal", "gallery-mean"]
    plain = result(1).content
    assert actual["metrics"] == plain["metrics"]
    assert plain["variants"] == []
    q, g = embedded(1).side(np.arange(30)), embedded(1).side(np.arange(30, 48))
    _, precision, _ = evaluate_by_loop(
        k_reciprocal(q.features, g.features),
        q.pids,
        g.pids,
        q.camids,
        g.camids,
        rule="sysu",
        merge_identities=True,
    )
    assert actual["variants"][0]["per_trial"]["mAP"][0] == pytest.approx(precision, abs=1e-12)
    assert actual["variants"][1]["metrics"]["mAP"] != plain["metrics"]["mAP"]


@pytest.mark.parametrize("flip", ["mean_renorm", "sum"])
def test_mirrored_embeddings_are_averaged(flip: str) -> None:
    one, other = embedded(1), embedded(2).embeddings
    actual = one.mirrored(other, flip).embeddings.features  # type: ignore[arg-type]
    total = one.embeddings.features + other.features
    if flip == "mean_renorm":
        total /= np.sqrt((total**2).sum(axis=1))[:, None]
    np.testing.assert_allclose(actual, total, rtol=0, atol=1e-15)


def test_intervals_hold_the_mean() -> None:
    metrics = result(1).content["metrics"]
    assert list(metrics) == FIGURES
    for metric in metrics.values():
        assert metric["interval"] is not None
        low, high = metric["interval"]
        assert 0.0 <= low <= metric["mean"] <= high <= 1.0


def test_the_paired_difference_is_the_difference_of_means() -> None:
    ours, theirs = result(1, noise=0.4), result(2, noise=2.0)
    [actual] = evaluate_against([ours], [theirs], "other")
    against = actual.content["against"]
    for name in FIGURES:
        expected = ours.content["metrics"][name]["mean"] - theirs.content["metrics"][name]["mean"]
        assert against["differences"][name]["mean"] == pytest.approx(expected, abs=1e-12)
    assert against["differences"]["mAP"]["interval"][0] > 0
    assert against["differences"]["mAP"]["p_value"] < 0.1  # six people: 2 / 64 at best
    assert "people" in against["test"]
    with pytest.raises(UsageError, match="no result under"):
        evaluate_against([ours], [result(2, name="other")], "other")


def marked(seed: int, **marks: object) -> Evaluation:
    """A result with further marks in its fingerprint."""
    evaluation = result(seed)
    fingerprint = {**evaluation.content["fingerprint"], **marks}
    return replace(evaluation, content={**evaluation.content, "fingerprint": fingerprint})


def test_marks_of_any_model_are_marks_of_the_mean() -> None:
    marks = {"overlap": "5 test identities were trained on", "imported": "agw"}
    for order in (1, -1):
        [mean] = average_runs([[model] for model in [marked(1), marked(2, **marks)][::order]])
        values = ["none", marks["overlap"]][::order]
        assert mean.content["fingerprint"]["overlap"] == ", ".join(values)
        assert "agw" in str(mean.content["fingerprint"]["imported"])
        assert mean.content["fingerprint"]["dataset"] == "sysu"


@pytest.mark.parametrize("key", ["data", "source"])
def test_results_of_different_images_have_no_mean(key: str) -> None:
    with pytest.raises(UsageError, match=r"on different images .*1111.*2222.*can't be averaged"):
        average_runs([[marked(1, **{key: "1111"})], [marked(2, **{key: "2222"})]])


def test_unlike_conditions_are_named() -> None:
    by_run = [[marked(1, precision="fp32")], [marked(2, precision="bf16")]]
    assert unlike_conditions(by_run, ["a", "b"]) == [
        "Measured under unlike conditions, so not strictly comparable: a: fp32; b: bf16."
    ]
    assert unlike_conditions([by_run[0], [marked(2, precision="fp32")]], ["a", "b"]) == []


def test_means_of_runs_of_one_name_have_their_own_folders(tmp_path: Path) -> None:
    session = replace(Session.choose("cpu"), runs_dir=tmp_path / "runs")
    means = average_runs([[result(1)], [result(2)]])
    folders = {}
    for home in ("runs", "runs/sub", "else"):
        runs = [RunFolder(tmp_path / home / name) for name in ("a", "b")]
        [written] = write_means(means, runs, session)
        [again] = write_means(means, runs[::-1], session)
        assert written.folder == again.folder
        folders[home] = written.folder
    assert len(set(folders.values())) == 3
    [both] = write_means(means, [RunFolder(tmp_path / home / "a") for home in ("runs", "else")], session)
    assert both.content["runs"] == [str(tmp_path / home / "a") for home in ("else", "runs")]
    (tmp_path / "link").symlink_to(tmp_path / "else", target_is_directory=True)
    runs = [RunFolder(tmp_path / "link" / name) for name in ("a", "b")]
    (tmp_path / "else").mkdir()
    assert write_means(means, runs, session)[0].folder == folders["else"]


def test_models_are_averaged_once_each() -> None:
    models = [result(seed, f"v2i-trial{seed}") for seed in (1, 2, 3)]
    [mean] = average_runs([[model] for model in models])
    assert mean.content["protocol"] == "v2i-trials-1-to-3-mean"
    [some] = average_runs([[models[2]], [models[0]]])
    assert some.content["protocol"] == "v2i-trials-1-3-mean"
    assert mean.content["models"] == 3
    values = [model.content["metrics"]["mAP"]["mean"] for model in models]
    assert mean.content["metrics"]["mAP"]["mean"] == pytest.approx(np.mean(values), abs=1e-12)
    assert mean.content["metrics"]["mAP"]["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert mean.content["per_trial"]["mAP"] == pytest.approx(values)
    assert mean.content["variants"] == []
    with pytest.raises(UsageError, match="same trial"):
        average_runs([[models[0]], [models[0]]])
    with pytest.raises(UsageError, match="1 of 2 runs"):
        average_runs([[models[0]], [result(1, "i2v-trial1")]])


def test_variants_are_averaged_over_models_too() -> None:
    models = [result(seed, rerank=("k-reciprocal", "gallery-mean")) for seed in (1, 2)]
    [mean] = average_runs([[model] for model in models])
    assert [v["name"] for v in mean.content["variants"]] == ["k-reciprocal", "gallery-mean"]
    for number, variant in enumerate(mean.content["variants"]):
        values = [model.content["variants"][number]["metrics"]["mAP"]["mean"] for model in models]
        assert variant["metrics"]["mAP"]["mean"] == pytest.approx(np.mean(values), abs=1e-12)
        assert variant["metrics"]["mAP"]["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
        assert variant["per_trial"]["mAP"] == pytest.approx(values)
        assert variant["metrics"]["mAP"]["interval"] is not None


def test_faces_report_verification_rates() -> None:
    faces = plan("faces", rule="none", merge_identities=False, fars=(0.01, 0.1))
    for rerank in ("none", "k-reciprocal"):
        rates = measure_plan(faces, embedded(3), rerank).per_trial()
        assert list(rates)[-2:] == ["vr_far_0.01", "vr_far_0.1"]
        assert len(rates["vr_far_0.1"]) == 2
        assert 0.0 <= rates["vr_far_0.01"][0] <= rates["vr_far_0.1"][0] <= 1.0


def test_verification_rates_have_intervals_and_differences() -> None:
    faces = plan("faces", rule="none", merge_identities=False, fars=(0.01, 0.1))
    sides = [embedded(1, noise=0.4), embedded(2, noise=2.0)]
    ours, theirs = (evaluate_protocol(faces, [side], EvaluateOptions(), {}, [], None) for side in sides)
    for name in ("vr_far_0.01", "vr_far_0.1"):
        metric = ours.content["metrics"][name]
        assert metric["interval"] is not None
        assert 0.0 <= metric["interval"][0] <= metric["mean"] <= metric["interval"][1] <= 1.0
    assert "threshold recomputed" in ours.content["interval"]
    assert "threshold" not in result(1).content["interval"]
    [actual] = evaluate_against([ours], [theirs], "other")
    against = actual.content["against"]
    expected = ours.content["metrics"]["vr_far_0.1"]["mean"] - theirs.content["metrics"]["vr_far_0.1"]["mean"]
    assert against["differences"]["vr_far_0.1"]["mean"] == pytest.approx(expected, abs=1e-12)
    assert against["differences"]["vr_far_0.1"]["interval"][0] > 0
    assert "measured thresholds" in against["test"]
    [mean] = average_runs([[ours], [theirs]])
    assert mean.content["metrics"]["vr_far_0.1"]["interval"] is not None


@pytest.mark.parametrize("fars", [(), (0.1,)])
def test_collapsed_embeddings_rank_in_gallery_order(fars: tuple[float, ...]) -> None:
    """Metrics, stored rankings and worst queries agree about equal scores; verification sees one score."""
    one = np.random.default_rng(0).standard_normal(512)
    features = np.tile(one / np.linalg.norm(one), (331, 1)).astype(np.float32)
    side = embedded(1, count=331)
    side = replace(side, embeddings=replace(side.embeddings, features=features))
    merged = not fars
    queries, galleries = (
        np.arange(30),
        np.arange(30, 331),
    )  # products of 301 columns round the last ones differently
    collapsed = plan(
        queries=(queries,), galleries=(galleries,), rule="none", merge_identities=merged, fars=fars
    )
    outcome = measure_plan(collapsed, side)
    ranking = artifacts.ranking_arrays(collapsed, side, outcome)
    assert (ranking["top"] == np.arange(10)).all()
    pids = side.embeddings.pids
    expected = [1 + list(dict.fromkeys(pids[30:]) if merged else pids[30:]).index(p) for p in pids[:30]]
    assert ranking["first_rank"].tolist() == expected
    worst = artifacts.breakdown(collapsed, side, outcome)["worst_queries"]
    assert {row["best_match_pid"] for row in worst} == {int(pids[30])}
    for pair in outcome.pairs:
        assert len(np.unique(np.concatenate([pair.genuine, pair.impostor]))) == 1
    expanded = measure_plan(collapsed, side, "gallery-mean")
    assert [r.first_rank.tolist() for r in expanded.trials] == [expected]


def test_breakdown_lists_the_worst() -> None:
    actual = result(1, breakdown=True)
    tables = actual.content["breakdown"]
    worst = tables["worst_queries"]
    precisions = actual.plain.trials.results[0].average_precision
    assert worst[0]["average_precision"] == np.nanmin(precisions)
    assert worst[0]["path"].startswith("cam")
    maps = [row["mAP"] for row in tables["identities"]]
    assert maps == sorted(maps, key=lambda value: -1.0 if value is None else value)
    assert {(row["query_camera"], row["gallery_camera"]) for row in tables["camera_pairs"]} == {
        (3, 1),
        (6, 1),
        (6, 2),
    }


# ---------------------------------------------------------------- files of features


def given(tmp_path: Path, **arrays: np.ndarray) -> Path:
    path = tmp_path / "given.npz"
    save_arrays(path, **arrays)
    return path


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


LABELS = ("q_pids", "g_pids", "q_camids", "g_camids")


@pytest.mark.parametrize(
    ("name", "dataset"),
    [("sysu_all_multi", "sysu"), ("regdb_v2t", "regdb"), ("llcm_n2v", "llcm"), ("sysu_small_ragged", "sysu")],
)
@pytest.mark.parametrize("form", ["features", "distance", "streamed"])
def test_every_form_gives_the_golden_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dataset: str, form: str
) -> None:
    case = golden(name)
    arrays = {key: case[key] for key in LABELS}
    if form == "distance":
        arrays["distance"] = -(case["q_feat"].astype(np.float64) @ case["g_feat"].astype(np.float64).T)
    else:
        arrays |= {key: case[key] for key in ("q_feat", "g_feat")}
    if form == "streamed":
        monkeypatch.setattr(evaluate_given, "MOST_CELLS", 10)
    actual = evaluate_given.evaluate_features(given(tmp_path, **arrays), dataset, EvaluateOptions())
    tolerance = 1e-6 if form == "streamed" else 1e-9
    assert actual.content["metrics"]["mAP"]["mean"] == pytest.approx(float(case["mAP"]), abs=tolerance)
    assert actual.content["cmc"] == pytest.approx(case["cmc"].tolist(), abs=tolerance)
    assert actual.content["valid_queries"] == int(case["n_valid"])
    if form == "streamed":
        assert "float32 product, streamed" in actual.content["fingerprint"]["distance"]


@pytest.mark.parametrize("reading", FAR_READINGS)
@pytest.mark.parametrize("form", ["features", "distance"])
def test_faces_from_a_file(tmp_path: Path, form: str, reading: FarReading) -> None:
    case = golden("face_multi_gallery")
    arrays = {key: case[key] for key in ("q_pids", "g_pids")}
    arrays |= {"q_camids": np.zeros_like(case["q_pids"]), "g_camids": np.zeros_like(case["g_pids"])}
    scores = case["q_feat"].astype(np.float64) @ case["g_feat"].astype(np.float64).T
    arrays |= {"distance": -scores} if form == "distance" else {k: case[k] for k in ("q_feat", "g_feat")}
    options = EvaluateOptions(Request(far=reading))
    content = evaluate_given.evaluate_features(given(tmp_path, **arrays), "oulu", options).content
    assert content["fingerprint"]["verification_rate"] == FAR_READINGS[reading]
    metrics = content["metrics"]
    expected = "info_nearest_point" if reading == "nearest" else "vr_at_far"
    for far in (0.01, 0.001):
        assert metrics[f"vr_far_{far}"]["mean"] == pytest.approx(float(case[f"{expected}_{far}"]), abs=1e-9)
        assert metrics[f"vr_far_{far}"]["interval"] is not None
    assert metrics["rank1"]["mean"] == pytest.approx(float(case["rank1"]), abs=1e-9)


def test_a_reading_is_of_verification_rates_only(tmp_path: Path) -> None:
    case = golden("sysu_small_unique")
    arrays = {key: case[key] for key in LABELS} | {"distance": -(case["q_feat"] @ case["g_feat"].T)}
    with pytest.raises(UsageError, match="--far applies to verification rates, and sysu has none"):
        evaluate_given.evaluate_features(
            given(tmp_path, **arrays), "sysu", EvaluateOptions(Request(far="nearest"))
        )


def test_options_that_a_file_cannot_serve_are_refused(tmp_path: Path) -> None:
    case = golden("sysu_small_unique")
    arrays = {key: case[key] for key in LABELS} | {"distance": -(case["q_feat"] @ case["g_feat"].T)}
    path = given(tmp_path, **arrays)
    with pytest.raises(UsageError, match="--rerank needs"):
        evaluate_given.evaluate_features(path, "sysu", EvaluateOptions(rerank=("k-reciprocal",)))
    with pytest.raises(UsageError, match="--breakdown needs"):
        evaluate_given.evaluate_features(path, "sysu", EvaluateOptions(breakdown=True))
    with pytest.raises(UsageError, match="--flip needs images"):
        evaluate_given.evaluate_features(path, "sysu", EvaluateOptions(flip="sum"))
    with pytest.raises(DataError, match="has embeddings but no trials"):
        evaluate_given.evaluate_features(
            given(tmp_path, features=np.ones((2, 2)), pids=np.ones(2, int)), "sysu", EvaluateOptions()
        )
