"""Results of several runs side by side, as Markdown, LaTeX or CSV; no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vireid_cli.errors import UsageError
from vireid_cli.results.formatting import RENDERED, column_name, percent, protocol_label
from vireid_cli.results.run import RunFolder, folder_names
from vireid_cli.results.schema import EvaluationFile, Metric
from vireid_cli.results.unlike import marked, warning

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunTable:
    """Results of runs on one dataset under one protocol.

    Attributes:
        protocol: Name of the protocol, with a suffix such as ``-ema``.
        labels: Label of each run, with a mark if the results were measured under unlike conditions.
        runs: Name of each run's folder, or its path if two folders have one name.
        names: Name of each run's evaluation, such as ``occ-sysu-all-single-seeded``.
        contents: ``metrics.json`` of each run.
        warning: Sentence about unlike conditions; empty if they are equal.
    """

    protocol: str
    labels: tuple[str, ...]
    runs: tuple[str, ...]
    names: tuple[str, ...]
    contents: tuple[EvaluationFile, ...]
    warning: str

    @property
    def dataset(self) -> str:
        """Dataset of the results; empty in files of early versions."""
        return str(self.described["fingerprint"].get("dataset", ""))

    @property
    def described(self) -> EvaluationFile:
        """A result for the title: of a run on this dataset if there is one, as other rows are marked."""

        def strangeness(content: EvaluationFile) -> tuple[bool, bool]:
            """Whether a result is of a file, and of a run on another dataset."""
            mark = content["fingerprint"]
            return "features" in mark, bool(mark.get("cross_dataset"))

        return min(self.contents, key=strangeness)

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, in order."""
        return list(dict.fromkeys(name for content in self.contents for name in content["metrics"]))

    @property
    def rendered(self) -> bool:
        """Whether a result is on rendered images."""
        return any(content["fingerprint"].get("rendered") for content in self.contents)

    @property
    def notes(self) -> list[str]:
        """Sentences that belong below the table."""
        return [note for note in (self.warning, RENDERED if self.rendered else "") if note]

    def cell(self, row: int, name: str) -> str:
        """Format a metric of a run in percent, with the standard deviation over trials."""
        return mean_and_deviation(self.contents[row]["metrics"].get(name))

    def chance(self, name: str) -> str:
        """Format the chance level of the first run in percent."""
        return percent(self.contents[0]["chance"].get(name))


def mean_and_deviation(metric: Metric | None) -> str:
    """Format a metric in percent, ``26.87 ± 2.41``; – for None."""
    if metric is None:
        return "–"
    deviation = "" if metric["std"] is None else f" ± {percent(metric['std'])}"
    return f"{percent(metric['mean'])}{deviation}"


def tables_of(runs: Sequence[RunFolder], protocol: str | None = None) -> list[RunTable]:
    """Collect the results of runs: one table per dataset and protocol that at least one run has.

    A run on this dataset and one on another dataset, evaluated on this one, are in the same table. Results of
    a file of features are in the table of the runs on its dataset, unless runs on several stores of the
    dataset (real and rendered images) have one.

    Args:
        runs: The runs.
        protocol: Name of the evaluation; None: all.

    Raises:
        UsageError: A run has no evaluation, or no run has this one.
        DataError: An evaluation is damaged.
    """
    stored = [run.evaluations() for run in runs]
    for run, evaluations in zip(runs, stored, strict=True):
        if not evaluations:
            raise UsageError(f"{run.folder} has no evaluation.", f"Evaluate it: {run.command('evaluate')}")
    names = list(dict.fromkeys(name for evaluations in stored for name in evaluations))
    if protocol is not None and protocol not in names:
        raise UsageError(f"No run has an evaluation '{protocol}'.", f"Choose: {', '.join(names)}")
    labels = run_labels(runs, stored)
    folders = folder_names(runs)
    subjects = _subjects(stored)
    rows: dict[tuple[str, str], list[_Row]] = {}
    for name in names:
        for i, evaluations in enumerate(stored):
            if name in evaluations:
                row = _Row(i, labels[i], folders[i], name, evaluations[name])
                rows.setdefault(subjects[i, name], []).append(row)
    chosen = {subject for (_, name), subject in subjects.items() if protocol in (None, name)}
    return [_table(key[1], rows[key]) for key in rows if key in chosen]


@dataclass(frozen=True, slots=True)
class _Row:
    """One run's evaluation: number and label of the run, name of its folder, name and content of the file."""

    number: int
    label: str
    folder: str
    name: str
    content: EvaluationFile


def _subjects(stored: Sequence[Mapping[str, EvaluationFile]]) -> dict[tuple[int, str], tuple[str, str]]:
    """Dataset and protocol of each evaluation, by the number of its run and its name.

    The protocol is the evaluation's name without the prefix of another dataset. The dataset of a file is that
    of the runs on the dataset whose rules the file follows, if they have a single one.
    """
    subjects: dict[tuple[int, str], tuple[str, str]] = {}
    titles: dict[tuple[Any, str], set[tuple[str, str]]] = {}
    for i, evaluations in enumerate(stored):
        for name, content in evaluations.items():
            mark, protocol = content["fingerprint"], name[max(name.rfind(content["protocol"]), 0) :]
            subjects[i, name] = (str(mark.get("dataset", "")), protocol)
            if "features" not in mark:
                titles.setdefault((mark.get("source"), protocol), set()).add(subjects[i, name])
    for i, name in subjects:
        mark = stored[i][name]["fingerprint"]
        of_runs = titles.get((mark.get("source"), subjects[i, name][1]), set())
        if "features" in mark and len(of_runs) == 1:
            [subjects[i, name]] = of_runs
    return subjects


def _table(protocol: str, rows: Sequence[_Row]) -> RunTable:
    """Build the table of evaluations in the order of their runs."""
    ordered = sorted(rows, key=lambda row: row.number)
    contents = tuple(row.content for row in ordered)
    marks = [content["fingerprint"] for content in contents]
    files = [mark.get("features") for mark in marks]
    own = [row.label for row in ordered]
    if not all(files):  # the title names the files of a table without runs
        own = [f"{label}, file {file}" if file else label for label, file in zip(own, files, strict=True)]
    return RunTable(
        protocol,
        tuple(marked(own, marks)),
        tuple(row.folder for row in ordered),
        tuple(row.name for row in ordered),
        contents,
        warning(own, marks),
    )


def run_labels(runs: Sequence[RunFolder], stored: Sequence[Mapping[str, EvaluationFile]]) -> tuple[str, ...]:
    """Shortest unique label of each run: the recipe's name, else with the seed, else the folder's name."""
    marks = [next(iter(evaluations.values()))["fingerprint"] for evaluations in stored]
    recipes = [str(mark.get("recipe") or run.name) for mark, run in zip(marks, runs, strict=True)]
    seeds = [str(mark.get("seed", "")) for mark in marks]
    for labels in (
        recipes,
        [f"{recipe}, seed {seed}" for recipe, seed in zip(recipes, seeds, strict=True)],
        [run.name for run in runs],
    ):
        if len(set(labels)) == len(runs):
            return tuple(labels)
    return tuple(str(run.folder) for run in runs)


def as_markdown(tables: Sequence[RunTable]) -> str:
    """Format as Markdown: metrics in percent, mean ± standard deviation over trials."""
    return "\n\n".join(_markdown(table) for table in tables)


def _title(table: RunTable) -> str:
    """Dataset and protocol of a table."""
    label = protocol_label(table.protocol)
    return f"{table.dataset} · {label}" if table.dataset else label


def _markdown(table: RunTable) -> str:
    names = table.metrics
    lines = [f"**{_title(table)}**", ""]
    rows = [["%", *map(column_name, names)], ["---", *("--:" for _ in names)]]
    for i, label in enumerate(table.labels):
        rows.append([label.replace("|", r"\|").replace("\n", " "), *(table.cell(i, name) for name in names)])
    rows.append(["chance", *map(table.chance, names)])
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def as_latex(tables: Sequence[RunTable]) -> str:
    """Format as LaTeX tabulars for the package booktabs, metrics in percent."""
    return "\n\n".join(_latex(table) for table in tables)


def _latex(table: RunTable) -> str:
    names = table.metrics
    notes = [_title(table), "%, mean ± standard deviation over trials", *table.notes]
    lines = [f"% {' '.join(note.split())}" for note in notes]
    lines += [f"\\begin{{tabular}}{{l{'r' * len(names)}}}", r"\toprule"]
    lines.append(_latex_row(["", *map(column_name, names)]))
    lines.append(r"\midrule")
    for i, label in enumerate(table.labels):
        lines.append(_latex_row([label, *(table.cell(i, name) for name in names)]))
    lines += [_latex_row(["chance", *map(table.chance, names)]), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    escaped = ("".join(_LATEX.get(character, character) for character in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"


def as_csv(tables: Sequence[RunTable]) -> str:
    """Format as CSV: one line per run, protocol and metric; shares in [0, 1] with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ("run", "recipe", "dataset", "protocol", "precision", "rendered", "queries", "valid_queries")
    writer.writerow((*heads, "gallery", "trials", "metric", "mean", "std", "low", "high", "chance"))
    for table in tables:
        for run, content in zip(table.runs, table.contents, strict=True):
            mark = content["fingerprint"]
            about = [
                *(run, mark.get("recipe", ""), mark.get("dataset", ""), table.protocol),
                *(mark.get("precision", ""), "yes" if mark.get("rendered") else "no"),
                *(content["queries"], content["valid_queries"], content["gallery"], content["trials"]),
            ]
            for name, metric in content["metrics"].items():
                low, high = metric["interval"] or ("", "")
                deviation = "" if metric["std"] is None else metric["std"]
                chance = content["chance"].get(name, "")
                writer.writerow([*about, name, metric["mean"], deviation, low, high, chance])
    return text.getvalue()


def as_json(tables: Sequence[RunTable]) -> dict[str, dict[str, EvaluationFile]]:
    """Collect the contents of ``metrics.json`` by run and evaluation, keyed by the names in ``runs``."""
    contents: dict[str, dict[str, EvaluationFile]] = {}
    for table in tables:
        for run, name, content in zip(table.runs, table.names, table.contents, strict=True):
            contents.setdefault(run, {})[name] = content
    return contents
