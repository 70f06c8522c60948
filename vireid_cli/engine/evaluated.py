"""What figures read from evaluated runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vireid_cli.data.store import Store
from vireid_cli.errors import DataError, UsageError
from vireid_cli.results.run import Run


def evaluation_of(run: Run, protocol: str | None) -> tuple[str, Path]:
    """Name and folder of one finished evaluation of a run.

    Args:
        run: The run.
        protocol: Which evaluation; None: the first there is.

    Raises:
        UsageError: Not evaluated yet, or not so.
    """
    done = run.evaluations()
    if not done:
        raise UsageError(f"{run.folder} has not been evaluated.", f"Do it: vireid evaluate {run.folder}")
    name = protocol or next(iter(done))
    if name not in done:
        raise UsageError(f"{run.folder} has no evaluation '{name}'.", f"There is: {', '.join(done)}")
    return name, run.evaluation(name)


def rows_of(store: Store, paths: list[str]) -> np.ndarray:
    """Rows of these images in the store, whose records are sorted by path.

    Raises:
        DataError: One is not in the store any more.
    """
    wanted = np.array(paths)
    rows = np.minimum(np.searchsorted(store.records.paths, wanted), len(store.records) - 1)
    gone = wanted[store.records.paths[rows] != wanted]
    if len(gone):
        raise DataError(f"{gone[0]} is not in {store.folder} any more.", "Evaluate the run again.")
    return rows
