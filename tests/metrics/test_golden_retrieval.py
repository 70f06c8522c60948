"""All golden retrieval cases, to 1e-9 with float64 distances and to 1e-6 with float32 scores."""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.retrieval import evaluate_distances, evaluate_scores
from vireid_cli.metrics.verification import OperatingPoint, operating_points, split_pairs, verify_scores

Case = dict[str, NDArray[Any]]

GOLDEN = Path(__file__).parents[1] / "golden"
PARENTS = Path(__file__).parents
ADJACENT = next((folder for folder in PARENTS if (folder / "shared/golden").is_dir()), PARENTS[3])
SHARED = Path(os.environ.get("VIREID_GOLDEN", ADJACENT / "shared/golden"))
RULES: dict[str, tuple[CameraRule, bool]] = {
    "sysu": ("sysu", True),
    "llcm": ("llcm", True),
    "regdb": ("none", False),
}
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz") if path.stem.split("_")[0] in RULES)
TIED = {"sysu_ties", "sysu_ties_same_id"}
SETTINGS = [(mode, shots) for mode in ("all_search", "indoor_search") for shots in (1, 10)]


def load(name: str) -> Case:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


def labels(case: Case) -> list[NDArray[Any]]:
    return [case[name] for name in ("q_pids", "g_pids", "q_camids", "g_camids")]


def test_number_of_cases() -> None:
    assert len(CASES) == 19
    assert len(list(GOLDEN.glob("*.npz"))) == 26  # official_full is not part of the repository


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case = load(name)
    rule, merge = RULES[name.split("_")[0]]
    distances = -(case["q_feat"].astype(np.float64) @ case["g_feat"].astype(np.float64).T)
    result = evaluate_distances(distances, *labels(case), rule=rule, merge_identities=merge)
    assert result.valid == case["n_valid"]
    np.testing.assert_allclose(result.cmc, case["cmc"], rtol=0, atol=1e-9)
    assert result.mAP == pytest.approx(case["mAP"], abs=1e-9)
    assert result.mINP == pytest.approx(case["mINP"], abs=1e-9)
    ordinary = evaluate_distances(distances, *labels(case), rule=rule, merge_identities=False)
    np.testing.assert_allclose(ordinary.cmc, case["cmc_standard"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted(set(CASES) - TIED))
def test_float32_scores(name: str) -> None:
    case = load(name)
    rule, merge = RULES[name.split("_")[0]]
    scores = case["q_feat"] @ case["g_feat"].T
    assert scores.dtype == np.float32
    result = evaluate_scores(scores, *labels(case), rule=rule, merge_identities=merge)
    np.testing.assert_allclose(result.cmc, case["cmc"], rtol=0, atol=1e-6)
    assert result.mAP == pytest.approx(case["mAP"], abs=1e-6)
    assert result.mINP == pytest.approx(case["mINP"], abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(CASES) - TIED))
def test_float32_products_on_the_device(name: str) -> None:
    case = load(name)
    rule, merge = RULES[name.split("_")[0]]
    device = "cuda" if torch.cuda.is_available() else "cpu"  # float32 products: torch's default on both
    q, g = (torch.from_numpy(case[side]).to(device) for side in ("q_feat", "g_feat"))
    scores = (q @ g.T).cpu().numpy()
    result = evaluate_scores(scores, *labels(case), rule=rule, merge_identities=merge)
    np.testing.assert_allclose(result.cmc, case["cmc"], rtol=0, atol=1e-6)
    assert result.mAP == pytest.approx(case["mAP"], abs=1e-6)
    assert result.mINP == pytest.approx(case["mINP"], abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_oracle(name: str) -> None:
    case = load(name)
    rule, merge = RULES[name.split("_")[0]]
    distances = -(case["q_feat"].astype(np.float64) @ case["g_feat"].astype(np.float64).T)
    cmc, mean_precision, mean_penalty = evaluate_by_loop(
        distances, *labels(case), rule=rule, merge_identities=merge
    )
    np.testing.assert_allclose(cmc, case["cmc"], rtol=0, atol=1e-9)
    assert mean_precision == pytest.approx(case["mAP"], abs=1e-9)
    assert mean_penalty == pytest.approx(case["mINP"], abs=1e-9)


def test_mAP_with_ties_is_between_best_and_worst_order() -> None:
    case = load("sysu_ties")
    scores = case["q_feat"] @ case["g_feat"].T
    result = evaluate_scores(scores, *labels(case), rule="sysu", merge_identities=True)
    assert case["mAP_worst"] < result.mAP < case["mAP_best"]
    # the usual evaluators give other values here, because their sort is not stable
    flipped = [case["q_pids"], case["g_pids"][::-1], case["q_camids"], case["g_camids"][::-1]]
    reverse = evaluate_scores(scores[:, ::-1], *flipped, rule="sysu", merge_identities=True)
    assert abs(reverse.mAP - result.mAP) > 1e-4


def official_trial(
    case: Case, cameras: tuple[int, ...], trial: int, shots: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return query rows and gallery rows of one trial from the stored selection."""
    row_of = {key: row for row, key in enumerate(zip(case["cam"], case["pid"], case["img"], strict=True))}
    count = case.get("sel_count", np.full(len(case["sel_cam"]), 10))
    gallery = [
        row_of[case["sel_cam"][k], case["sel_pid"][k], image]
        for k in range(len(case["sel_cam"]))
        if case["sel_cam"][k] in cameras
        for image in case["sel_img"][k, trial, : min(shots, count[k])]
    ]
    return np.flatnonzero(np.isin(case["cam"], (3, 6))), np.array(gallery)


def euclidean(q: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    square = (q**2).sum(axis=1)[:, None] + (g**2).sum(axis=1) - 2 * q @ g.T
    return np.sqrt(np.maximum(square, 0.0))


def check_official(
    case: Case,
    prefix: str,
    mode: str,
    shots: int,
    distance: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    trials: range,
) -> None:
    cameras = (1, 2, 4, 5) if mode == "all_search" else (1, 2)
    key = f"{prefix}{mode}_{shots}shot"
    feat = case["feat"].astype(np.float64)
    for trial in trials:
        query, gallery = official_trial(case, cameras, trial, shots)
        result = evaluate_distances(
            distance(feat[query], feat[gallery]),
            case["pid"][query],
            case["pid"][gallery],
            case["cam"][query],
            case["cam"][gallery],
            rule="sysu",
            merge_identities=True,
        )
        assert result.valid == case[f"{key}_n_valid"]
        np.testing.assert_allclose(result.cmc, case[f"{key}_cmc"][trial], rtol=0, atol=1e-9)
        assert result.mAP == pytest.approx(case[f"{key}_mAP"][trial], abs=1e-9)
        assert result.mINP == pytest.approx(case[f"{key}_mINP_bruteforce"][trial], abs=1e-9)


def cosine(q: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    q, g = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (q, g))
    return -(q @ g.T)


@pytest.mark.parametrize(("mode", "shots"), SETTINGS)
@pytest.mark.parametrize("name", ["official_mini", "official_under10"])
def test_official(name: str, mode: str, shots: int) -> None:
    check_official(load(name), "", mode, shots, euclidean, range(10))


@pytest.mark.parametrize(("mode", "shots"), SETTINGS)
def test_official_cosine(mode: str, shots: int) -> None:
    check_official(load("official_mini"), "cosine_", mode, shots, cosine, range(10))


@pytest.mark.parametrize(("mode", "shots"), SETTINGS)
def test_official_full(mode: str, shots: int) -> None:
    path = SHARED / "official_full.npz"
    if not path.is_file():
        pytest.skip(f"official_full.npz cannot be distributed with the project and is not in {SHARED}")
    with np.load(path, allow_pickle=False) as archive:
        case = dict(archive)
    check_official(case, "", mode, shots, euclidean, range(10))


@pytest.mark.parametrize("name", ["face_single_gallery", "face_multi_gallery"])
def test_faces(name: str) -> None:
    case = load(name)
    scores = case["q_feat"].astype(np.float64) @ case["g_feat"].astype(np.float64).T
    result = verify_scores(scores, case["q_pids"], case["g_pids"])
    assert result.rank1 == pytest.approx(case["rank1"], abs=1e-9)
    check_points(result.points, case)


@pytest.mark.parametrize("name", ["face_scores", "face_scores_ties", "face_scores_few_impostors"])
def test_face_scores(name: str) -> None:
    case = load(name)
    check_points(operating_points(case["genuine"], case["impostor"]), case)


@pytest.mark.parametrize("name", ["face_single_gallery", "face_multi_gallery"])
def test_faces_at_the_nearest_rate(name: str) -> None:
    case = load(name)
    scores = case["q_feat"].astype(np.float64) @ case["g_feat"].astype(np.float64).T
    genuine, impostor, _ = split_pairs(scores, case["q_pids"], case["g_pids"])
    check_nearest(genuine, impostor, case)


@pytest.mark.parametrize("name", ["face_scores", "face_scores_ties", "face_scores_few_impostors"])
def test_face_scores_at_the_nearest_rate(name: str) -> None:
    case = load(name)
    check_nearest(case["genuine"], case["impostor"], case)


def check_nearest(genuine: NDArray[Any], impostor: NDArray[Any], case: Case) -> None:
    """Check the nearest of all thresholds, and the golden values, which use the curve's corners only."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))[::-1]
    accepted, false_accepts = (
        np.searchsorted(np.sort(-s), -thresholds, side="right") for s in (genuine, impostor)
    )
    accepted, false_accepts = np.r_[0, accepted], np.r_[0, false_accepts]
    bends = (np.diff(accepted, 2) != 0) | (np.diff(false_accepts, 2) != 0)
    corners = np.flatnonzero(np.r_[True, bends, True])
    for point in operating_points(genuine, impostor, reading="nearest"):
        target = Fraction(str(point.far)) * len(impostor)
        best = [
            min((abs(false_accepts[i] - target), -false_accepts[i], -accepted[i]) for i in places)
            for places in (range(len(false_accepts)), corners)
        ]
        assert point.rate == pytest.approx(-best[0][2] / len(genuine), abs=1e-12)
        assert point.far_reached == pytest.approx(-best[0][1] / len(impostor), abs=1e-12)
        assert -best[1][2] / len(genuine) == pytest.approx(case[f"info_nearest_point_{point.far}"], abs=1e-9)


def check_points(points: Sequence[OperatingPoint], case: Case) -> None:
    assert [point.far for point in points] == [0.01, 0.001]
    for point in points:
        assert point.rate == pytest.approx(case[f"vr_at_far_{point.far}"], abs=1e-9)
        assert point.far_reached == pytest.approx(case[f"far_reached_{point.far}"], abs=1e-9)
        assert point.threshold == pytest.approx(case[f"threshold_{point.far}"], abs=1e-9)
