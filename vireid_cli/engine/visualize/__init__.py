"""The verb ``visualize``: one file a figure, each with ``draw(subject, session, output, **options)``.

A figure named ``phase-swap`` is ``engine/visualize/phase_swap.py``. It gathers arrays from images or from run
folders and hands them to ``figures``, which knows how things are drawn and no more.
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
from vireid_cli.results.run import RunFolder

Subject = Sequence[RunFolder] | str | Path
"""What a figure is drawn from: runs, a dataset by its name, or a folder of runs."""


def names() -> list[str]:
    """Every figure there is."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def runs_taken(figure: str) -> tuple[int, int]:
    """Fewest and most runs that a figure is drawn from: its module's ``RUNS``.

    Raises:
        UsageError: No such figure.
    """
    if figure not in names():
        raise UsageError(f"There is no figure '{figure}'.", f"There are: {', '.join(names())}")
    fewest, most = _module(figure).RUNS
    return fewest, most


def draw(figure: str, subject: Subject, session: Session, output: Output, **options: Any) -> Path:
    """Draw a figure.

    Args:
        figure: One of ``names()``.
        subject: Runs where ``runs_taken`` asks for some; else the subject of the figure's own ``draw``.
        session: Device, listener, folders.
        output: File, format, resolution.
        **options: As of the figure's own ``draw``.

    Raises:
        UsageError: No such figure, too many or too few runs, what it is drawn from is not there yet, or a
            wrong file, format or resolution, which is found out before anything is computed.
        DataError: The file can't be written; found out before, too.
    """
    fewest, most = runs_taken(figure)
    runs = () if isinstance(subject, (str, Path)) else tuple(subject)
    _refuse_number(figure, runs, fewest, most)
    _refuse_twice(runs)
    module = _module(figure)
    if not hasattr(module, "ENDINGS"):  # a page has neither format nor resolution
        output.refuse_form()
    output.refuse_place(runs[0].figures if runs else None)
    drawn = replace(output, note=rendered_note(runs), runs=tuple(runs), evaluations=identifiers_of(runs))
    path: Path = module.draw(runs or subject, session, drawn, **options)
    return path


def _module(figure: str) -> Any:
    return import_module(f"{__name__}.{figure.replace('-', '_')}")


def _refuse_twice(runs: Sequence[RunFolder]) -> None:
    places = [run.folder.resolve() for run in runs]
    twice = [run for index, run in enumerate(runs) if places[index] in places[:index]]
    if twice:
        raise UsageError(f"{twice[0].folder} is given twice.", "Name each run once.")


def _refuse_number(figure: str, runs: Sequence[RunFolder], fewest: int, most: int) -> None:
    if not fewest <= len(runs) <= most:
        allowed = str(most) if fewest == most else f"{fewest} to {most}"
        raise UsageError(f"{figure} is drawn from {allowed or 'no'} runs, not {len(runs)}.")
