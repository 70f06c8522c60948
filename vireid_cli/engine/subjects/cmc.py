"""CMC of a stored evaluation with its bootstrap band."""

from __future__ import annotations

import numpy as np

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import evaluation_of
from vireid_cli.errors import UsageError
from vireid_cli.figures.cmc import CmcCurve
from vireid_cli.metrics.bootstrap import intervals, sums_by_person
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

BAND = "95 % pointwise bootstrap band, people resampled, galleries fixed"


def cmc_curve(run: RunFolder, session: Session, label: str, protocol: str | None, ranks: int) -> CmcCurve:
    """Compute CMC@1 … CMC@ranks of one evaluation, mean over its trials, with its bootstrap band.

    Evaluations of version 1 have no first ranks: their curves have no band, with a warning.

    Args:
        run: An evaluated run.
        session: Its reporter receives the warning.
        label: Label of the curve.
        protocol: Name of the evaluation; None: the first one.
        ranks: Number of ranks, at least 1.

    Raises:
        UsageError: The run has no such evaluation, or an old evaluation has fewer ranks.
    """
    evaluation = evaluation_of(run, protocol)
    folder, content, command = evaluation.folder, evaluation.content, evaluation.command
    chance = content.get("chance_cmc")
    level = None if chance is None else np.array(chance[:ranks])
    if content["version"] < 2:
        stored = np.array(content["cmc"])
        if ranks > len(stored):
            raise UsageError(
                f"{folder} is of an old version, which stores {len(stored)} ranks only.",
                f"Evaluate again: {command}",
            )
        session.reporter.warn(
            f"{folder} is of an old version, without the data of the band of {label}. "
            f"Evaluate again: {command}"
        )
        return CmcCurve(label, stored[:ranks])
    arrays = evaluation.ranking(schema.FIRST_RANK_ARRAYS)
    cuts = arrays["first_rank_offsets"][1:-1]
    hits = [_hits(first, ranks) for first in np.split(arrays["first_ranks"], cuts)]
    people = sums_by_person(np.split(arrays["first_rank_pids"], cuts), hits)
    bounds = np.array(list(intervals(people).values()))  # (ranks, 2)
    return CmcCurve(label, people.mean(), bounds[:, 0], bounds[:, 1], level)


def _hits(first: np.ndarray, ranks: int) -> dict[str, np.ndarray]:
    """Whether each query has a match within rank k, (Q,) per k; NaN for queries without legal match."""
    return {
        f"rank{k}": np.where(first > 0, (first <= k).astype(np.float64), np.nan) for k in range(1, ranks + 1)
    }
