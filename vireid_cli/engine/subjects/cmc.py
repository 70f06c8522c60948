"""A run's CMC with its bootstrap band, from what an evaluation left."""

from __future__ import annotations

import numpy as np

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import evaluation_of
from vireid_cli.errors import UsageError
from vireid_cli.figures.cmc import CmcCurve
from vireid_cli.metrics.bootstrap import intervals, sums_by_person
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

BAND = "95 % pointwise bootstrap band, people drawn again, galleries fixed"


def cmc_curve(run: RunFolder, session: Session, label: str, protocol: str | None, ranks: int) -> CmcCurve:
    """CMC@1 … CMC@ranks of one evaluation, mean over its trials, with the band where it can be had.

    An evaluation of version 1 kept no first ranks: its curve comes without a band, which is said.

    Args:
        run: An evaluated run.
        session: Its listener is told of a missing band.
        label: As shown.
        protocol: Which evaluation; None: the first there is.
        ranks: How many, at least 1.

    Raises:
        UsageError: Not evaluated yet, not so, or more ranks than an old evaluation kept.
    """
    evaluation = evaluation_of(run, protocol)
    folder, content, again = evaluation.folder, evaluation.content, evaluation.again
    chance = content.get("chance_cmc")
    level = None if chance is None else np.array(chance[:ranks])
    if content["version"] < 2:
        stored = np.array(content["cmc"])
        if ranks > len(stored):
            raise UsageError(
                f"{folder} was written before ranks beyond {len(stored)} were kept.",
                f"Evaluate again: {again}",
            )
        session.reporter.warn(
            f"{folder} was written before bands were kept: {label} has none. Again: {again}"
        )
        return CmcCurve(label, stored[:ranks])
    arrays = evaluation.ranking(schema.FIRST_RANK_ARRAYS)
    cuts = arrays["first_rank_offsets"][1:-1]
    hits = [_hits(first, ranks) for first in np.split(arrays["first_ranks"], cuts)]
    people = sums_by_person(np.split(arrays["first_rank_pids"], cuts), hits)
    bounds = np.array(list(intervals(people).values()))  # (ranks, 2)
    return CmcCurve(label, people.mean(), bounds[:, 0], bounds[:, 1], level)


def _hits(first: np.ndarray, ranks: int) -> dict[str, np.ndarray]:
    """By rank, whether each query has found its person, (Q,); NaN where there is nobody to find."""
    return {
        f"rank{k}": np.where(first > 0, (first <= k).astype(np.float64), np.nan) for k in range(1, ranks + 1)
    }
