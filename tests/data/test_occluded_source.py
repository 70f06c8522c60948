"""An occluded tree is read by its base's source, and its mark travels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_sysu_tree
from vireid_cli.data.damage import OCCLUSION_LINES
from vireid_cli.data.identity import identity_tokens, marks
from vireid_cli.data.occluded import restrict_to_trial
from vireid_cli.data.provenance import OCCLUSION, Provenance, read_provenance
from vireid_cli.data.sources import load_source
from vireid_cli.data.store import open_store_at, store_folder
from vireid_cli.data.store_fingerprint import fingerprint
from vireid_cli.data.verify import repairs
from vireid_cli.dataset_names import source_names
from vireid_cli.engine.engine import Engine
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import TRIALS_MARK, Modality, Record, RecordTable

MARK = {
    "complete": True,
    "content_hash": hashlib.sha256(b"").hexdigest(),
    "from": "sysu",
    "library": {"name": "builtin", "sha256": "a" * 64},
    "policy": {"train_p": 0.5, "query_p": 1.0, "gallery_p": 0.0, "query_modality": "infrared"},
    "preset": "occ-sysu",
    "seed": 3,
    "version": 1,
}


@pytest.fixture
def occluded(tmp_path: Path) -> Path:
    root = write_sysu_tree(tmp_path / "Occ-SYSU-MM01", images=1)
    (root / OCCLUSION).write_text(json.dumps(MARK))
    (root / OCCLUSION_LINES).write_text("")
    return root


def test_names_are_files_with_hyphens() -> None:
    assert {"occ-sysu", "occ-regdb", "occ-llcm"} <= set(source_names())
    assert load_source("occ-sysu").TITLE == "Occ-SYSU-MM01"
    with pytest.raises(UsageError, match="did you mean 'occ-sysu'"):
        load_source("occ_sysu")


def test_reads_as_the_base_does(occluded: Path) -> None:
    there = load_source("occ-sysu").scan(occluded)
    base = load_source("sysu").scan(occluded)
    np.testing.assert_array_equal(there.records.paths, base.records.paths)
    assert there.report.provenance.occlusion == MARK


def test_refuses_other_trees(occluded: Path) -> None:
    (occluded / OCCLUSION).write_text(json.dumps({**MARK, "from": "other"}))
    with pytest.raises(DataError, match="occluded copy of 'other', not of 'sysu'"):
        load_source("occ-sysu").scan(occluded)
    (occluded / OCCLUSION).write_text(json.dumps({**MARK, "complete": False}))
    with pytest.raises(DataError, match="is incomplete"):
        load_source("occ-sysu").scan(occluded)
    (occluded / OCCLUSION).unlink()
    with pytest.raises(UsageError, match="vireid prepare occluded --from sysu"):
        load_source("occ-sysu").scan(occluded)


def test_the_mark_reaches_store_and_fingerprint(occluded: Path) -> None:
    engine = Engine.choose("cpu", data_dir=occluded.parent)
    store = engine.prepare("occ-sysu", (32, 16)).store
    assert store.folder == store_folder(occluded.parent, "occ-sysu", False)
    assert open_store_at(store.folder).info.provenance.occlusion == MARK
    text = marks(store)["occlusion"]
    for part in ("occ-sysu", "query 1", "seed 3", "aaaaaaaaaaaa", str(MARK["content_hash"])[:12]):
        assert part in text
    sizes = np.arange(len(store.records))
    one = Provenance(occlusion=MARK)
    prints = {
        fingerprint("occ-sysu", provenance, store.records, sizes)
        for provenance in (Provenance(), one, replace(one, occlusion={**MARK, "content_hash": "d"}))
    }
    assert len(prints) == 3


def test_a_damaged_list_of_occlusions_is_refused(occluded: Path) -> None:
    (occluded / OCCLUSION_LINES).write_text("changed\n")
    with pytest.raises(DataError, match=f"{OCCLUSION_LINES} is missing or damaged") as error:
        Engine.choose("cpu", data_dir=occluded.parent).prepare("occ-sysu", (32, 16))
    command = f"vireid prepare occluded --from sysu --root {occluded} --data {occluded.parent}"
    assert f"Repair it: {command}, with the original options" in error.value.hint


def test_commands_are_quoted(occluded: Path, tmp_path: Path) -> None:
    root, data = occluded.rename(tmp_path / "an occluded one"), tmp_path / "my data"
    (root / OCCLUSION).write_text(json.dumps({**MARK, "from": "llcm"}))
    with pytest.raises(DataError) as error:
        load_source("occ-sysu").scan(root)
    assert error.value.hint == f"vireid prepare occ-llcm --root '{root}'"
    (root / OCCLUSION).write_text(json.dumps(MARK))
    command = f"vireid prepare occluded --from sysu --root '{root}' --data '{data}'"
    store = Engine.choose("cpu", data_dir=data).prepare("occ-sysu", (32, 16), root=root).store
    assert command in repairs(store, f" --data '{data}'")[0]
    (root / OCCLUSION_LINES).unlink()
    with pytest.raises(DataError) as error:
        Engine.choose("cpu", data_dir=data).prepare("occ-sysu", (32, 16), root=root)
    assert error.value.hint == f"Repair it: {command}, with the original options"


def test_people_are_the_base_s_people(occluded: Path, sysu_tree: Path) -> None:
    here = Engine.choose("cpu", data_dir=occluded.parent).prepare("occ-sysu", (32, 16)).store
    there = Engine.choose("cpu", data_dir=occluded.parent).prepare(
        "sysu", (32, 16), root=sysu_tree / "SYSU-MM01"
    )
    pids = np.array([1, 2])
    assert identity_tokens(here, pids) == identity_tokens(there.store, pids)
    assert read_provenance(sysu_tree / "SYSU-MM01").occlusion == {}


def test_only_the_trial_that_was_occluded_can_be_used() -> None:
    splits = [TRIALS_MARK + letters for letters in ("re", "er", "rr")]
    records = RecordTable.of(
        [Record(f"{k}.bmp", k, 1, Modality.VISIBLE, split) for k, split in enumerate(splits)]
    )
    kept = restrict_to_trial(records, 2)
    assert kept.trials == 2
    assert kept.in_trial(2).splits.tolist() == ["test", "train", "train"]
    assert kept.in_trial(1).splits.tolist() == ["none"] * 3
