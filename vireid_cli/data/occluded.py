"""Read an occluded tree: its base's layout, and the mark that says what was put before the people.

``vireid prepare occluded`` writes a mirror of a dataset: same paths, same lists, some images occluded.
Such a tree is read by the base's own source, found by its name as everywhere else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vireid_cli.data.provenance import OCCLUSION, read_provenance
from vireid_cli.data.sources import Scan, load_source
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import TRIAL_LETTERS, TRIALS_MARK, RecordTable


def how_to_get(base: str) -> str:
    """The line that makes the occluded tree of a dataset."""
    return f"Made from the dataset '{base}', real or rendered: vireid prepare occluded --from {base}"


def scan_as(base: str, root: Path) -> Scan:
    """Read the occluded tree at ``root`` as its base's source reads the base.

    Raises:
        UsageError: ``root`` is no occluded tree.
        DataError: It was made from another dataset, or its making was interrupted, or what the base's
            source finds wrong.
    """
    if not (root / OCCLUSION).is_file():
        raise UsageError(f"{root} is not an occluded dataset: it holds no {OCCLUSION}", how_to_get(base))
    mark = read_provenance(root).occlusion
    made_from = mark["from"]
    if made_from != base:
        raise DataError(
            f"{root} was made from '{made_from}', not from '{base}'",
            f"vireid prepare occ-{made_from} --root {root}",
        )
    found = load_source(base).scan(root)
    if not found.records.trials:
        return found
    return replace(found, records=only_trial(found.records, int(mark.get("trial", 0))))


def only_trial(records: RecordTable, trial: int) -> RecordTable:
    """The records with nobody to train or test on in any other trial than the one they were occluded for.

    Who is a query depends on the trial, and with it who is occluded.
    """
    chosen = records.in_trial(trial)
    before, after = TRIAL_LETTERS["none"] * (trial - 1), TRIAL_LETTERS["none"] * (records.trials - trial)
    rows = [f"{TRIALS_MARK}{before}{TRIAL_LETTERS[split]}{after}" for split in chosen.splits.tolist()]
    return replace(records, splits=np.array(rows, dtype=np.str_))
