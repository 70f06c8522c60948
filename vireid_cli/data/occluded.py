"""Reading of occluded trees: the list or layout of the base dataset, and the mark of the occlusion.

``vireid prepare occluded`` writes a copy of a dataset with the same paths and lists and some images occluded.
It is read as its base dataset is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vireid_cli.data import records_file
from vireid_cli.data.provenance import OCCLUSION, read_provenance
from vireid_cli.data.sources import Scan
from vireid_cli.errors import DataError, UsageError
from vireid_cli.printable import shell_line
from vireid_cli.types import TRIAL_LETTERS, TRIALS_MARK, RecordTable


def how_to_get(base: str) -> str:
    """Advice for a missing occluded dataset."""
    return f"Generate it from the dataset '{base}', real or rendered: vireid prepare occluded --from {base}"


def scan_as(base: str, root: Path) -> Scan:
    """Read the occluded tree at ``root`` as its base dataset.

    Raises:
        UsageError: ``root`` is not an occluded tree.
        DataError: The tree has another base dataset, is incomplete, or has splits other than those of the
            occlusion, or the source of the base refuses it.
    """
    if not (root / OCCLUSION).is_file():
        raise UsageError(f"{root} is not an occluded dataset: it has no {OCCLUSION}", how_to_get(base))
    mark = read_provenance(root).occlusion
    actual_base = mark["from"]
    if actual_base != base:
        raise DataError(
            f"{root} is an occluded copy of '{actual_base}', not of '{base}'",
            shell_line(["vireid", "prepare", f"occ-{actual_base}", "--root", str(root)]),
        )
    scan, trial = records_file.scan(base, root), int(mark.get("trial", 0))
    if bool(trial) != bool(scan.records.trials):
        occluded = f"trial {trial} of the lists in idx/" if trial else f"the splits of {records_file.NAME}"
        raise DataError(
            f"{root} was occluded for {occluded}, but now has other splits",
            f"Restore its files as they were, or generate it again: vireid prepare occluded --from {base}",
        )
    return replace(scan, records=restrict_to_trial(scan.records, trial)) if trial else scan


def restrict_to_trial(records: RecordTable, trial: int) -> RecordTable:
    """Set the split of all records to ``none`` in all trials except ``trial``.

    The choice of occluded images depends on the queries of a trial, so an occluded tree serves one trial.
    """
    chosen = records.in_trial(trial)
    before, after = TRIAL_LETTERS["none"] * (trial - 1), TRIAL_LETTERS["none"] * (records.trials - trial)
    rows = [f"{TRIALS_MARK}{before}{TRIAL_LETTERS[split]}{after}" for split in chosen.splits.tolist()]
    return replace(records, splits=np.array(rows, dtype=np.str_))
