"""Speed, measured: values of one interleaved run, beside machine, versions and commit.

Medians of wall-clock seconds; on a shared machine the ratios carry, the absolute times do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vireid_cli.bench import activity, data, evaluation, occlusion, sequence, spectra, training
from vireid_cli.bench.calibration.table import calibration
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError


def measure(subject: str, session: Session, **options: Any) -> dict[str, Any]:
    """Measure one subject of ``SUBJECTS`` and put the machine beside it.

    Raises:
        UsageError: No such subject.
    """
    if subject not in SUBJECTS:
        raise UsageError(f"There is no benchmark '{subject}'.", f"There are: {', '.join(SUBJECTS)}")
    return {"benchmark": subject, **SUBJECTS[subject](session, **options), **session.runtime.describe()}


SUBJECTS: dict[str, Callable[..., dict[str, Any]]] = {
    "train": training.train,
    "extract": training.extract,
    "augment": training.augment,
    "evaluate": evaluation.evaluate,
    "gallery": evaluation.gallery,
    "prepare": data.prepare,
    "sampler": data.sampler,
    "difficulty": training.difficulty,
    "occlude": occlusion.occlude,
    "spectra": spectra.spectra,
    "steps": spectra.steps,
    "scan": sequence.scan,
    "transport": sequence.transport,
    "activity": activity.activity,
    "calibration": calibration,
}
