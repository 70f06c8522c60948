"""A study at several settings of the renderer: the same people, so that all results are paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.engine import compare as compare_verb
from vireid_cli.engine import prepare
from vireid_cli.engine.compare import StudyResult
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.session import Session
from vireid_cli.engine.study_tables import people_in, write_study
from vireid_cli.errors import UsageError
from vireid_cli.figures import saving
from vireid_cli.figures.dials import DialCurve, dial_figure
from vireid_cli.recipe.study import Dial, Study
from vireid_cli.rendered.layouts import layout_names
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.results.compare import Comparison
from vireid_cli.results.differences import RowDifference, differences_of, resampled_units
from vireid_cli.results.formatting import RENDERED_NOTE, joined_notes

METRICS = ("rank1", "mAP")


@dataclass(frozen=True, slots=True)
class _Part:
    """The study at one value of the dial."""

    value: float
    result: StudyResult


def compare_dial(
    study: Study, session: Session, options: EvaluateOptions, *, spread: bool = False
) -> StudyResult:
    """Render, train and evaluate at each value of a study's dial, and draw the curves.

    The data of a value are in ``<data_dir>/dials/<dial>-<value>``, its runs in
    ``<runs_dir>/<study>/<dial>-<value>``. Finished parts are reused.

    Args:
        study: A study with a ``dial``.
        session: Device, reporter and folders.
        options: Protocols of the evaluation.
        spread: Distribute rows and seeds over the ranks.

    Raises:
        UsageError: The renderer lacks the dial, or the rows' dataset has no rendered layout.
        RecipeError, DataError, Interrupted: See ``compare.compare``.
    """
    dial = study.dial
    assert dial is not None
    layout = _layout(study, dial)
    folder = session.runs_dir / study.name
    parts: list[_Part] = []
    world = session.runtime.world
    for value in dial.values:
        name = f"{dial.name}-{value:g}"
        inside = replace(session, data_dir=session.data_dir / "dials" / name, runs_dir=folder)
        session.reporter.info(f"{study.name}: {dial.name} {value:g}")
        rendering = partial(prepare.render, _render_options(layout, dial.name, value), inside)
        with world.joined(session.runtime.device):
            world.in_turn(rendering)
        part = study.model_copy(update={"name": name, "dial": None})
        parts.append(_Part(value, compare_verb.compare(part, inside, options, spread=spread)))
    if not world.first:
        return compare_verb.empty_result(study, session)
    tables = {
        f"{dial.name} {part.value:g}, {protocol}": table
        for part in parts
        for protocol, table in part.result.tables.items()
    }
    path = write_study(folder, study, tables, dial=_changes(parts))
    figures = [_draw(study, dial, parts, protocol, folder) for protocol in parts[0].result.tables]
    results = {
        f"{dial.name} {part.value:g}, {protocol}": by_label
        for part in parts
        for protocol, by_label in part.result.results.items()
    }
    return StudyResult(study, tables, path, results, tuple(figures))


def _layout(study: Study, dial: Dial) -> str:
    """Return the layout to render, the common dataset of all rows."""
    if dial.name not in {field.name for field in fields(RenderOptions)}:
        raise UsageError(f"dial.name: this version's renderer has no dial '{dial.name}'.")
    datasets = {
        load_recipe(row.recipe, tuple(study.settings(row, study.seeds[0]))).data.dataset for row in study.rows
    }
    if len(datasets) > 1 or not datasets <= set(layout_names()):
        raise UsageError(
            f"The study {study.name} has a dial, which needs one rendered dataset; its rows are trained on "
            f"{', '.join(sorted(datasets))}.",
            f"Set data.dataset of all rows to one of {', '.join(layout_names())}.",
        )
    return datasets.pop()


def _render_options(layout: str, name: str, value: float) -> RenderOptions:
    """Return the options of a layout's default benchmark with one dial set."""
    values: Mapping[str, Any] = {"layout": layout, name: value}
    return RenderOptions(**values)


def _changes(parts: list[_Part]) -> dict[str, Any]:
    """Compute the paired change of each row from the dial's first value to its last, by protocol."""
    first, last = parts[0], parts[-1]
    content: dict[str, Any] = {"from": first.value, "to": last.value, "protocols": {}}
    for protocol, before in first.result.results.items():
        one, other = people_in(last.result.results[protocol]), people_in(before)
        content["protocols"][protocol] = {
            label: {
                name: _as_json(change)
                for name, change in differences_of(by_seed, other[label]).items()
                if name in METRICS
            }
            for label, by_seed in one.items()
        }
    return content


def _as_json(change: RowDifference) -> dict[str, Any]:
    return {"mean": change.mean, "interval": [change.low, change.high]}


def _draw(study: Study, dial: Dial, parts: list[_Part], protocol: str, folder: Path) -> Path:
    """Draw Rank-1 and mAP of each row over the dial under one protocol."""
    tables = [part.result.tables[protocol] for part in parts]
    panels = {name: _curves(tables, name) for name in METRICS}
    counts = sorted({len(row.seeds) for table in tables for row in table.rows})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    subtitle = (
        f"{protocol}; same people at every value; mean over {seeds} seed{'s' if counts[-1] > 1 else ''}, "
        f"bars: 95 % interval over {resampled_units(counts[-1])}"
    )
    figure = dial_figure(dial.name, np.array(dial.values), panels, study.about or study.name, subtitle)
    unlike = [table.unlike for table in tables if table.unlike]
    path = folder / "figures" / f"{dial.name}-{protocol}"
    return saving.save(figure, path, note=joined_notes(RENDERED_NOTE, *unlike[:1]))


def _curves(tables: list[Comparison], metric: str) -> list[DialCurve]:
    """Return one curve per row: means and bounds at each value of the dial."""
    curves = []
    for i, row in enumerate(tables[0].rows):
        rows = [table.rows[i] for table in tables]
        means = np.array([one.metrics[metric].mean for one in rows])
        bounds = np.array([one.intervals[metric] for one in rows])  # (values, 2)
        curves.append(DialCurve(row.label, means, bounds[:, 0], bounds[:, 1]))
    return curves
