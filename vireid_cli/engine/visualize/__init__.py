"""The verb ``visualize``: one module per figure, each with ``draw(subject, session, output, **options)``.

The module of the figure ``phase-swap`` is ``engine/visualize/phase_swap.py``. It collects arrays from images
or run folders and passes them to ``figures``, which draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import identifiers_of, rendered_note
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import UsageError
from vireid_cli.figures.paper import print_width
from vireid_cli.results.run import RunFolder, check_distinct

Subject = Sequence[RunFolder] | str | Path
"""Subject of a figure: runs, the name of a dataset, or a folder of runs."""


def names() -> list[str]:
    """Return the names of all figures."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def run_limits(figure: str) -> tuple[int, int]:
    """Return the least and the largest number of runs of a figure: its module's ``RUNS``.

    Raises:
        UsageError: The figure does not exist.
    """
    if figure not in names():
        raise UsageError(f"There is no figure '{figure}'.", f"Choose: {', '.join(names())}")
    least, most = _module(figure).RUNS
    return least, most


def draw(figure: str, subject: Subject, session: Session, output: Output, **options: Any) -> Path:
    """Draw a figure.

    Args:
        figure: One of ``names()``.
        subject: Runs, as many as ``run_limits`` allows; for other figures the subject of their ``draw``.
        session: Device, reporter and folders.
        output: File, format and resolution.
        **options: Options of the figure's ``draw``.

    Returns:
        Path of the written file.

    Raises:
        UsageError: The figure does not exist, the number of runs is wrong, its data are missing, or file,
            format or resolution are wrong. Output errors are raised before any computation.
        DataError: The file is not writable; raised before any computation.
    """
    least, most = run_limits(figure)
    runs = () if isinstance(subject, (str, Path)) else tuple(subject)
    _check_count(figure, runs, least, most)
    check_distinct(runs)
    module = _module(figure)
    if not hasattr(module, "ENDINGS"):  # an HTML page has neither format nor resolution
        output.check_format()
    output.check_path(runs[0].figures if runs else None)
    marked = replace(
        output,
        note=rendered_note(runs),
        runs=tuple(runs),
        evaluations=identifiers_of(runs),
        warn=session.reporter.warn,
    )
    with print_width(output.width):
        path: Path = module.draw(runs or subject, session, marked, **options)
    return path


def _module(figure: str) -> Any:
    return import_module(f"{__name__}.{figure.replace('-', '_')}")


def _check_count(figure: str, runs: Sequence[RunFolder], least: int, most: int) -> None:
    if not least <= len(runs) <= most:
        allowed = str(most) if least == most else f"{least} to {most}"
        raise UsageError(f"{figure} needs {allowed or 'no'} runs, not {len(runs)}.")
