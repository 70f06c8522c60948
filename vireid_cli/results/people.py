"""Per-person sums of a stored evaluation, for intervals that resample people."""

from __future__ import annotations

import numpy as np

from vireid_cli.metrics.bootstrap import PersonSums, sums_by_person
from vireid_cli.metrics.outcome import REPORTED_RANKS
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation


def people_of(stored: StoredEvaluation) -> PersonSums:
    """Load the per-query results of every trial and add them by person.

    Raises:
        UsageError, DataError: ``ranking.npz`` is missing, damaged, or of a version below 3.
    """
    arrays = stored.ranking({**schema.FIRST_RANK_ARRAYS, **schema.QUERY_ARRAYS})
    precision = arrays["average_precisions"]
    hits = {
        f"rank{k}": np.where(np.isnan(precision), np.nan, (arrays["first_ranks"] <= k).astype(np.float64))
        for k in REPORTED_RANKS
    }
    values = {**hits, "mAP": precision, "mINP": arrays["inverse_negative_penalties"]}
    cuts = arrays["first_rank_offsets"][1:-1]
    trials = [np.split(column, cuts) for column in values.values()]
    rows = [dict(zip(values, parts, strict=True)) for parts in zip(*trials, strict=True)]
    return sums_by_person(np.split(arrays["first_rank_pids"], cuts), rows)
