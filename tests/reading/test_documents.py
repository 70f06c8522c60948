"""JSON files are checked at the door: file, key and expectation are named."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vireid_cli.documents import DEPTH, parse_json, read_json
from vireid_cli.errors import DataError, VireidError
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

TEXTS = {
    "": "x.json:1 can't be read as JSON",
    "{": "x.json:1 can't be read as JSON",
    '{"a": 1,\n "b": }': "x.json:2 can't be read as JSON",
    "[" * 100_000: f"nested deeper than {DEPTH} levels",
    '{"a":' * 100_000: f"nested deeper than {DEPTH} levels",
    "[" * 200 + "]" * 200: f"nested deeper than {DEPTH} levels",
    '{"a": 1, "a": 2}': "the key 'a' occurs twice",
    "[NaN]": "NaN is not a JSON number",
    "[-Infinity]": "-Infinity is not a JSON number",
    "[" + "1" * 5000 + "]": "a number has too many digits",
    "{} {}": "Extra data",
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t[:12])
def test_text_that_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_json(path, hint="do this")
    assert TEXTS[text] in caught.value.message
    assert "x.json" in caught.value.message
    assert caught.value.hint == "do this"


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse_json("[" * DEPTH + "]" * DEPTH, "x")


@pytest.mark.parametrize("content", ['{"a": 1}'.encode("utf-16"), b"\x00", b"\x80\x04."])
def test_other_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json"):
        read_json(path)


METRIC = {"mean": 0.5, "std": None, "interval": [0.4, 0.6]}
EVALUATION: dict[str, Any] = {
    "version": 2, "protocol": "all-single", "fingerprint": {"dataset": "SYSU-MM01", "data": "ab", "shots": 1},
    "trials": 2, "queries": 3, "valid_queries": 2, "gallery": 4, "metrics": {"rank1": METRIC, "mAP": METRIC},
    "interval": "95 %", "cmc": [0.5, 1], "per_trial": {"rank1": [0.5, 0.5], "mAP": [0.4, 0.6]},
    "chance": {"rank1": 0.1, "mAP": 0.1},
    "variants": [{"name": "gnn", "rerank": "gnn", "test_time_augmentation": "none",
                  "metrics": {"rank1": METRIC, "mAP": METRIC}, "per_trial": {}}],
    "reported": [{"dataset": "sysu", "protocol": "all-single", "source": "Table 2", "rank1": 60.0}],
    "against": {"name": "b", "test": "t", "metrics": {"rank1": METRIC},
                "differences": {"rank1": {"mean": -0.1, "interval": [-0.2, 0.0], "p_value": 0.04}}},
    "breakdown": {
        "camera_pairs": [{"query_camera": 3, "gallery_camera": 1, "queries": 2, "rank1": 0.5, "mAP": 0.5,
                          "mINP": None}],
        "identities": [{"pid": 6, "queries": 2, "rank1": 0.5, "mAP": 0.5, "mINP": 0.5}],
        "worst_queries": [{"path": "a.jpg", "pid": 6, "camera": 3, "average_precision": 0.1, "first_rank": 9,
                           "best_match": "b.jpg", "best_match_pid": 7}],
    },
    "identifier": "ab",
}  # fmt: skip
EVALUATION = json.loads(json.dumps(EVALUATION))  # no part is shared
ENVIRONMENT: dict[str, Any] = {
    "version": 2, "data": {"dataset": "SYSU-MM01", "data": "ab", "fingerprint": "abcd"},
    "num_identities": 395, "parameters": 23, "weights": "none", "precision": "fp32", "threads": 1, "seed": 0,
}  # fmt: skip

WRONG: list[Any] = [None, "x", -1, 1.5, True, [], [1], {}, {"a": 1}, [[]], 1e300]


def keys_of(content: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key path of nested content."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    paths = []
    for key, value in pairs:
        paths.append((*prefix, key))
        if isinstance(value, dict | list):
            paths += keys_of(value, (*prefix, key))
    return paths


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a key path; ``...`` deletes it."""
    changed = copy.deepcopy(content)
    node = changed
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return changed


def run_of(tmp_path: Path, metrics: Any = EVALUATION, environment: Any = ENVIRONMENT) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    folder = run.evaluation("all-single")
    folder.mkdir(parents=True)
    (folder / schema.METRICS).write_text(json.dumps(metrics))
    (run.folder / schema.ENVIRONMENT).write_text(json.dumps(environment))
    return run


def test_whole_files_are_read(tmp_path: Path) -> None:
    run = run_of(tmp_path, {**EVALUATION, "of_a_later_version": [1]}, {**ENVIRONMENT, "more": {}})
    assert run.evaluations()["all-single"]["metrics"]["rank1"]["interval"] == [0.4, 0.6]
    assert run.evaluations()["all-single"]["of_a_later_version"] == [1]  # type: ignore[typeddict-item]
    assert run.environment()["num_identities"] == 395


def test_metrics_without_intervals_are_of_an_early_version(tmp_path: Path) -> None:
    run = run_of(tmp_path, put(EVALUATION, ("metrics", "rank1", "interval"), ...))
    assert run.evaluations()["all-single"]["metrics"]["rank1"]["interval"] is None


def accepted(read: Callable[[], Any]) -> bool:
    """Whether content is read; a refusal names the file."""
    try:
        read()
    except VireidError as error:
        if ".json" not in error.message or not error.hint:
            raise
        return False
    return True


@pytest.mark.parametrize("path", keys_of(EVALUATION), ids=lambda p: ".".join(map(str, p)))
def test_every_key_of_metrics_with_values_of_every_type(path: tuple[Any, ...], tmp_path: Path) -> None:
    from vireid_cli.commands.tables import breakdown_tables, evaluation_table

    run = run_of(tmp_path)
    file = run.evaluation("all-single") / schema.METRICS
    refused = 0
    for value in [..., *WRONG]:
        file.write_text(json.dumps(put(EVALUATION, path, value)))
        if accepted(run.evaluations):
            content = run.evaluations()["all-single"]
            evaluation_table(content)
            if "breakdown" in content:
                breakdown_tables(content["breakdown"])
        else:
            refused += 1
    assert refused or path[0] in ("reported", "fingerprint")


@pytest.mark.parametrize("path", keys_of(ENVIRONMENT), ids=lambda p: ".".join(map(str, p)))
def test_every_key_of_the_environment(path: tuple[Any, ...], tmp_path: Path) -> None:
    run = run_of(tmp_path)
    file = run.folder / schema.ENVIRONMENT
    results = []
    for value in WRONG:
        file.write_text(json.dumps(put(ENVIRONMENT, path, value)))
        results.append(accepted(run.environment))
    assert not all(results)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("metrics", "rank1", "mean"), "x", "metrics.rank1.mean: expected a valid number, not \"x\"."),
        (("metrics", "rank1", "mean"), 1.5, "metrics.rank1.mean: expected a number in [0, 1], not 1.5."),
        (("queries",), ..., "queries: this key is missing."),
        (("queries",), -1, "queries: expected greater than or equal to 0, not -1."),
        (("version",), 4, "version: expected less than or equal to 3, not 4."),
        (("fingerprint", "data"), 3, "fingerprint: data: expected text, not 3."),
        (("variants", 0, "metrics", "mAP"), ..., "variants.0.metrics lacks mAP, which metrics has."),
        (("reported", 0, "rank1"), "x", "reported.0.rank1: expected a number, not 'x'."),
        (("valid_queries",), 4, "valid_queries 4 is larger than queries 3."),
    ],
)  # fmt: skip
def test_the_message_names_file_key_and_expectation(
    path: tuple[Any, ...], value: Any, message: str, tmp_path: Path
) -> None:
    run = run_of(tmp_path, put(EVALUATION, path, value))
    with pytest.raises(DataError) as caught:
        run.evaluations()
    assert caught.value.message == f"{run.evaluation('all-single') / schema.METRICS}: {message}"
    assert "vireid evaluate" in caught.value.hint


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    run = run_of(tmp_path, dict.fromkeys(EVALUATION))
    with pytest.raises(DataError, match="more mistakes"):
        run.evaluations()


def test_pipes_in_a_run_folder_do_not_block(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    for name, read in ((schema.ENVIRONMENT, run.environment), (schema.LOG, run.checked_log_rows)):
        path = run.folder / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with pytest.raises(DataError, match="named pipe"):
            read()


@pytest.mark.parametrize("kind", [None, [], {}, 3])
def test_a_row_of_the_log_with_another_kind_is_no_row(kind: Any, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log.write_text(json.dumps({"kind": kind}) + "\n")
    assert list(run.log_rows()) == []
    with pytest.raises(DataError, match="1 of 1 lines are not rows"):
        run.checked_log_rows()
