"""Run a benchmark by name, and add machine, versions and commit to its values.

Times are medians of wall-clock seconds. On a shared machine, ratios are reliable, absolute times are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vireid_cli.bench import (
    activity,
    data,
    evaluation,
    extraction,
    occlusion,
    search,
    sequence,
    serving,
    spectra,
    training,
)
from vireid_cli.bench.calibration.table import calibration
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError


def measure(subject: str, session: Session, **options: Any) -> dict[str, Any]:
    """Run one benchmark of ``SUBJECTS``; ``options`` are those of its function.

    Returns:
        Name of the benchmark, its values, device, versions and commit.

    Raises:
        UsageError: The benchmark does not exist, or an option is invalid.
    """
    if subject not in SUBJECTS:
        raise UsageError(f"unknown benchmark '{subject}'.", f"Available: {', '.join(SUBJECTS)}")
    return {"benchmark": subject, **SUBJECTS[subject](session, **options), **session.runtime.describe()}


SUBJECTS: dict[str, Callable[..., dict[str, Any]]] = {
    "train": training.train,
    "extract": extraction.extract,
    "augment": extraction.augment,
    "evaluate": evaluation.evaluate,
    "gallery": evaluation.gallery,
    "search": search.search,
    "prepare": data.prepare,
    "sampler": data.sampler,
    "difficulty": extraction.difficulty,
    "occlude": occlusion.occlude,
    "spectra": spectra.spectra,
    "steps": spectra.steps,
    "scan": sequence.scan,
    "transport": sequence.transport,
    "activity": activity.activity,
    "calibration": calibration,
    "serve": serving.serve,
}
