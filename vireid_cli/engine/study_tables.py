"""Tables of a study, computed from the evaluations of each row and seed, and ``study.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vireid_cli import files
from vireid_cli.counts import counted
from vireid_cli.data.protocols import published_name
from vireid_cli.metrics.bootstrap import PersonSums
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.study import Study
from vireid_cli.results import schema
from vireid_cli.results.compare import (
    Comparison,
    as_json,
    comparison,
    difference_columns,
    with_differences,
)
from vireid_cli.results.differences import BySeed, resampled_units
from vireid_cli.results.evaluation import StoredEvaluation
from vireid_cli.results.formatting import RENDERED_NOTE, joined_notes
from vireid_cli.results.people import people_of

STUDY = "study.json"


@dataclass(frozen=True, slots=True)
class SeedResult:
    """Evaluation of one row with one seed under one protocol.

    Attributes:
        content: Content of ``metrics.json``.
        people: Sums of the per-query values by person.
    """

    content: schema.EvaluationFile
    people: PersonSums


Results = dict[str, dict[str, dict[int, SeedResult]]]
"""Results by protocol, label and seed."""


def people_in(results: Mapping[str, Mapping[int, SeedResult]]) -> dict[str, BySeed]:
    """Return the sums by person of one protocol, keyed by label and seed."""
    return {
        label: {seed: result.people for seed, result in by_seed.items()} for label, by_seed in results.items()
    }


def tables_of(
    study: Study,
    results: Results,
    parameters: Mapping[str, int],
    recipes: Mapping[tuple[str, int], Recipe],
) -> dict[str, Comparison]:
    """Compute each protocol's table with intervals, differences and the agreement with published values.

    Args:
        study: The study; its rows name their parents.
        results: Evaluations so far.
        parameters: Number of parameters of the network by label.
        recipes: Recipes with the paper's values, keyed by label and seed.
    """
    tables = {}
    for name, by_label in results.items():
        contents = {
            label: {seed: result.content for seed, result in by_seed.items()}
            for label, by_seed in by_label.items()
        }
        published = {
            label: _published(recipe, next(iter(contents[label].values())))
            for (label, _), recipe in recipes.items()
            if label in contents
        }
        plain = comparison(contents, parameters)
        tables[name] = with_differences(plain, people_in(by_label), study.parents(), published)
    return tables


def _published(recipe: Recipe, content: schema.EvaluationFile) -> dict[str, float]:
    """Return the paper's Rank-1 and mAP on the real dataset of this layout and protocol, in [0, 1]."""
    fingerprint = content["fingerprint"]
    dataset = fingerprint.get("source")
    protocol = None if dataset is None else published_name(dataset, fingerprint)
    for row in recipe.reported:
        if (row.dataset, row.protocol) == (dataset, protocol):
            values = {"rank1": row.rank1, "mAP": row.mAP}
            return {name: float(value) / 100 for name, value in values.items() if value is not None}
    return {}


def write_study(folder: Path, study: Study, tables: Mapping[str, Comparison], **others: Any) -> Path:
    """Write ``study.json``: the study, its tables so far, and further content by key."""
    content = {
        "version": schema.VERSION,
        "study": study.model_dump(mode="json"),
        "protocols": {name: as_json(table) for name, table in tables.items()},
        **others,
    }
    return files.write_sealed(folder / STUDY, content)


@dataclass(slots=True)
class StudyProgress:
    """The results of a study so far, and their tables in ``study.json``.

    Attributes:
        folder: Folder of the study.
        study: The study.
        recipes: Recipes by label and seed.
        results: Evaluations so far.
        tables: Tables of ``results`` at the last ``write``.
    """

    folder: Path
    study: Study
    recipes: Mapping[tuple[str, int], Recipe]
    results: Results = field(default_factory=dict)
    tables: dict[str, Comparison] = field(default_factory=dict)
    _parameters: dict[str, int] = field(default_factory=dict)

    def add(
        self, label: str, seed: int, evaluations: Sequence[tuple[str, StoredEvaluation]], parameters: int
    ) -> None:
        """Add the evaluations of a run with the names of their tables, and its network's size."""
        self._parameters[label] = parameters
        for name, stored in evaluations:
            result = SeedResult(stored.content, people_of(stored))
            self.results.setdefault(name, {}).setdefault(label, {})[seed] = result

    def write(self) -> None:
        """Compute the tables, with rows and seeds in the order of the study, and write ``study.json``."""
        for name, by_label in self.results.items():
            self.results[name] = {
                label: {seed: by_label[label][seed] for seed in self.study.seeds if seed in by_label[label]}
                for label in dict.fromkeys(label for label, _ in self.recipes)
                if label in by_label
            }
        self.tables = tables_of(self.study, self.results, self._parameters, self.recipes)
        write_study(self.folder, self.study, self.tables)


def draw_differences(folder: Path, study: Study, tables: Mapping[str, Comparison]) -> tuple[Path, ...]:
    """Draw each protocol's differences into ``<folder>/figures``; tables without parents have no figure.

    Args:
        folder: Folder of the study.
        study: Its description is the title.
        tables: Protocol → table.

    Returns:
        The files.
    """
    from vireid_cli.figures import saving
    from vireid_cli.figures.differences import DifferenceLine, difference_figure

    paths = []
    for protocol, table in tables.items():
        metrics = difference_columns(table)
        lines = [
            DifferenceLine(
                row.label,
                row.parent,
                {
                    name: (row.differences[name].mean, row.differences[name].low, row.differences[name].high)
                    for name in metrics
                },
            )
            for row in table.rows
            if row.differences
        ]
        if not lines:
            continue
        seeds = max(len(row.seeds) for row in table.rows)
        subtitle = f"{protocol}; {counted(seeds, 'seed')}; 95 % intervals over {resampled_units(seeds)}"
        figure = difference_figure(lines, metrics, study.about or study.name, subtitle)
        note = joined_notes(RENDERED_NOTE if table.rendered else None, table.unlike)
        paths.append(saving.save(figure, folder / "figures" / f"differences-{protocol}", note=note))
    return tuple(paths)
