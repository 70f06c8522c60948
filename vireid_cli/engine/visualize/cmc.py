"""CMC curves of runs with bootstrap bands and the chance level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.cmc import BAND, cmc_curve
from vireid_cli.engine.subjects.evaluations import shared_evaluation
from vireid_cli.engine.subjects.output import Output
from vireid_cli.figures import cmc
from vireid_cli.results.formatting import protocol_label
from vireid_cli.results.run import RunFolder

RUNS = (1, 8)


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    protocol: str | None = None,
    ranks: int = 20,
) -> Path:
    """Draw the CMC curves of runs under one protocol, each with its 95 % band over people.

    Args:
        runs: Evaluated runs.
        session: Device, reporter and folders.
        output: File, format and resolution.
        protocol: Name of the evaluation; None: the first that all runs have.
        ranks: Largest rank; the smallest is 1.

    Raises:
        UsageError: A run has no such evaluation, or the runs were evaluated on different images.
    """
    name = shared_evaluation(runs, protocol)
    contents = [run.evaluations()[name] for run in runs]
    content = contents[0]
    labels = output.names(runs, [one["fingerprint"] for one in contents])
    curves = []
    for done, (run, label) in enumerate(zip(runs, labels, strict=True)):
        curves.append(cmc_curve(run, session, label, name, ranks))
        if len(runs) > 1:
            session.reporter.advance("bootstrap of runs", done + 1, len(runs))
    counted = "identities" if content["fingerprint"].get("cmc") == "identities" else "images"
    title = output.name(runs[0]) if len(curves) == 1 else "CMC"
    about = [f"mean of {content['trials']} trials"] if content["trials"] > 1 else []
    about += [BAND] if any(curve.low is not None for curve in curves) else []
    counts = f"{content['valid_queries']:,} queries, ranks count {counted}"
    subtitle = f"{protocol_label(name)}: {counts}\n{'; '.join(about)}"
    figure = cmc.cmc_figure(curves, title, subtitle)
    stem = "cmc" if len(curves) == 1 else f"cmc-{len(curves)}-runs"
    return output.save(figure, runs[0].figures / stem)
