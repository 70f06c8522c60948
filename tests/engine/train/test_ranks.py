"""Several processes train like one: every method, stop and resume, embedding; a lost rank is named."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import TINY, write_sysu_tree
from tests.engine.train.ranks import CASES

TOLERANCE = 1e-5
SECONDS = 1800


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Results of both ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    write_sysu_tree(folder / "data" / "SYSU-MM01")
    (folder / "tiny.yaml").write_text(TINY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-m", "tests.engine.train.ranks", str(folder)]
        ranks.append(
            subprocess.Popen(command, env=os.environ | place | address, stderr=subprocess.PIPE, text=True)
        )
    errors = [rank.communicate(timeout=SECONDS)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
    return [json.loads((folder / f"result{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_train_a_method_like_one_process(case: str, results: list[dict[str, Any]]) -> None:
    assert set(results[0][case]) == {"losses", "gradients", "weights"}
    for part, difference in results[0][case].items():
        assert difference < TOLERANCE, part


def test_two_ranks_train_a_recipe_like_one_process(results: list[dict[str, Any]]) -> None:
    training = results[0]["training"]
    assert training["weights"] < 1e-2  # float32: rounding may move a value across a ReLU's kink
    shared, _, alone = training["logs"]
    assert shared == pytest.approx(alone, rel=1e-4)
    assert training["ranks"] == [2, 1]
    assert training["runs"] == 2, "one rank writes"


def test_a_signal_to_one_rank_stops_all_and_the_run_resumes_to_the_bit(results: list[dict[str, Any]]) -> None:
    first, second = (result["training"] for result in results)
    assert first["stopped"] == "Interrupted 130"
    assert second["stopped"] == "ReportedElsewhere 130"
    assert first["position"] == 4
    assert first["resumed equally"]
    shared, resumed, _ = first["logs"]
    assert shared[-1] == pytest.approx(resumed[-1], abs=1e-9)


@pytest.mark.parametrize(("change", "ranks"), [("2 to 1", 1), ("1 to 2", 2)])
def test_a_run_resumes_on_another_number_of_ranks(
    change: str, ranks: int, results: list[dict[str, Any]]
) -> None:
    training = results[0]["training"]
    resumed, alone = training["resumed"][change], training["logs"][2]
    # The sums over a batch are added in another order, so the losses differ by float32 rounding. The same
    # number of ranks gives the same bits (above). The differences of a few steps stay below 1e-4.
    assert resumed["losses"] == pytest.approx(alone, rel=1e-4)
    assert resumed["numbers"] == [{"global_step": 4, "ranks": ranks}]


def test_ranks_share_the_images_of_a_calibration(results: list[dict[str, Any]]) -> None:
    assert all(result["calibration"] < TOLERANCE for result in results)


def test_two_ranks_embed_to_the_bit_like_one_process(results: list[dict[str, Any]]) -> None:
    assert results[0]["training"]["embedded equally"]


def test_two_ranks_stop_when_a_loss_is_nan_and_save_the_whole_batch(results: list[dict[str, Any]]) -> None:
    first, second = (result["training"] for result in results)
    assert first["diverged"].startswith("VireidError: The loss term")
    assert second["diverged"].startswith("ReportedElsewhere")
    assert [len(labels) for labels in first["bad batches"]] == [6]


def test_ranks_gather_half_precision(results: list[dict[str, Any]]) -> None:
    assert all(result["half precision"] for result in results)


def test_ranks_train_the_rows_of_a_study_and_one_makes_the_table(results: list[dict[str, Any]]) -> None:
    first, second = (result["spread"] for result in results)
    assert first
    assert all(labels == ["first", "second"] for labels in first.values())
    assert second == {}
