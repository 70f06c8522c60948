"""The files of an evaluation belong together, and readers notice when they do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vireid_cli import files
from vireid_cli.errors import DataError
from vireid_cli.results import schema
from vireid_cli.results.evaluation import (
    StoredEvaluation,
    amend_evaluation,
    identify,
    locked_evaluations,
    read_evaluation,
    stored_names,
    write_evaluation,
)


def parts(precision: float) -> tuple[Any, dict[str, dict[str, np.ndarray]]]:
    """Figures and arrays of an evaluation of three queries, one of them without a match."""
    content = {
        "version": 2, "protocol": "all-single", "fingerprint": {}, "metrics": {}, "interval": "",
        "cmc": [], "chance": {}, "variants": [], "reported": [],
        "trials": 2,
        "queries": 3,
        "valid_queries": 2,
        "gallery": 4,
        "per_trial": {"mAP": [precision, 0.5]},
    }  # fmt: skip
    ranking = {"average_precision": np.array([precision, np.nan, precision])}
    embeddings = {"query_offsets": np.array([0, 3, 6]), "gallery_offsets": np.array([0, 4, 9])}
    return content, {schema.RANKING: ranking, schema.EMBEDDINGS: embeddings}


def made(folder: Path, precision: float = 0.25) -> StoredEvaluation:
    write_evaluation(folder, *parts(precision))
    return read_evaluation(folder, "again")


def without_identifiers(folder: Path) -> None:
    """Rewrite an evaluation as it was before there were identifiers."""
    content = json.loads((folder / schema.METRICS).read_text())
    del content["identifier"], content["sha256"]
    files.write_json(folder / schema.METRICS, content)
    for name in (schema.RANKING, schema.EMBEDDINGS):
        with np.load(folder / name) as file:
            arrays = {key: file[key] for key in file if key != "identifier"}
        files.write_npz(folder / name, **arrays)


def test_one_identifier_in_every_file(tmp_path: Path) -> None:
    stored = made(tmp_path / "all")
    assert stored.identifier
    assert len(stored.identifier) == 32
    for name in (schema.RANKING, schema.EMBEDDINGS):
        with np.load(tmp_path / "all" / name) as file:
            assert str(file["identifier"]) == stored.identifier
    repeated = made(tmp_path / "again")
    assert repeated.identifier == stored.identifier  # of the same results
    assert made(tmp_path / "all", 0.5).identifier != stored.identifier


def test_any_changed_number_gives_another_identifier() -> None:
    content, arrays = parts(0.25)
    first = identify(content, arrays)
    arrays[schema.EMBEDDINGS]["query_offsets"][1] = 2
    assert identify(content, arrays) != first
    arrays[schema.EMBEDDINGS]["query_offsets"][1] = 3
    assert identify(content, arrays) == first
    content["queries"] = 4
    assert identify(content, arrays) != first


@pytest.mark.parametrize("file", [schema.METRICS, schema.RANKING, schema.EMBEDDINGS])
def test_a_file_of_another_evaluation_is_noticed(tmp_path: Path, file: str) -> None:
    made(tmp_path / "one")
    made(tmp_path / "other", 0.5)
    shutil.copy(tmp_path / "other" / file, tmp_path / "one" / file)
    with pytest.raises(DataError, match="different evaluations"):
        read_evaluation(tmp_path / "one", "again")


@pytest.mark.parametrize("file", [schema.RANKING, schema.EMBEDDINGS])
def test_a_file_replaced_between_two_reads_is_noticed(tmp_path: Path, file: str) -> None:
    stored = made(tmp_path / "one")
    made(tmp_path / "one", 0.5)
    read = stored.ranking if file == schema.RANKING else stored.embeddings
    with pytest.raises(DataError, match="different evaluations"):
        read({})


def test_results_without_identifiers_are_read(tmp_path: Path) -> None:
    made(tmp_path / "one")
    without_identifiers(tmp_path / "one")
    stored = read_evaluation(tmp_path / "one", "again")
    assert stored.identifier is None
    assert stored.ranking({"average_precision": ""})["average_precision"][0] == 0.25


@pytest.mark.parametrize(
    ("file", "arrays", "why"),
    [
        (schema.RANKING, {"average_precision": np.array([0.5, np.nan, 0.5])}, "mAP 0.5000 in trial 0"),
        (schema.RANKING, {"average_precision": np.array([0.25])}, "queries 1, not 3"),
        (schema.RANKING, {"average_precision": np.array([0.25, 0.25, 0.25])}, "valid_queries 3, not 2"),
        (schema.EMBEDDINGS, {"query_offsets": np.array([0, 2, 4])}, "queries 2, not 3"),
        (schema.EMBEDDINGS, {"gallery_offsets": np.array([0, 5, 9])}, "gallery 5, not 4"),
        (schema.EMBEDDINGS, {"query_offsets": np.array([0, 3])}, "1 trial, not 2"),
        (schema.RANKING, {"identifier": np.array("0" * 32)}, "different identifiers"),
    ],
)
def test_mixed_results_without_identifiers_are_refused(
    tmp_path: Path, file: str, arrays: dict[str, np.ndarray], why: str
) -> None:
    made(tmp_path / "one")
    without_identifiers(tmp_path / "one")
    files.write_npz(tmp_path / "one" / file, **arrays)
    with pytest.raises(DataError, match=why) as caught:
        read_evaluation(tmp_path / "one", "vireid evaluate RUN")
    assert "vireid evaluate RUN" in caught.value.hint


def test_an_evaluation_between_two_renames_is_listed_once(tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "other")
    (tmp_path / ".half.new").mkdir()
    (tmp_path / "one").rename(tmp_path / ".one.new")
    shutil.copytree(tmp_path / "other", tmp_path / ".other.new")
    shutil.copytree(tmp_path / "other", tmp_path / ".other.old")
    assert stored_names(tmp_path) == ["one", "other"]
    assert read_evaluation(tmp_path / "one", "again").name == "one"


def test_more_is_written_beside_its_own_figures_only(tmp_path: Path) -> None:
    stored = made(tmp_path / "one")
    against = {"name": "x", "test": "t", "metrics": {}, "differences": {}}
    content: Any = {**stored.content, "against": against}
    amend_evaluation(tmp_path / "one", content)
    assert read_evaluation(tmp_path / "one", "again").content["against"] == against
    made(tmp_path / "one", 0.5)
    with pytest.raises(DataError, match="another process has evaluated"):
        amend_evaluation(tmp_path / "one", content)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        locked_evaluations(tmp_path),
        pytest.raises(DataError, match="another process") as caught,
        locked_evaluations(tmp_path),
    ):
        pass
    assert "Wait" in caught.value.hint
